package controllers

import (
	"context"
	"maps"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/internal/workload"
)

const (
	// podlessAfter is how long a Job may be without any Pod before the reason is looked for: a quota, or an admission policy.
	podlessAfter = 5 * time.Second
	// eventsPatience is how long a pass waits for the Events that tell it.
	eventsPatience = 2 * time.Second
	// The Events of a namespace are listed at most once in eventsEvery, and so seldom that one twentieth of the time is spent on it.
	eventsEvery = 2 * time.Second
	eventsShare = 20
	// eventsKept is how long what they told is kept.
	eventsKept = time.Hour
)

// podlessTroubles is why Jobs have no Pods, which only Events tell. To find those of one Job an API server reads all of the namespace, from etcd: so what a list
// tells is told to all who ask meanwhile, and where Events are many the next one waits. Of thousands of Jobs whose Pods are late each would ask otherwise.
type podlessTroubles struct {
	mu sync.Mutex
	in map[string]*listedTroubles
}

type listedTroubles struct {
	// begun is when they were last asked for, next when they may be again, told when the last list began that was answered.
	begun, next, told time.Time
	of                map[types.UID]string
}

// of says why the Job has no Pod, "" where nothing tells; it is known unless that takes a list which is not made now.
func (p *podlessTroubles) of(ctx context.Context, live client.Reader, clock clock.PassiveClock, namespace string, job *workload.Run) (trouble string, known bool) {
	begun := clock.Now()
	if trouble, known, ask := p.last(begun, namespace, job); !ask {
		return trouble, known
	}
	asking, cancel := context.WithTimeout(ctx, eventsPatience)
	defer cancel()
	var events corev1.EventList
	err := live.List(asking, &events, client.InNamespace(namespace), client.MatchingFields{"reason": workload.ReasonFailedCreate, "involvedObject.kind": "Job"})
	troubles := troublesOf(events.Items)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := clock.Now()
	listed := p.ofNamespace(namespace)
	listed.next = now.Add(max(eventsEvery, eventsShare*min(now.Sub(begun), eventsPatience)))
	if err != nil {
		ctrl.LoggerFrom(ctx).Info("Could not list the Events of Jobs without Pods; their messages stay as they were", "namespace", namespace, "reason", err.Error())
		return "", false
	}
	listed.told, listed.of = begun, troubles
	return troubles[job.UID], true
}

// last is what the last list told of the Job, and whether to ask for the next: nobody else does until that is done, or was given up.
func (p *podlessTroubles) last(now time.Time, namespace string, job *workload.Run) (trouble string, known, ask bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	listed := p.ofNamespace(namespace)
	if now.Before(listed.next) {
		trouble, known = listed.of[job.UID]
		return trouble, known || listed.told.After(job.Created.Add(podlessAfter)), false
	}
	maps.DeleteFunc(p.in, func(_ string, l *listedTroubles) bool { return l != listed && now.Sub(l.begun) > eventsKept })
	listed.begun, listed.next = now, now.Add(2*eventsPatience)
	return "", false, true
}

// ofNamespace is what is known of it, if nothing that nothing is; the lock is held.
func (p *podlessTroubles) ofNamespace(namespace string) *listedTroubles {
	if p.in == nil {
		p.in = map[string]*listedTroubles{}
	}
	if p.in[namespace] == nil {
		p.in[namespace] = &listedTroubles{}
	}
	return p.in[namespace]
}

func troublesOf(events []corev1.Event) map[types.UID]string {
	byJob := map[types.UID][]corev1.Event{}
	for _, e := range events {
		byJob[e.InvolvedObject.UID] = append(byJob[e.InvolvedObject.UID], e)
	}
	troubles := make(map[types.UID]string, len(byJob))
	for job, events := range byJob {
		troubles[job] = workload.PodlessTrouble(events)
	}
	return troubles
}
