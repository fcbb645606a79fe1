package webhook

import (
	"context"
	"maps"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// DomainStatus tells in the status of a push domain that callbacks arrive, and whether they verify. It writes beside the
// answering of callbacks, at most once a minute for each domain, and what is lost with a replica is told by the next callback.
type DomainStatus struct {
	// Cache reads push domains, Live reads them from the API server itself, Writer writes their status.
	Cache  client.Reader
	Live   client.Reader
	Writer client.StatusClient
	Clock  clock.PassiveClock

	mu      sync.Mutex
	pending map[types.NamespacedName]seen
	// corrected is when times that were ahead of the clock were written over last.
	corrected map[types.NamespacedName]time.Time
	wake      chan struct{}
}

// seen is what callbacks told of a domain since its status was last written.
type seen struct {
	// of is the push domain, which another one may follow under its name.
	of       types.UID
	verified *bool
	changed  bool
	// due is when it may be written.
	due time.Time
}

// NewDomainStatus returns a DomainStatus; it writes while Start runs.
func NewDomainStatus(cache, live client.Reader, writer client.StatusClient, clock clock.PassiveClock) *DomainStatus {
	return &DomainStatus{
		Cache: cache, Live: live, Writer: writer, Clock: clock,
		pending: map[types.NamespacedName]seen{}, corrected: map[types.NamespacedName]time.Time{}, wake: make(chan struct{}, 1),
	}
}

// Saw notes what a callback told of its domain.
func (d *DomainStatus) Saw(domain *v1alpha1.PushDomain, now seen) {
	at := d.Clock.Now()
	due := verifiedDue(domain, now, at)
	if due.After(at) && !*now.verified {
		// What is refused comes again. Kept, it would be written over what another replica has verified since.
		due = time.Time{}
	}
	if timeDue(domain, now, at) {
		due = at
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	name := client.ObjectKeyFromObject(domain)
	s, there := d.pending[name]
	if s.of != domain.UID {
		s, there = seen{of: domain.UID}, false
	}
	tells := !due.IsZero()
	if !there && (!tells || len(d.pending) >= domainQueue) || tells && tellsOfLater(domain, at) && !d.corrects(name, at) {
		return
	}
	// The last callback counts, also where it says what the status says.
	if now.verified != nil {
		s.verified = now.verified
	}
	s.changed = s.changed || now.changed
	d.put(name, s, due)
}

// later keeps what it is too early to write, unless a callback has told more since.
func (d *DomainStatus) later(name types.NamespacedName, s seen, due time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if more, there := d.pending[name]; there && (more.of != s.of || more.verified != nil) {
		return
	} else if there {
		more.verified, s = s.verified, more
	} else {
		s = seen{of: s.of, verified: s.verified}
	}
	d.put(name, s, due)
}

// put has it written when it is due, or before where more is due then. The lock is held.
func (d *DomainStatus) put(name types.NamespacedName, s seen, due time.Time) {
	if first := earlier(s.due, due); !first.Equal(s.due) {
		s.due = first
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
	d.pending[name] = s
}

// earlier is the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// merge puts what was seen into the status, and says whether there is anything to write that is due.
func (d *DomainStatus) merge(domain *v1alpha1.PushDomain, s seen) bool {
	now := d.Clock.Now()
	due := verifiedDue(domain, s, now)
	withTime, withVerified := timeDue(domain, s, now), !due.IsZero() && !due.After(now)
	at := metav1.NewTime(now.Truncate(time.Second))
	if withTime {
		domain.Status.LastCallbackTime = &at
	}
	if withVerified {
		condition := verifiedCondition(*s.verified)
		condition.ObservedGeneration, condition.LastTransitionTime = domain.Generation, at
		meta.SetStatusCondition(&domain.Status.Conditions, condition)
	}
	return withTime || withVerified
}

// corrects says whether times that are ahead of the clock may be written over, and notes that they are: replicas whose clocks differ would do
// so in turn with each callback. The lock is held.
func (d *DomainStatus) corrects(name types.NamespacedName, now time.Time) bool {
	maps.DeleteFunc(d.corrected, func(_ types.NamespacedName, at time.Time) bool { return now.Sub(at) >= domainEvery })
	if _, lately := d.corrected[name]; lately {
		return false
	}
	d.corrected[name] = now
	return true
}

// tellsOfLater says whether a clock that was ahead of this one wrote what callbacks told.
func tellsOfLater(domain *v1alpha1.PushDomain, now time.Time) bool {
	last, verified := domain.Status.LastCallbackTime, meta.FindStatusCondition(domain.Status.Conditions, v1alpha1.ConditionVerified)
	return last != nil && isAhead(last.Time, now) || verified != nil && isAhead(verified.LastTransitionTime.Time, now)
}

// isAhead leaves room for clocks that differ a little.
func isAhead(at, now time.Time) bool { return at.Sub(now) > domainEvery }

func isDue(last, now time.Time) bool {
	return now.Truncate(time.Second).Sub(last) >= domainEvery || isAhead(last, now)
}

func timeDue(domain *v1alpha1.PushDomain, s seen, now time.Time) bool {
	last := domain.Status.LastCallbackTime
	return s.changed && (last == nil || isDue(last.Time, now))
}

// verifiedDue is when Verified may change to what was seen, which is now or later; zero where it need not.
func verifiedDue(domain *v1alpha1.PushDomain, s seen, now time.Time) time.Time {
	if s.verified == nil || !domain.Spec.Callback.ChecksSignatures() {
		return time.Time{}
	}
	old := meta.FindStatusCondition(domain.Status.Conditions, v1alpha1.ConditionVerified)
	switch {
	case old != nil && old.Status == verifiedCondition(*s.verified).Status:
		return time.Time{}
	case old == nil || old.Status == metav1.ConditionUnknown || isDue(old.LastTransitionTime.Time, now):
		return now
	default:
		return old.LastTransitionTime.Add(domainEvery)
	}
}

func verifiedCondition(valid bool) metav1.Condition {
	if valid {
		return metav1.Condition{Type: v1alpha1.ConditionVerified, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonSignatureValid,
			Message: "the last callback was signed with one of the keys"}
	}
	return metav1.Condition{Type: v1alpha1.ConditionVerified, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonSignatureInvalid,
		Message: "a callback was refused: no key signed it, or it was out of date; compare the callback key in the CSS console with the Secret, and the operator's clock"}
}

// Start writes until the context ends. It implements manager.Runnable.
func (d *DomainStatus) Start(ctx context.Context) error {
	var timer <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.wake:
		case <-timer:
		}
		due, next := d.take()
		timer = nil
		if !next.IsZero() {
			timer = time.After(next.Sub(d.Clock.Now()))
		}
		for name, s := range due {
			if err := d.write(ctx, name, s); err != nil {
				ctrl.Log.WithName("receiver").V(1).Info("Could not write the status of the push domain; its next callback will", "PushDomain", name, "reason", err.Error())
			}
		}
	}
}

// NeedLeaderElection is false: every replica receives.
func (d *DomainStatus) NeedLeaderElection() bool { return false }

// take takes what may be written by now, and says when the next may be; zero for never.
func (d *DomainStatus) take() (due map[types.NamespacedName]seen, next time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.Clock.Now()
	due = map[types.NamespacedName]seen{}
	for name, s := range d.pending {
		if s.due.After(now) {
			next = earlier(next, s.due)
			continue
		}
		due[name] = s
		delete(d.pending, name)
	}
	return due, next
}

func (d *DomainStatus) write(ctx context.Context, name types.NamespacedName, s seen) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := d.writeOver(ctx, d.Cache, name, s)
	for range conflictTries {
		if !apierrors.IsConflict(err) {
			break
		}
		// The reconciler, or another replica, wrote it just now.
		err = d.writeOver(ctx, d.Live, name, s)
	}
	return client.IgnoreNotFound(err)
}

func (d *DomainStatus) writeOver(ctx context.Context, reader client.Reader, name types.NamespacedName, s seen) error {
	domain := &v1alpha1.PushDomain{}
	if err := reader.Get(ctx, name, domain); err != nil {
		return err
	}
	if s.of != domain.UID {
		return nil
	}
	now := d.Clock.Now()
	if due := verifiedDue(domain, s, now); due.After(now) && *s.verified {
		d.later(name, s, due)
	}
	next := domain.DeepCopy()
	if !d.merge(next, s) {
		return nil
	}
	return d.Writer.Status().Patch(ctx, next, client.MergeFromWithOptions(domain, client.MergeFromWithOptimisticLock{}))
}
