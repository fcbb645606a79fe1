package controllers

import (
	"context"
	"slices"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/cssapi"
	"github.com/livestream-operator/livestream-operator/internal/cssapi/csstest"
	"github.com/livestream-operator/livestream-operator/internal/provider"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

const host = "push.example.com"

var account = cssapi.Credentials{SecretID: "AKIDtest", SecretKey: "secret"}

func apiSecret() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "css-api"}, StringData: map[string]string{"secretId": account.SecretID, "secretKey": account.SecretKey}}
}

// css creates the push domain with an API that can be asked, and the Secrets.
func (b *bench) css(mutate ...func(*v1alpha1.PushDomain)) *csstest.Server {
	b.t.Helper()
	server := csstest.NewServer(b.t, account)
	domain := newDomain()
	domain.Spec.API = v1alpha1.API{CredentialsSecretRef: v1alpha1.SecretReference{Name: "css-api"}, Endpoint: server.Endpoint()}
	for _, m := range mutate {
		m(domain)
	}
	b.create(newSecret(), apiSecret(), domain)
	b.reconcileDomain()
	return server
}

// cssShow is css with a stream.
func (b *bench) cssShow(mutate ...func(*v1alpha1.LiveStream)) *csstest.Server {
	b.t.Helper()
	server := b.css()
	stream := newStream("show")
	for _, m := range mutate {
		m(stream)
	}
	b.create(stream)
	b.reconcile("show")
	return server
}

// poll asks for one list, and brings what comes of it to the reconcilers, as the manager does. It returns the LiveStreams.
func (b *bench) poll() []string {
	b.t.Helper()
	b.poller.Poll(b.t.Context(), b.domain())
	var names []string
	for len(b.streamsAgain) > 0 {
		e := <-b.streamsAgain
		names = append(names, e.Object.GetName())
		b.reconcile(e.Object.GetName())
	}
	for len(b.domainsAgain) > 0 {
		<-b.domainsAgain
		b.reconcileDomain()
	}
	slices.Sort(names)
	return names
}

// settle reconciles until a pass writes nothing more; each write would bring the next pass.
func (b *bench) settle(name string) ctrl.Result {
	b.t.Helper()
	for range 10 {
		before := b.stream(name).ResourceVersion
		result := b.reconcile(name)
		if stream := (&v1alpha1.LiveStream{}); b.gone(name, stream) || stream.ResourceVersion == before {
			return result
		}
	}
	b.t.Fatalf("%s does not settle: %+v", name, b.stream(name).Status)
	return ctrl.Result{}
}

func (b *bench) gone(name string, object client.Object) bool {
	b.t.Helper()
	err := env.Client.Get(b.t.Context(), client.ObjectKey{Namespace: b.namespace, Name: name}, object)
	if client.IgnoreNotFound(err) != nil {
		b.t.Fatal(err)
	}
	return apierrors.IsNotFound(err)
}

func (b *bench) delete(object client.Object) {
	b.t.Helper()
	object.SetNamespace(b.namespace)
	if err := env.Client.Delete(b.t.Context(), object, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		b.t.Fatalf("deleting %T %s: %v", object, object.GetName(), err)
	}
}

// edit changes the spec or the metadata of an object.
func edit[T client.Object](b *bench, name string, object T, change func(T)) {
	b.t.Helper()
	key := client.ObjectKey{Namespace: b.namespace, Name: name}
	if err := env.Client.Get(b.t.Context(), key, object); err != nil {
		b.t.Fatal(err)
	}
	change(object)
	if err := env.Client.Update(b.t.Context(), object); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) wantState(name string, want v1alpha1.LiveStreamState) v1alpha1.LiveStreamStatus {
	b.t.Helper()
	status := b.stream(name).Status
	if status.State != want {
		b.t.Fatalf("%s is %s, want %s: %+v", name, status.State, want, status)
	}
	return status
}

// wantCondition fails unless the condition has the status and the reason.
func wantCondition(tb testing.TB, conditions []metav1.Condition, kind string, status metav1.ConditionStatus, reason string) *metav1.Condition {
	tb.Helper()
	c := meta.FindStatusCondition(conditions, kind)
	if c == nil {
		tb.Fatalf("there is no %s, want %s, %s: %+v", kind, status, reason, conditions)
	}
	if c.Status != status || c.Reason != reason {
		tb.Errorf("%s = %+v, want %s, %s", kind, *c, status, reason)
	}
	return c
}

// running are the Jobs that nobody told to end.
func (b *bench) running() []batchv1.Job {
	b.t.Helper()
	return slices.DeleteFunc(b.jobs(), func(j batchv1.Job) bool { return j.DeletionTimestamp != nil || phased(j) })
}

func phased(job batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed)
	})
}

// collect plays the garbage collector: Jobs that are being deleted go, their Pods with them.
func (b *bench) collect() {
	b.t.Helper()
	for _, job := range b.jobs() {
		if job.DeletionTimestamp == nil {
			continue
		}
		if err := env.Client.DeleteAllOf(b.t.Context(), &corev1.Pod{}, client.InNamespace(b.namespace), client.MatchingLabels{"livestream-operator.io/broadcast": job.Labels["livestream-operator.io/broadcast"], "livestream-operator.io/workload": job.Labels["livestream-operator.io/workload"]}, client.GracePeriodSeconds(0)); err != nil {
			b.t.Fatal(err)
		}
		job.Finalizers = nil
		if err := env.Client.Update(b.t.Context(), &job); err != nil {
			b.t.Fatal(err)
		}
	}
}

// complete plays the Job controller for a Job whose Pod has succeeded.
func (b *bench) complete(job *batchv1.Job) {
	b.t.Helper()
	now := metav1.NewTime(b.clock.Now())
	job.Status.StartTime, job.Status.CompletionTime, job.Status.Succeeded = &now, &now, 1
	job.Status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
	job.Status.Conditions = []batchv1.JobCondition{
		{Type: batchv1.JobSuccessCriteriaMet, Status: corev1.ConditionTrue, LastTransitionTime: now, Reason: batchv1.JobReasonCompletionsReached},
		{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: now, Reason: batchv1.JobReasonCompletionsReached},
	}
	if err := env.Client.Status().Update(b.t.Context(), job); err != nil {
		b.t.Fatalf("completing Job %s: %v", job.Name, err)
	}
}

// recordUnclaimed writes an event of a stream without a LiveStream as the receiver does.
func (b *bench) recordUnclaimed(events ...provider.Event) {
	b.t.Helper()
	domain := b.domain()
	before := domain.DeepCopy()
	for _, e := range events {
		unclaimed, _, err := push.ApplyUnclaimed(domain.Status.UnclaimedPushes, domain.Spec.UnknownStreams, e, b.clock.Now())
		if err != nil {
			b.t.Fatal(err)
		}
		domain.Status.UnclaimedPushes = unclaimed
	}
	if err := env.Client.Status().Patch(b.t.Context(), domain, client.MergeFrom(before)); err != nil {
		b.t.Fatalf("recording unclaimed pushes: %v", err)
	}
}

func of(e provider.Event, app, stream string) provider.Event {
	e.App, e.Stream = app, stream
	return e
}

// statusWrites is a client that counts the writes of a status through it.
func statusWrites(writes *int) client.WithWatch {
	return interceptor.NewClient(env.Client, interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, name string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			*writes++
			return c.SubResource(name).Patch(ctx, o, p, opts...)
		},
	})
}

// checkStream and checkDomain hold what is written to the rules of kstatus. Source:
// https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md.
func (b *bench) checkStream(name string) {
	b.t.Helper()
	stream := &v1alpha1.LiveStream{}
	if b.gone(name, stream) || stream.DeletionTimestamp != nil {
		return
	}
	checkKstatus(b.t, stream, stream.Status.ObservedGeneration, stream.Status.Conditions)
}

func (b *bench) checkDomain(name string) {
	b.t.Helper()
	domain := &v1alpha1.PushDomain{}
	if b.gone(name, domain) || domain.DeletionTimestamp != nil {
		return
	}
	checkKstatus(b.t, domain, domain.Status.ObservedGeneration, domain.Status.Conditions)
}

// checkKstatus: a status speaks of the latest spec; Ready is always there; Reconciling and Stalled only while True, never both, and
// not with Ready=True.
func checkKstatus(tb testing.TB, object client.Object, observed int64, conditions []metav1.Condition) {
	tb.Helper()
	if observed != object.GetGeneration() {
		tb.Errorf("kstatus: observedGeneration of %s is %d, want %d", object.GetName(), observed, object.GetGeneration())
	}
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	abnormal := slices.DeleteFunc(slices.Clone(conditions), func(c metav1.Condition) bool {
		return c.Type != v1alpha1.ConditionReconciling && c.Type != v1alpha1.ConditionStalled
	})
	switch {
	case ready == nil:
		tb.Errorf("kstatus: %s has no Ready", object.GetName())
	case ready.Status == metav1.ConditionTrue && len(abnormal) > 0, ready.Status == metav1.ConditionFalse && len(abnormal) != 1:
		tb.Errorf("kstatus: %s has Ready=%s with %+v", object.GetName(), ready.Status, abnormal)
	}
	for _, c := range abnormal {
		if c.Status != metav1.ConditionTrue {
			tb.Errorf("kstatus: %s of %s is there and not True: %+v", c.Type, object.GetName(), c)
		}
	}
	for _, c := range conditions {
		if c.Reason == "" || c.LastTransitionTime.IsZero() || c.ObservedGeneration > object.GetGeneration() {
			tb.Errorf("kstatus: condition %+v of %s", c, object.GetName())
		}
	}
}

// ago is a time before now by the bench's clock.
func (b *bench) ago(d time.Duration) time.Time { return b.clock.Now().Add(-d) }
