package mainjob

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// holdLease keeps every replica from becoming the leader, so that it receives and does not reconcile.
func holdLease(t *testing.T) (release func()) {
	t.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "livestream-operator", Namespace: "livestream-system"}}
	if err := client.IgnoreNotFound(api.Delete(t.Context(), lease)); err != nil {
		t.Fatal(err)
	}
	lease.Spec = coordinationv1.LeaseSpec{
		HolderIdentity: new("the test"), LeaseDurationSeconds: new(int32(3600)),
		AcquireTime: new(metav1.NowMicro()), RenewTime: new(metav1.NowMicro()), LeaseTransitions: new(int32(1)),
	}
	if err := api.Create(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := client.IgnoreNotFound(api.Delete(t.Context(), lease)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKilledBetweenTheAnswerAndTheJob(t *testing.T) {
	s := newShow(t)
	release := holdLease(t)
	m := startManager(t, "--leader-elect")
	s.deliver(m, s.start("1001"))
	m.kill()
	if jobs := s.jobs(); len(jobs) != 0 {
		t.Fatalf("there are %d Jobs already: the test does not hit the moment", len(jobs))
	}
	release()
	startManager(t)
	s.reaches(v1alpha1.LiveStreamLive, v1alpha1.WorkloadRunning)
	s.oneJob()
}

func TestKilledBetweenTheJobAndTheStatus(t *testing.T) {
	s := newShow(t)
	receiver := startManager(t)
	s.isIdle()
	// Without the right to write a status, the operator makes the Job and gets no further.
	role := &rbacv1.ClusterRole{}
	if err := api.Get(t.Context(), client.ObjectKey{Name: "livestream-reconciler"}, role); err != nil {
		t.Fatal(err)
	}
	whole := role.DeepCopy()
	release := holdLease(t)
	receiver.kill()
	receiver = startManager(t, "--leader-elect")
	s.deliver(receiver, s.start("1001"))
	receiver.kill()
	release()
	for i, rule := range role.Rules {
		if rule.Verbs[0] == "patch" && rule.APIGroups[0] == v1alpha1.GroupVersion.Group {
			role.Rules[i].Verbs = []string{"get"}
		}
	}
	if err := api.Update(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	m := startReconciler(t)
	eventually(t, "the Job is made", func() error {
		if len(s.jobs()) == 0 {
			return fmt.Errorf("there is none")
		}
		return nil
	})
	m.kill()
	// The event itself said that it is Live, and Pending.
	if workloads := s.stream().Status.Workloads; len(workloads) != 1 || workloads[0].JobName != "" {
		t.Fatalf("the status was written, with %+v: the test does not hit the moment", workloads)
	}
	job := s.jobs()[0]
	whole.ResourceVersion = role.ResourceVersion
	if err := api.Update(t.Context(), whole); err != nil {
		t.Fatal(err)
	}
	startManager(t)
	s.reaches(v1alpha1.LiveStreamLive, v1alpha1.WorkloadRunning)
	if got := s.oneJob(); got.UID != job.UID {
		t.Errorf("Job %s was replaced by %s", job.Name, got.Name)
	}
}

func TestKilledAtRandomMoments(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	s := newShow(t)
	m := startManager(t)
	s.isIdle()
	for round := range 6 {
		sequence := fmt.Sprint(2000 + round)
		s.deliver(m, s.start(sequence))
		<-time.After(time.Duration(r.Int64N(int64(25 * time.Millisecond))))
		m.kill()
		m = startManager(t)
		s.reaches(v1alpha1.LiveStreamLive, v1alpha1.WorkloadRunning)
		s.oneJob()
		s.deliver(m, s.stop(sequence))
		<-time.After(time.Duration(r.Int64N(int64(25 * time.Millisecond))))
		m.kill()
		m = startManager(t)
		s.reaches(v1alpha1.LiveStreamIdle, v1alpha1.WorkloadStopped)
		eventually(t, "the Job is gone", func() error {
			if left := len(s.jobs()); left > 0 {
				return fmt.Errorf("there are %d", left)
			}
			return nil
		})
	}
	if history := s.stream().Status.History; len(history) != 5 {
		t.Errorf("the history has %d broadcasts, want the last 5", len(history))
	}
}

func TestTwoManagersOfWhichTheLeaderDies(t *testing.T) {
	s := newShow(t)
	release := holdLease(t)
	release()
	managers := []*manager{startManager(t, "--leader-elect"), startManager(t, "--leader-elect")}
	s.deliver(managers[0], s.start("1001"))
	s.reaches(v1alpha1.LiveStreamLive, v1alpha1.WorkloadRunning)
	job := s.oneJob()
	// The first one was started alone and leads.
	managers[0].kill()
	survivor := managers[1]
	for i := range 20 {
		// Every one of them at the first try.
		if status, err := s.send(survivor, s.start(fmt.Sprint(3000+i))); err != nil || status != http.StatusOK {
			t.Errorf("callback %d after the leader's death is answered %d, %v", i, status, err)
		}
	}
	s.deliver(survivor, s.stop("1001"))
	for i := range 20 {
		s.deliver(survivor, s.stop(fmt.Sprint(3000+i)))
	}
	s.deliver(survivor, s.start("4000"))
	eventually(t, "the survivor leads and counts the new push", func() error {
		if b := s.stream().Status.Broadcast; b.Pushes < 2 {
			return fmt.Errorf("the broadcast is %+v", b)
		}
		return nil
	})
	if got := s.oneJob(); got.UID != job.UID {
		t.Errorf("Job %s was replaced by %s", job.Name, got.Name)
	}
}
