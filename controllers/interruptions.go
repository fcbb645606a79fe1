package controllers

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/push"
)

// interruptions is when this process saw streams become Interrupted. Their status has it from the clock of the replica that took the
// callback: where that is behind, the window would be cut short. What began before this process is taken at the status's word.
type interruptions struct {
	mu   sync.Mutex
	seen map[types.UID]time.Time
}

func (i *interruptions) note(stream types.UID, at time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.seen == nil {
		i.seen = map[types.UID]time.Time{}
	}
	i.seen[stream] = at
}

func (i *interruptions) forget(stream types.UID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.seen, stream)
}

// began is zero for one that was not seen to begin.
func (i *interruptions) began(stream types.UID) time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.seen[stream]
}

// followed keeps the interruptions by what the watch tells, and tells users what an event changed by itself: who took it only writes. It
// brings nothing to the queue.
func (r *LiveStreamReconciler) followed() handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	return handler.Funcs{
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, _ queue) {
			before, isStream := e.ObjectOld.(*v1alpha1.LiveStream)
			after, too := e.ObjectNew.(*v1alpha1.LiveStream)
			if madeAnew(e) {
				r.interruptions.forget(e.ObjectOld.GetUID())
				return
			}
			// Two interruptions may be two versions that follow each other: what was between them, a watch may leave out.
			if !isStream || !too || before.Status.State == after.Status.State && before.Status.Since.Equal(after.Status.Since) {
				return
			}
			if after.Status.State == v1alpha1.LiveStreamInterrupted {
				r.interruptions.note(after.UID, r.Clock.Now())
			} else {
				r.interruptions.forget(after.UID)
			}
			if r.leads() && !samePushes(before.Status.Pushes, after.Status.Pushes) {
				r.Tell.Changed(after, before.Status, after.Status)
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, _ queue) { r.interruptions.forget(e.Object.GetUID()) },
	}
}

func (r *LiveStreamReconciler) leads() bool {
	select {
	case <-r.Elected:
		return true
	default:
		return false
	}
}

// samePushes says whether the same pushes are live and ended: a report changes none, and an event does.
func samePushes(a, b []v1alpha1.Push) bool {
	return slices.EqualFunc(a, b, func(p, q v1alpha1.Push) bool { return p.Sequence == q.Sequence && push.IsLive(p) == push.IsLive(q) })
}
