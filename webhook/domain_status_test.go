package webhook

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/css"
)

// writesDomains writes what is due of push domains, and waits until the receiver's cache has it.
func (d *desk) writesDomains() {
	d.t.Helper()
	due, _ := d.handler.Domains.take()
	for name, told := range due {
		if err := d.handler.Domains.write(d.t.Context(), name, told); err != nil {
			d.t.Fatal(err)
		}
	}
	d.knowsDomain()
}

// knowsDomain waits until the receiver's cache has the push domain as it is.
func (d *desk) knowsDomain() {
	d.t.Helper()
	domain := d.domain()
	d.eventually("the receiver's cache knows the push domain", func() bool {
		cached := &v1alpha1.PushDomain{}
		return d.handler.Cache.Get(d.t.Context(), client.ObjectKeyFromObject(domain), cached) == nil && cached.ResourceVersion == domain.ResourceVersion
	})
}

// told posts a callback that verifies, or one that does not.
func (d *desk) told(valid bool) {
	d.t.Helper()
	key, want := callbackKey, http.StatusOK
	if !valid {
		key, want = "wrong", http.StatusUnauthorized
	}
	status, _, err := css.Post(d.t.Context(), d.url+d.path(), d.push("a").Start(showTime).Signed(key, d.clock.Now()))
	if err != nil || status != want {
		d.t.Fatalf("answered %d, %v, want %d", status, err, want)
	}
}

func (d *desk) verified() metav1.Condition {
	d.t.Helper()
	if c := meta.FindStatusCondition(d.domain().Status.Conditions, v1alpha1.ConditionVerified); c != nil {
		return *c
	}
	return metav1.Condition{}
}

func TestVerifiedFollowsTheLastCallbackAsSoonAsItMayChange(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		// lately are callbacks within a minute of the first one.
		lately []bool
		want   metav1.ConditionStatus
		since  time.Duration
	}{
		{"one that verifies counts when the minute is over", []bool{true}, metav1.ConditionTrue, domainEvery},
		{"nothing changes where the last one does not verify either", []bool{true, false}, metav1.ConditionFalse, 0},
		{"of many the last one counts", []bool{true, false, true}, metav1.ConditionTrue, domainEvery},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			now := d.clock.(*testclock.FakePassiveClock)
			d.told(false)
			d.writesDomains()
			now.SetTime(showTime.Add(domainEvery - 20*time.Second))
			for _, valid := range row.lately {
				d.told(valid)
			}
			// What is due is the time of the callback that changed a push.
			d.writesDomains()
			if got := d.verified(); got.Status != metav1.ConditionFalse {
				t.Errorf("Verified is %s within a minute, want False", got.Status)
			}
			now.SetTime(showTime.Add(domainEvery - time.Millisecond))
			d.writesDomains()
			if got := d.verified(); got.Status != metav1.ConditionFalse {
				t.Errorf("Verified is %s before the minute is over, want False", got.Status)
			}
			now.SetTime(showTime.Add(domainEvery))
			d.writesDomains()
			if got := d.verified(); got.Status != row.want || !got.LastTransitionTime.Time.Equal(showTime.Add(row.since)) {
				t.Errorf("Verified is %s since %s, want %s since %s after the first one", got.Status, got.LastTransitionTime, row.want, row.since)
			}
		})
	}
}

// Another replica may have verified callbacks since, which tell this one nothing. What is refused comes again.
func TestARefusedCallbackWithinTheMinuteIsNotKept(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	now := d.clock.(*testclock.FakePassiveClock)
	d.told(true)
	d.writesDomains()
	now.SetTime(showTime.Add(domainEvery / 2))
	d.told(false)
	now.SetTime(showTime.Add(2 * domainEvery))
	d.writesDomains()
	if got := d.verified(); got.Status != metav1.ConditionTrue {
		t.Errorf("Verified is %s, want True as before", got.Status)
	}
}

func TestWhatIsKeptForVerifiedGoesWithItsPushDomainAndItsKeys(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*desk){
		"another one has its name": func(d *desk) {
			domain := d.domain()
			if err := env.Client.Delete(t.Context(), domain); err != nil {
				t.Fatal(err)
			}
			made := &v1alpha1.PushDomain{ObjectMeta: metav1.ObjectMeta{Name: domain.Name, Namespace: domain.Namespace}, Spec: domain.Spec}
			if err := env.Client.Create(t.Context(), made); err != nil {
				t.Fatal(err)
			}
		},
		"signatures are not checked any more": func(d *desk) {
			domain := d.domain()
			domain.Spec.Callback = v1alpha1.Callback{Authentication: v1alpha1.CallbackAuthenticationNone}
			if err := env.Client.Update(t.Context(), domain); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			now := d.clock.(*testclock.FakePassiveClock)
			d.told(false)
			d.writesDomains()
			now.SetTime(showTime.Add(domainEvery / 2))
			d.told(true)
			change(d)
			d.knowsDomain()
			before := meta.FindStatusCondition(d.domain().Status.Conditions, v1alpha1.ConditionVerified)
			now.SetTime(showTime.Add(2 * domainEvery))
			d.writesDomains()
			after := meta.FindStatusCondition(d.domain().Status.Conditions, v1alpha1.ConditionVerified)
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("Verified changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestTheReceiverWakesWhenVerifiedMayChange(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d = openDesk(t, d.namespace, clock.RealClock{})
	d.knows("show")
	domain := d.domain()
	refused := verifiedCondition(false)
	refused.LastTransitionTime = metav1.NewTime(time.Now().Add(2*time.Second - domainEvery).Truncate(time.Second))
	meta.SetStatusCondition(&domain.Status.Conditions, refused)
	if err := env.Client.Status().Update(t.Context(), domain); err != nil {
		t.Fatal(err)
	}
	d.knowsDomain()
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- d.handler.Domains.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	}()
	d.told(true)
	d.eventually("Verified is True", func() bool { return d.verified().Status == metav1.ConditionTrue })
	if took := d.verified().LastTransitionTime.Sub(refused.LastTransitionTime.Time); took < domainEvery {
		t.Errorf("Verified changed after %s, want %s", took, domainEvery)
	}
}
