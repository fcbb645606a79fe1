//go:build chaos

package chaos

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

const (
	steadyStreams  = 100
	passingStreams = 4
	// senders is how many events are on their way at once.
	senders = 8
)

// traffic is callbacks that come all the time. Its pushes never end the broadcast of a steady stream.
type traffic struct {
	fleet  *fleet
	pushes map[string]int
	ending chan struct{}
	work   sync.WaitGroup
}

func steady(i int) string  { return fmt.Sprint("steady-", i) }
func passing(i int) string { return fmt.Sprint("passing-", i) }

// sequenceOf is unlike its number: sequences do not grow with time.
func sequenceOf(n int) string { return fmt.Sprintf("%d%03d", (n*7919+5)%10007, n) }

// begin sends until end.
func (f *fleet) begin(pushes map[string]int) *traffic {
	t := &traffic{fleet: f, pushes: pushes, ending: make(chan struct{})}
	var mu sync.Mutex
	next := func(stream string) int {
		mu.Lock()
		defer mu.Unlock()
		t.pushes[stream]++
		return t.pushes[stream]
	}
	for s := range senders {
		t.work.Go(func() {
			for i := s; ; i += senders {
				if i >= steadyStreams {
					i = s
				}
				select {
				case <-t.ending:
					return
				case <-time.After(150 * time.Millisecond):
				}
				t.reconnect(steady(i), next(steady(i)))
			}
		})
	}
	for i := range passingStreams {
		t.work.Go(func() {
			for {
				select {
				case <-t.ending:
					return
				case <-time.After(time.Second):
				}
				sequence := sequenceOf(next(passing(i)))
				f.send(started(passing(i), sequence))
				<-time.After(1500 * time.Millisecond)
				f.send(ended(passing(i), sequence, clean))
			}
		})
	}
	return t
}

// reconnect goes from one push of the stream to the next, in one of the ways that there are.
func (t *traffic) reconnect(stream string, n int) {
	before, after := sequenceOf(n-1), sequenceOf(n)
	switch n % 3 {
	case 0:
		// The next pusher is there before this one goes.
		t.fleet.send(started(stream, after))
		t.fleet.send(ended(stream, before, lost))
	case 1:
		t.fleet.send(ended(stream, before, lost))
		<-time.After(300 * time.Millisecond)
		t.fleet.send(started(stream, after))
	default:
		// At once, on two ways.
		var both sync.WaitGroup
		both.Go(func() { t.fleet.send(ended(stream, before, lost)) })
		both.Go(func() { t.fleet.send(started(stream, after)) })
		both.Wait()
	}
	// What was told comes again, and the start of a push that is over, too.
	t.fleet.send(started(stream, after))
	t.fleet.send(started(stream, before))
}

func (t *traffic) end() {
	close(t.ending)
	t.work.Wait()
}

// identities are the Jobs and Pods of the steady streams, each with all that tells whether somebody touched it.
func (w *world) identities() (map[string]string, error) {
	var jobs batchv1.JobList
	var pods corev1.PodList
	in, ours := client.InNamespace(w.name), client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	if err := errors.Join(installed.API.List(w.ctx, &jobs, in, ours), installed.API.List(w.ctx, &pods, in, ours)); err != nil {
		return nil, err
	}
	found := map[string]string{}
	add := func(kind string, o client.Object) {
		if strings.HasPrefix(o.GetLabels()[v1alpha1.LabelLiveStream], "steady-") {
			found[kind+" "+o.GetName()] = fmt.Sprintf("%s, version %s, deleted %v", o.GetUID(), o.GetResourceVersion(), o.GetDeletionTimestamp())
		}
	}
	for i := range jobs.Items {
		add("Job", &jobs.Items[i])
	}
	for i := range pods.Items {
		add("Pod", &pods.Items[i])
	}
	return found, nil
}

// untouched sees that the Jobs and Pods are those that were there, and that there never was another.
func (w *world) untouched(before map[string]string) {
	after, err := w.identities()
	if diff := gocmp.Diff(before, after); diff != "" || err != nil {
		w.fail(wrongStop, "what ran was touched (-before +after), %v:\n%s", err, diff)
	}
	w.catchUp()
	made := map[string]int{}
	observed.mu.Lock()
	defer observed.mu.Unlock()
	for _, j := range observed.worlds[w.name].jobs {
		made[j.latest.Labels[v1alpha1.LabelLiveStream]]++
	}
	for i := range steadyStreams {
		if n := made[steady(i)]; n != 1 {
			w.fail(doubled, "%s had %d Jobs in its one broadcast", steady(i), n)
		}
	}
}

// upgradeWorld has the streams, all idle, and the previous build.
func upgradeWorld(ctx context.Context, builds ...build) (*fleet, error) {
	o := options{streams: []string{"probe"}, change: func(s *v1alpha1.LiveStream) {
		if strings.HasPrefix(s.Name, "steady-") {
			// Longer than the test.
			s.Spec.ReconnectWindowSeconds = new(int32(1800))
		}
	}}
	for i := range steadyStreams {
		o.streams = append(o.streams, steady(i))
	}
	for i := range passingStreams {
		o.streams = append(o.streams, passing(i))
	}
	w, err := emptyWorld(ctx, o)
	if err != nil {
		return nil, err
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "lease-of-each-build", Namespace: w.name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "lease"},
	}
	for _, b := range builds {
		for _, d := range b.deployments {
			binding.Subjects = append(binding.Subjects, rbacv1.Subject{Kind: "ServiceAccount", Name: d.account, Namespace: "livestream-system"})
		}
	}
	if err := installed.API.Create(ctx, binding); err != nil {
		w.close()
		return nil, err
	}
	f := &fleet{w: w}
	return f, f.replaceBy(builds[0])
}

// works sees that the build which is left does its work: a stream comes and goes.
func (f *fleet) works(sequence string) error {
	is := func(state v1alpha1.LiveStreamState, running int) func() error {
		return func() error {
			s, jobs := &v1alpha1.LiveStream{}, &batchv1.JobList{}
			if err := errors.Join(installed.API.Get(f.w.ctx, client.ObjectKey{Namespace: f.w.name, Name: "probe"}, s),
				installed.API.List(f.w.ctx, jobs, client.InNamespace(f.w.name), client.MatchingLabels{v1alpha1.LabelLiveStream: "probe"})); err != nil {
				return err
			}
			ours := slices.DeleteFunc(jobs.Items, func(j batchv1.Job) bool { return !active(&j) })
			if s.Status.State != state || len(ours) != running {
				return fmt.Errorf("it is %s with %d Jobs", s.Status.State, len(ours))
			}
			return nil
		}
	}
	f.send(started("probe", sequence))
	if err := f.w.until("a stream goes on air", is(v1alpha1.LiveStreamLive, 1)); err != nil {
		return err
	}
	f.send(ended("probe", sequence, clean))
	return f.w.until("a stream goes off air", is(v1alpha1.LiveStreamIdle, 0))
}

// goLive puts all steady streams on air, and notes what runs for them.
func (f *fleet) goLive(pushes map[string]int) (map[string]string, error) {
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for i := s; i < steadyStreams; i += senders {
				f.send(started(steady(i), sequenceOf(0)))
			}
		})
	}
	sending.Wait()
	for i := range steadyStreams {
		pushes[steady(i)] = 0
	}
	if err := f.w.until("all streams are on air and their Jobs run", f.w.agrees); err != nil {
		return nil, err
	}
	f.w.rest()
	return f.w.identities()
}

// swap is one change of the build that runs: what is installed first, if anything, and what runs then.
type swap struct {
	name    string
	install *build
	to      build
}

func (f *fleet) change(s swap, number int) error {
	if s.install != nil {
		if err := s.install.install(f.w.ctx); err != nil {
			return err
		}
	}
	if err := f.replaceBy(s.to); err != nil {
		return err
	}
	return f.works(fmt.Sprint(70+number, "00"))
}

func (f *fleet) play(s swap, number int, pushes map[string]int, before map[string]string) error {
	t := f.begin(pushes)
	err := f.change(s, number)
	t.end()
	if err != nil {
		return err
	}
	f.w.settle()
	f.w.rest()
	f.w.untouched(before)
	return nil
}

// The builds share nothing but what is in etcd: CRDs, status, labels of Jobs, the name of the Lease.
func TestThePreviousBuildAndThisOneReplaceEachOtherWhileStreamsAreOnAir(t *testing.T) {
	current := build{name: "current", binary: binary, config: filepath.Join(installed.Root, "config"), deployments: currentDeployments}
	previous := previousBuild(t)
	t.Cleanup(func() {
		ctx := context.Background()
		if output, err := installed.Kubectl(ctx, "delete", "--ignore-not-found", "-k", filepath.Join(previous.config, "rbac")); err != nil {
			t.Errorf("%v: %s", err, output)
		}
		if err := current.install(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := previous.install(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	f, err := upgradeWorld(t.Context(), previous, current)
	if f == nil {
		t.Fatal(err)
	}
	w, pushes, swaps := f.w, map[string]int{}, 0
	var before map[string]string
	if err == nil {
		before, err = f.goLive(pushes)
	}
	t.Logf("%d streams on air after %s", steadyStreams, time.Since(began))
	for i, s := range []swap{
		{name: "an upgrade", install: &current, to: current},
		{name: "a rollback that keeps the CRDs", to: previous},
		{name: "an upgrade again", to: current},
		{name: "a rollback of the CRDs, too", install: &previous, to: previous},
	} {
		// What comes after a failure tells nothing of its own.
		if err != nil || len(w.failures) > 0 {
			break
		}
		err = f.play(s, i, pushes, before)
		t.Logf("%s after %s, %d events", s.name, time.Since(began), w.answered())
		swaps++
	}
	if err != nil {
		w.fail(disagreement, "%v", err)
	}
	o := w.finish()
	if len(o.violations) == 0 {
		results.upgraded(swaps)
	}
	count(t, o)
}
