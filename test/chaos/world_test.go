//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/faultproxy"
	"github.com/livestream-operator/livestream-operator/internal/installation"
)

const (
	callbackKey = "theCallbackKey0123456789"
	// bystander marks what looks like the operator's and is not.
	bystander = "chaos.example.com/bystander"
	// patience is far longer than anything takes that goes well, a change of leader included.
	patience = 40 * time.Second
)

// world is a namespace with streams, and an operator of its own that sees nothing else.
type world struct {
	ctx      context.Context //nolint:containedctx // it ends with the world
	name     string
	replicas []*replica
	// receivers are those replicas that callbacks are sent to.
	receivers []*replica
	options   options

	mu    sync.Mutex
	facts map[string]map[string]*told
	// taken is what was answered 200.
	taken    map[string]map[string]*told
	events   int
	failures []violation
	settled  []time.Duration
	// faulty says that something is to go wrong.
	faulty bool
	// slack is for how long faults may hold a call up, pauses are when processes were stopped; marks are where the counted calls begin, by
	// replica.
	slack  time.Duration
	pauses []interval
	marks  []int
	// ends are where rules end that make calls go wrong.
	ends       []int
	lateWrites int
	// owes is how long a write that did not come may come later, by its client's own account.
	owes time.Duration
	// extra counts faults that are done to processes.
	extra atomic.Int64
	// past is a revision to go back to, and mustHit are the faults that the run is worth nothing without.
	past    uint64
	mustHit []func() int
	// patience is how long anything may take, quiet how long nothing may be written once all is settled.
	patience, quiet time.Duration
	// look looks for what was answered 200.
	look func(event)
	// mayRefuse says that a good callback may be refused for a while.
	mayRefuse func(status int) bool
}

// options say what is in a world.
type options struct {
	binary   string
	replicas int
	// split has reconcilers, of which there are so many, and two receivers, as config/default has; else each replica does both.
	split   bool
	streams []string
	// change changes the LiveStreams before they are made.
	change func(*v1alpha1.LiveStream)
	scaled bool
	// arguments are further ones of a replica.
	arguments func(number int) []string
}

// outcome is what became of a world.
type outcome struct {
	violations []violation
	callsOf    [][]faultproxy.Call
	// exposed are the first of them, that something could have gone wrong with.
	exposed    [][]faultproxy.Call
	settled    []time.Duration
	faults     int
	events     int
	distinct   int
	pushes     int
	lateWrites int
}

// readyWorld is newWorld for those who have no use for a world that did not become ready.
func readyWorld(ctx context.Context, o options) (*world, error) {
	w, err := newWorld(ctx, o)
	if err != nil && w != nil {
		w.close()
		w = nil
	}
	return w, err
}

// newWorld returns a world with the error where its streams never became idle: the caller ends it.
func newWorld(ctx context.Context, o options) (*world, error) {
	w, err := emptyWorld(ctx, o)
	if err != nil {
		return nil, err
	}
	for i, p := range o.parts() {
		own := append([]string{"--leader-election-namespace=" + w.name}, p.arguments...)
		if o.arguments != nil {
			own = append(own, o.arguments(i)...)
		}
		r, err := newReplicaAs(p.account, w.name, o.binary, i, own...)
		if err != nil {
			w.close()
			return nil, err
		}
		w.replicas = append(w.replicas, r)
		if p.receives {
			w.receivers = append(w.receivers, r)
		}
		if err := w.until("a replica is ready", r.isReady); err != nil {
			return w, err
		}
		// The first one leads.
		if err := w.until("the streams are idle", func() error { return w.agrees() }); err != nil {
			return w, err
		}
	}
	for _, r := range w.replicas {
		w.marks = append(w.marks, r.proxy.Count())
	}
	return w, nil
}

// emptyWorld has no operator yet.
func emptyWorld(ctx context.Context, o options) (*world, error) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "chaos-"}}
	if err := installed.API.Create(ctx, namespace); err != nil {
		return nil, err
	}
	w := &world{
		ctx: ctx, name: namespace.Name, facts: map[string]map[string]*told{}, taken: map[string]map[string]*told{}, options: o,
		patience: patience, quiet: quiet(),
	}
	w.look, w.mayRefuse = w.isStored, func(int) bool { return false }
	if err := observed.begin(w.name, w.wasStopped); err != nil {
		w.close()
		return nil, fmt.Errorf("the observer is broken: %w", err)
	}
	for _, object := range w.objects() {
		object.SetNamespace(w.name)
		if err := installed.API.Create(ctx, object); err != nil {
			w.close()
			return nil, fmt.Errorf("making %s: %w", object.GetName(), err)
		}
	}
	err := w.until("the namespace is ready for Pods", func() error {
		return installed.API.Get(ctx, client.ObjectKey{Namespace: w.name, Name: "default"}, &corev1.ServiceAccount{})
	})
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *world) objects() []client.Object {
	reference := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "lease"}
	objects := []client.Object{
		// What config/rbac gives in the operator's own namespace.
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "lease"}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"create", "get", "update"}}}},
		&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "lease"}, RoleRef: reference, Subjects: []rbacv1.Subject{
			{Kind: "ServiceAccount", Name: installation.Both, Namespace: "livestream-system"},
			{Kind: "ServiceAccount", Name: installation.Reconciler, Namespace: "livestream-system"},
		}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "css"}, StringData: map[string]string{"callbackKey": callbackKey, "playbackKey": "thePlaybackKey0123456789"}},
		&v1alpha1.PushDomain{ObjectMeta: metav1.ObjectMeta{Name: "shows"}, Spec: v1alpha1.PushDomainSpec{
			Provider: v1alpha1.ProviderTencentCSS, Domain: "push.example.com",
			Callback: v1alpha1.Callback{KeySecretRefs: []v1alpha1.SecretKeyReference{{Name: "css", Key: "callbackKey"}}},
			Playback: v1alpha1.Playback{Domain: "play.example.com", KeySecretRef: v1alpha1.SecretKeyReference{Name: "css", Key: "playbackKey"}},
		}},
		w.bystander(),
	}
	if w.options.scaled {
		labels := map[string]string{"app": "packager"}
		objects = append(objects, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "packager"}, Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(0)), Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "packager", Image: "packager"}}}},
		}})
	}
	for _, name := range w.options.streams {
		stream := newStream(name)
		if w.options.change != nil {
			w.options.change(stream)
		}
		objects = append(objects, stream)
	}
	return objects
}

func newStream(name string) *v1alpha1.LiveStream {
	return &v1alpha1.LiveStream{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.LiveStreamSpec{
		PushDomainRef: v1alpha1.PushDomainReference{Name: "shows"}, AppName: "live", StreamName: name,
		LiveStreamSettings: v1alpha1.LiveStreamSettings{
			CleanStopWindowSeconds: new(int32(1)), ReconnectWindowSeconds: new(int32(8)), HistoryLimit: 50,
			Workloads: []v1alpha1.Workload{newWorkload("record")},
		},
	}}
}

func newWorkload(name string) v1alpha1.Workload {
	w := v1alpha1.Workload{Name: name, Job: &batchv1.JobTemplateSpec{}}
	w.Job.Spec.Template.Spec.Containers = []corev1.Container{{Name: name, Image: name}}
	w.Job.Spec.BackoffLimit = new(int32(0))
	return w
}

// bystander has the operator's labels and no owner.
func (w *world) bystander() *batchv1.Job {
	labels := map[string]string{bystander: "true", v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, v1alpha1.LabelLiveStream: w.options.streams[0],
		v1alpha1.LabelWorkload: "record", v1alpha1.LabelBroadcast: "other", v1alpha1.LabelPart: "1"}
	return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "bystander", Labels: labels}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec:       corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}}}
}

func (w *world) until(what string, holds func() error) error {
	return w.untilEvery(25*time.Millisecond, what, holds)
}

var errLate = errors.New("never came true")

// untilEvery waits; what does not come true in time is errLate, and a violation where the caller makes it one.
func (w *world) untilEvery(every time.Duration, what string, holds func() error) error {
	deadline := time.After(w.patience)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-w.ctx.Done():
			return w.ctx.Err()
		case <-deadline:
			return fmt.Errorf("%w: %s: %w", errLate, what, err)
		}
	}
}

// fail notes a violation. Where all there is against the world is that something took too long, it is told from a disagreement.
func (w *world) fail(k kind, format string, arguments ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if k == disagreement && slices.ContainsFunc(arguments, isLate) {
		k = unsettled
	}
	w.failures = append(w.failures, violation{k, fmt.Sprintf(format, arguments...)})
}

func isLate(argument any) bool {
	err, is := argument.(error)
	return is && errors.Is(err, errLate)
}

// interval is from one time to another.
type interval struct{ from, to time.Time }

// stops has a process stand still for a while.
func (w *world) stops(r *replica, d time.Duration) {
	w.stopsFor(r, func() { <-time.After(d) })
}

// stopsFor has a process stand still for as long as the wait.
func (w *world) stopsFor(r *replica, wait func()) {
	began := time.Now()
	if err := r.signal(syscall.SIGSTOP); err != nil {
		// It died meanwhile.
		return
	}
	w.extra.Add(1)
	wait()
	_ = r.signal(syscall.SIGCONT)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pauses = append(w.pauses, interval{began, time.Now()})
}

// mayTake is how long what usually takes no time may have taken between the two: for as long as a process was stopped, or a call held up.
func (w *world) mayTake(from, to time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	most := w.slack
	for _, p := range w.pauses {
		begin, end := p.from, p.to
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		most += max(0, end.Sub(begin))
	}
	return most
}

// callsOf are those that each replica made since the world was ready.
func (w *world) callsOf() [][]faultproxy.Call {
	var callsOf [][]faultproxy.Call
	for i, r := range w.replicas {
		if i < len(w.marks) {
			callsOf = append(callsOf, r.proxy.CallsFrom(w.marks[i]))
		}
	}
	return callsOf
}

func (w *world) calls() []faultproxy.Call { return slices.Concat(w.callsOf()...) }

// writes counts what the operator wrote. Leases are renewed all the time, and a PushDomain's status once a minute.
func (w *world) writes() int {
	n := 0
	for _, c := range w.calls() {
		if counts(c) {
			n++
		}
	}
	return n
}

func counts(c faultproxy.Call) bool {
	return c.Writes() && c.Resource != "leases" && c.Resource != "pushdomains/status"
}
