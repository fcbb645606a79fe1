package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/plan"
)

var packagerRef = plan.TargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "packager"}

func newDeployment(replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": "packager"}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "packager"}, Spec: appsv1.DeploymentSpec{
		Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: newStream("x").Spec.Workloads[0].Job.Spec.Template.Spec},
	}}
}

// scaled is a LiveStream that has a share in a target while it is on air, and another while it is not.
func scaled(name string, ref plan.TargetRef, live, idle int32) *v1alpha1.LiveStream {
	stream := newStream(name)
	stream.Spec.StreamName = name
	stream.Spec.Workloads = []v1alpha1.Workload{{Name: "package", Scale: v1alpha1.WorkloadScale{
		APIVersion: ref.APIVersion, Kind: ref.Kind, Name: ref.Name, ReplicasWhileLive: &live, ReplicasWhileIdle: &idle,
	}}}
	return stream
}

// scale settles the target, and brings what changed to the reconciler.
func (b *bench) scale(ref plan.TargetRef) settled {
	b.t.Helper()
	result, err := b.scaler.Settle(b.t.Context(), TargetKey{b.namespace, ref})
	if err != nil {
		b.t.Fatal(err)
	}
	if result.changed {
		for _, s := range result.sharers {
			b.reconcile(s.Name)
		}
	}
	return result
}

func (b *bench) replicas() int32 {
	b.t.Helper()
	d := &appsv1.Deployment{}
	if b.gone("packager", d) {
		b.t.Fatal("there is no Deployment")
	}
	return *d.Spec.Replicas
}

func (b *bench) wantReplicas(when string, want int32) {
	b.t.Helper()
	b.scale(packagerRef)
	if got := b.replicas(); got != want {
		b.t.Errorf("%s: %d replicas, want %d", when, got, want)
	}
}

func (b *bench) setReplicas(replicas int32) {
	b.t.Helper()
	edit(b, "packager", &appsv1.Deployment{}, func(d *appsv1.Deployment) { d.Spec.Replicas = &replicas })
}

// available plays the Deployment controller.
func (b *bench) available(replicas int32) {
	b.t.Helper()
	d := &appsv1.Deployment{}
	if b.gone("packager", d) {
		b.t.Fatal("there is no Deployment")
	}
	d.Status.Replicas, d.Status.ReadyReplicas, d.Status.AvailableReplicas = replicas, replicas, replicas
	if err := env.Client.Status().Update(b.t.Context(), d); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) live(name, sequence string) {
	b.t.Helper()
	b.record(name, b.starts(sequence))
	b.settle(name)
}

func (b *bench) over(name, sequence string) {
	b.t.Helper()
	b.record(name, b.ends(sequence, 1, v1alpha1.PushReasonClientStopped))
	b.settle(name)
	b.pass(5 * time.Second)
	b.settle(name)
}

func TestThreeStreamsShareATarget(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain(), newDeployment(0), scaled("one", packagerRef, 2, 0), scaled("two", packagerRef, 3, 0), scaled("three", packagerRef, 4, 1))
	for _, name := range []string{"one", "two", "three"} {
		b.settle(name)
		if !slices.Contains(b.stream(name).Finalizers, v1alpha1.FinalizerScale) {
			t.Errorf("%s may be deleted without giving its share back", name)
		}
	}
	b.wantReplicas("all are idle", 1)
	b.live("one", "A")
	b.wantReplicas("one is live", 3)
	b.live("two", "A")
	b.wantReplicas("one and two are live", 6)
	b.live("three", "A")
	b.wantReplicas("all are live", 9)
	b.record("two", b.ends("A", 12, v1alpha1.PushReasonNetworkError))
	b.settle("two")
	b.wantReplicas("two waits for its push", 9)
	b.pass(time.Minute)
	b.settle("two")
	b.wantReplicas("two is idle again", 6)
	edit(b, "three", &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Spec.State = v1alpha1.LiveStreamSuspended })
	b.settle("three")
	b.wantReplicas("three is suspended", 2)
	b.delete(newStream("one"))
	if b.gone("one", &v1alpha1.LiveStream{}) {
		t.Fatal("one is gone before its share was given back")
	}
	b.reconcile("one")
	if got := b.replicas(); got != 0 || !b.gone("one", &v1alpha1.LiveStream{}) {
		t.Errorf("one is deleted: %d replicas, want 0 and no LiveStream", got)
	}
	if jobs := b.jobs(); len(jobs) != 0 {
		t.Errorf("%d Jobs", len(jobs))
	}
}

func TestAWorkloadThatScalesRunsOnceItsTargetHasTheReplicas(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain(), newDeployment(0), scaled("show", packagerRef, 2, 0))
	b.settle("show")
	b.scale(packagerRef)
	b.live("show", "A")
	b.scale(packagerRef)
	status := b.stream("show").Status
	if w := status.Workloads[0]; w.State != v1alpha1.WorkloadPending || *w.Scale.Replicas != 2 || status.WorkloadSummary != "0/1" {
		t.Errorf("workload = %+v, %s, want Pending", w, status.WorkloadSummary)
	}
	b.available(2)
	b.scale(packagerRef)
	status = b.stream("show").Status
	if w := status.Workloads[0]; w.State != v1alpha1.WorkloadRunning || status.WorkloadSummary != "1/1" {
		t.Errorf("workload = %+v, %s, want Running", w, status.WorkloadSummary)
	}
	wantCondition(t, status.Conditions, v1alpha1.ConditionWorkloadsReady, metav1.ConditionTrue, v1alpha1.ReasonAllRunning)
	edit(b, "show", &v1alpha1.LiveStream{}, func(s *v1alpha1.LiveStream) { s.Spec.Workloads[0].Scale.ReplicasWhileLive = new(int32(5)) })
	b.settle("show")
	b.wantReplicas("the share was edited while live", 2)
	b.over("show", "A")
	b.wantReplicas("the broadcast is over", 0)
	if w := b.stream("show").Status.Workloads[0]; w.State != v1alpha1.WorkloadStopped || w.Scale.Name != "" {
		t.Errorf("workload = %+v, want Stopped", w)
	}
	b.live("show", "B")
	b.wantReplicas("the next broadcast", 5)
}

func TestReplicasThatSomebodyElseSetAreLeftAloneUntilTheSumChanges(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain(), newDeployment(0), scaled("one", packagerRef, 2, 0), scaled("two", packagerRef, 3, 0))
	for _, name := range []string{"one", "two"} {
		b.settle(name)
	}
	b.live("one", "A")
	b.wantReplicas("one is live", 2)
	b.available(2)
	b.setReplicas(7)
	for range 3 {
		b.pass(time.Minute)
		b.wantReplicas("somebody set 7", 7)
		b.settle("one")
	}
	status := b.stream("one").Status
	want := `Deployment "packager" is set to 7 replicas by something else; the streams on air ask for 2`
	if w := status.Workloads[0]; w.State != v1alpha1.WorkloadRunning || w.Message != want {
		t.Errorf("workload = %+v, want Running with %q", w, want)
	}
	b.live("two", "A")
	b.wantReplicas("two is live", 5)
	b.settle("one")
	if w := b.stream("one").Status.Workloads[0]; strings.Contains(w.Message, "something else") {
		t.Errorf("workload = %+v, want it forgotten", w)
	}
}

func TestATargetThatCannotBeScaledIsExplainedAndHoldsNothingUp(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		ref   plan.TargetRef
		may   bool
		words string
	}{
		{"it does not exist", packagerRef, true, "does not exist in namespace"},
		{"its kind does not exist", plan.TargetRef{APIVersion: "example.com/v1", Kind: "Packager", Name: "packager"}, true, "install its CustomResourceDefinition"},
		{"its kind has no replicas", plan.TargetRef{APIVersion: "v1", Kind: "ConfigMap", Name: "packager"}, true, "cannot be scaled"},
		{"the operator may not", packagerRef, false, "livestream-operator.io/aggregate-to-scaler"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if !tc.may {
				b.create(newDeployment(0))
				b.scaler.Client = nobody(t)
			}
			b.create(newSecret(), newDomain(), scaled("show", tc.ref, 2, 0))
			b.live("show", "A")
			if result := b.scale(tc.ref); result.waitFor() != secretRetry {
				t.Errorf("looks again after %s, want %s", result.waitFor(), secretRetry)
			}
			status := b.stream("show").Status
			ready := wantCondition(t, status.Conditions, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonTargetUnavailable)
			wantCondition(t, status.Conditions, v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonTargetUnavailable)
			if w := status.Workloads[0]; w.State != v1alpha1.WorkloadFailed || !strings.Contains(w.Message, tc.words) || !strings.Contains(ready.Message, tc.words) {
				t.Errorf("workload = %+v, want Failed with %q", w, tc.words)
			}
			b.delete(newStream("show"))
			b.reconcile("show")
			if !b.gone("show", &v1alpha1.LiveStream{}) {
				t.Error("the deletion is held up")
			}
		})
	}
}

// nobody may read all that the operator reads, and scale nothing.
func nobody(t *testing.T) client.Client {
	t.Helper()
	config := rest.CopyConfig(env.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "nobody"}
	c, err := client.New(config, client.Options{Scheme: env.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return scaledBy{liveReader{env.Client}, c}
}

type scaledBy struct {
	liveReader
	scaler client.Client
}

func (s scaledBy) SubResource(name string) client.SubResourceClient {
	return s.scaler.SubResource(name)
}

func TestATargetThatIsMadeLaterOrAnewIsScaled(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain(), scaled("show", packagerRef, 2, 0))
	b.settle("show")
	b.scale(packagerRef)
	b.live("show", "A")
	b.scale(packagerRef)
	wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonTargetUnavailable)
	for _, when := range []string{"made later", "made anew"} {
		b.create(newDeployment(1))
		b.wantReplicas(when, 2)
		wantCondition(t, b.stream("show").Status.Conditions, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReconciled)
		b.delete(newDeployment(0))
	}
	b.create(newDeployment(9))
	b.wantReplicas("made anew with more", 2)
}

// After a restart nothing is remembered: what changed meanwhile is made up for.
func TestAShareThatWasGivenBackWhileTheOperatorWasAwayIsTakenFromTheTarget(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create(newSecret(), newDomain(), newDeployment(0), scaled("one", packagerRef, 2, 0), scaled("two", packagerRef, 3, 0))
	b.live("one", "A")
	b.live("two", "A")
	b.wantReplicas("both are live", 5)
	b.restart(env.Client)
	b.over("one", "A")
	b.wantReplicas("one ended meanwhile", 3)
	b.delete(newStream("two"))
	b.restart(env.Client)
	b.reconcile("two")
	if got := b.replicas(); got != 0 {
		t.Errorf("two was deleted meanwhile: %d replicas, want 0", got)
	}
}

func TestATargetOfTheTemplateIsSharedAndGivenBackToo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	domain := newDomain()
	domain.Spec.Template.Spec.Workloads = scaled("template", packagerRef, 2, 1).Spec.Workloads
	heirs := []*v1alpha1.LiveStream{newStream("one"), newStream("two")}
	b.create(newSecret(), domain, newDeployment(0))
	for _, s := range heirs {
		s.Spec.StreamName, s.Spec.Workloads = s.Name, nil
		b.create(s)
		b.settle(s.Name)
	}
	b.wantReplicas("both are idle", 2)
	b.live("one", "A")
	b.wantReplicas("one is live", 3)
	b.delete(newDomain())
	b.delete(newStream("one"))
	b.reconcile("one")
	if got := b.replicas(); got != 0 || !b.gone("one", &v1alpha1.LiveStream{}) {
		t.Errorf("without the PushDomain and one: %d replicas, want 0", got)
	}
}
