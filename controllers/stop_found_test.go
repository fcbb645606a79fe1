package controllers

import (
	"context"
	"errors"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// Found by make chaos: the API server refused the deletion of a Job for a while, the next push came meanwhile, and two recorders
// ran on one show.
func TestTheNextBroadcastStartsOnlyWhenTheJobsOfTheLastOneAreToldToEnd(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]error{
		"an error":                         errors.New("the API server is away"),
		"a conflict that is about nothing": apierrors.NewConflict(batchv1.Resource("jobs"), "any", errors.New("try again")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.show()
			b.live("show", "A")
			first := b.onlyJob()
			refused := true
			b.restart(interceptor.NewClient(env.Client, interceptor.Funcs{Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
				if refused {
					return refusal
				}
				return c.Delete(ctx, o, opts...)
			}}))
			b.record("show", b.ends("A", 1, v1alpha1.PushReasonClientStopped))
			tries := func() (failed bool) {
				_, err := b.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: b.namespace, Name: "show"}})
				return err != nil
			}
			_ = tries()
			b.pass(time.Minute)
			if !tries() {
				t.Error("a Job that could not be stopped is no error")
			}
			b.wantState("show", v1alpha1.LiveStreamIdle)
			b.record("show", b.starts("B"))
			if !tries() {
				t.Error("the next broadcast did not wait")
			}
			if running := b.running(); len(running) != 1 || running[0].UID != first.UID {
				t.Fatalf("%d Jobs run, want the first one alone", len(running))
			}
			refused = false
			b.settle("show")
			b.wantState("show", v1alpha1.LiveStreamLive)
			if running := b.running(); len(running) != 1 || running[0].UID == first.UID {
				t.Errorf("%d Jobs run, want the second one alone", len(running))
			}
		})
	}
}

// Found by make chaos: the watch of Jobs stood still, the broadcast ended and the next push came, and two recorders ran on one show.
func TestAJobThatTheCacheDoesNotShowIsToldToEndBeforeTheNextBroadcastStarts(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.live("show", "A")
	first := b.onlyJob()
	b.restart(noJobs(interceptor.Funcs{}))
	b.record("show", b.ends("A", 1, v1alpha1.PushReasonClientStopped))
	b.reconcile("show")
	b.pass(time.Minute)
	b.reconcile("show")
	b.wantState("show", v1alpha1.LiveStreamIdle)
	b.record("show", b.starts("B"))
	b.reconcile("show")
	b.wantState("show", v1alpha1.LiveStreamLive)
	if running := b.running(); len(running) != 1 || running[0].UID == first.UID {
		t.Errorf("%d Jobs run, want that of the second broadcast alone", len(running))
	}
}

// noJobs is a cache whose watch of Jobs stands still since before the first one.
func noJobs(funcs interceptor.Funcs) client.WithWatch { return onlyJobs(nil, funcs) }

// onlyJobs is a cache whose watch of Jobs stands still since these were as they are here.
func onlyJobs(shown []batchv1.Job, funcs interceptor.Funcs) client.WithWatch {
	funcs.List = func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		if jobs, is := list.(*batchv1.JobList); is {
			jobs.Items = (&batchv1.JobList{Items: shown}).DeepCopy().Items
			return nil
		}
		return c.List(ctx, list, opts...)
	}
	return interceptor.NewClient(env.Client, funcs)
}

// onceMade does something when the first Job is there, and before that is told.
func onceMade(do func() error) interceptor.Funcs {
	made := false
	return interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
		err := c.Create(ctx, o, opts...)
		if _, is := o.(*batchv1.Job); is && !made {
			made = true
			err = errors.Join(err, do())
		}
		return err
	}}
}

// Found by make chaos: the start of an earlier push came while the Job of a later one was made. The pass could not report it, the next one named
// the broadcast by the earlier push, and the watch of Jobs stood still.
func TestAStartThatComesLateHasNoSecondJobBesideThatOfTheOneThatOvertookIt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.restart(noJobs(onceMade(func() error {
		late := b.starts("A")
		late.Time = late.Time.Add(-10 * time.Second)
		b.record("show", late)
		return nil
	})))
	b.record("show", b.starts("B"))
	b.reconcile("show")
	first := b.onlyJob()
	b.pass(time.Second)
	b.reconcile("show")
	b.wantState("show", v1alpha1.LiveStreamLive)
	if running := b.running(); len(running) != 1 || running[0].UID != first.UID {
		t.Errorf("%d Jobs run, want the first one alone", len(running))
	}
}

// Found by the long storm of make chaos: a push of a moment ended while its Job was made, so that the pass could not report it; the watch of
// Jobs stood still; and the next push had a second recorder beside it.
func TestAJobThatNeitherStatusNorCacheShowHasNoSecondOneBesideIt(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(b *bench){
		"of one push": func(b *bench) { b.record("show", b.ends("A", 1, v1alpha1.PushReasonClientStopped)) },
		// The broadcast is named by the push that began first, and the other one ends last.
		"of a main and a backup push": func(b *bench) {
			b.record("show", b.starts("B"))
			b.pass(time.Second)
			b.record("show", b.ends("A", 1, v1alpha1.PushReasonClientStopped))
			b.pass(time.Second)
			b.record("show", b.ends("B", 1, v1alpha1.PushReasonClientStopped))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.show()
			b.restart(noJobs(onceMade(func() error { meanwhile(b); return nil })))
			b.record("show", b.starts("A"))
			b.reconcile("show")
			first := b.onlyJob()
			if status := b.stream("show").Status; len(status.Workloads) > 0 && status.Workloads[0].JobName != "" {
				t.Fatalf("the status knows the Job: %+v", status.Workloads)
			}
			b.reconcile("show")
			b.pass(time.Minute)
			b.reconcile("show")
			b.wantState("show", v1alpha1.LiveStreamIdle)
			b.record("show", b.starts("C"))
			b.reconcile("show")
			b.wantState("show", v1alpha1.LiveStreamLive)
			// What runs is taken for the broadcast that it is of.
			if running := b.running(); len(running) != 1 || running[0].UID != first.UID {
				t.Errorf("%d Jobs run, want the first one alone", len(running))
			}
			b.restart(env.Client)
			b.over("show", "C")
			if running := b.running(); len(running) != 0 {
				t.Errorf("%d Jobs run after the end", len(running))
			}
		})
	}
}

// Found by an attacker who knew only the design: kubectl delete job leaves the Pod to end within its grace period, and the Job was made anew under its
// name, to write to the same files beside it.
func TestAJobThatSomebodyDeletesIsFollowedByTheNextPart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	b.live("show", "A")
	first := b.onlyJob()
	b.restart(onlyJobs(nil, interceptor.Funcs{}))
	b.reconcile("show")
	if jobs := b.jobs(); len(jobs) != 1 || jobs[0].UID != first.UID {
		t.Fatalf("there are %d Jobs while the cache does not show the first, want it alone", len(jobs))
	}
	b.restart(env.Client)
	if err := env.Client.Delete(t.Context(), first, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Fatal(err)
	}
	b.settle("show")
	second := b.onlyJob()
	if second.Name == first.Name || second.Labels[v1alpha1.LabelPart] != "2" || second.Labels[v1alpha1.LabelBroadcast] != first.Labels[v1alpha1.LabelBroadcast] {
		t.Errorf("%s of part %s follows %s, want part 2 of the same broadcast", second.Name, second.Labels[v1alpha1.LabelPart], first.Name)
	}
}

// Found by reading: part 1 ended, part 2 was made and not reported, and the watch of Jobs stood still since before that. Only first parts were asked for.
func TestASecondPartThatNeitherStatusNorCacheShowsHasNoJobBesideIt(t *testing.T) {
	t.Parallel()
	ends := func(b *bench) { b.record("show", b.ends("A", 1, v1alpha1.PushReasonClientStopped)) }
	fails := func(b *bench, job *batchv1.Job) { b.fail(job) }
	for name, tc := range map[string]struct {
		// first is what becomes of part 1, and made is what happens when part 2 is there.
		first func(b *bench, job *batchv1.Job)
		made  func(b *bench) error
	}{
		"the push ended before it was reported": {fails, func(b *bench) error { ends(b); return nil }},
		"the answer to its creation was lost":   {fails, func(*bench) error { return apierrors.NewInternalError(errors.New("connection reset")) }},
		"somebody deleted part 1": {func(b *bench, job *batchv1.Job) {
			if err := env.Client.Delete(b.t.Context(), job, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
				b.t.Fatal(err)
			}
		}, func(b *bench) error { ends(b); return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.show()
			b.live("show", "A")
			first := b.onlyJob()
			tc.first(b, first)
			b.restart(onlyJobs(b.jobs(), onceMade(func() error { return tc.made(b) })))
			b.pass(10 * time.Second)
			_, _ = b.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: b.namespace, Name: "show"}})
			second := b.running()
			if len(second) != 1 || second[0].Labels[v1alpha1.LabelPart] != "2" {
				t.Fatalf("%d Jobs run, want part 2 alone", len(second))
			}
			if status := b.stream("show").Status; status.Workloads[0].JobName == second[0].Name {
				t.Fatalf("the status knows the Job: %+v", status.Workloads)
			}
			if len(push.Live(b.stream("show").Status.Pushes)) > 0 {
				ends(b)
			}
			b.reconcile("show")
			b.pass(time.Minute)
			b.settle("show")
			b.wantState("show", v1alpha1.LiveStreamIdle)
			b.record("show", b.starts("B"))
			b.reconcile("show")
			status := b.wantState("show", v1alpha1.LiveStreamLive)
			if running := b.running(); len(running) != 1 || running[0].Labels[v1alpha1.LabelBroadcast] != status.Broadcast.ID {
				t.Errorf("%d Jobs run, want that of the second broadcast alone", len(running))
			}
		})
	}
}

// Found by the long storm of make chaos, or nearly so: a leader that is stopped between its look and the Job, past its lease, goes on where it was.
func TestALeaderThatWasStoppedSinceItLookedMakesNoJob(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	looks := 0
	b.reconciler.Live = interceptor.NewClient(env.Client, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		err := c.Get(ctx, key, o, opts...)
		if isStream(o) {
			if looks++; looks == 1 {
				b.pass(decisionLife + time.Second)
			}
		}
		return err
	}})
	b.record("show", b.starts("A"))
	b.pass(recordedWithin)
	_, err := b.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: b.namespace, Name: "show"}})
	if !errors.Is(err, errOutdated) || len(b.jobs()) != 0 {
		t.Errorf("Reconcile() = %v with %d Jobs made on a look that is as old as a lease, want %v and none", err, len(b.jobs()), errOutdated)
	}
	b.reconcile("show")
	b.onlyJob()
}

// Found by make chaos: a report met a conflict that no version followed, and the workload was Pending for good.
func TestAReportThatIsRefusedForAVersionThatNeverComesIsMadeAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.show()
	refused := false
	b.restart(interceptor.NewClient(env.Client, interceptor.Funcs{SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
		if isStream(o) && !refused {
			refused = true
			return apierrors.NewConflict(v1alpha1.GroupVersion.WithResource("livestreams").GroupResource(), o.GetName(), errors.New("try again"))
		}
		return c.SubResource(sub).Patch(ctx, o, patch, opts...)
	}}))
	b.record("show", b.starts("A"))
	if again := b.reconcile("show"); again.RequeueAfter != versionPatience {
		t.Errorf("it looks again after %s, want %s", again.RequeueAfter, versionPatience)
	}
	b.reconcile("show")
	b.wantState("show", v1alpha1.LiveStreamLive)
}
