//go:build chaos

package chaos

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/internal/faultproxy"
)

// cutOff has the API server hear nothing of a replica any more, which lives on.
func (w *world) cutOff(r *replica) step {
	return func() error {
		w.mustHit = append(w.mustHit, r.proxy.Add(faultproxy.Rule{Times: -1, Fault: faultproxy.Fault{Drop: true}}))
		r.proxy.EndWatches()
		return nil
	}
}

func (*world) isBack(r *replica) step {
	return func() error {
		r.proxy.Clear()
		return nil
	}
}

func TestALeaderThatTheAPIServerDoesNotHearGivesWay(t *testing.T) {
	t.Parallel()
	w, err := readyWorld(t.Context(), options{binary: binary, replicas: 2, streams: []string{"show"}})
	if err != nil {
		t.Fatal(err)
	}
	w.faulty, w.owes = true, eventRetry
	before := w.leader()
	w.played(t, w.all(w.start("A"), w.cutOff(w.replicas[0]), w.stopped("A", clean), w.idle(), w.start("B"), func() error {
		if after := w.leader(); after == before {
			return errors.New("nobody else leads")
		}
		return nil
	}, w.isBack(w.replicas[0]), w.holds(3*time.Second, w.onAir()), w.sameJob(2), w.stopped("B", clean), w.idle()))
}

func TestANamespaceThatIsDeletedOnAirGoes(t *testing.T) {
	t.Parallel()
	w, err := readyWorld(t.Context(), options{binary: binary, streams: []string{"show"}, scaled: true, change: scales})
	if err != nil {
		t.Fatal(err)
	}
	// Its controller looks again when it reckons that the Pods are gone.
	w.patience = 3 * time.Minute
	err = w.all(w.start("A"), func() error {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.name}}
		if err := installed.API.Delete(w.ctx, namespace); err != nil {
			return err
		}
		w.extra.Add(1)
		return w.until("the namespace is gone", func() error {
			err := installed.API.Get(w.ctx, client.ObjectKey{Name: w.name}, namespace)
			if err == nil {
				err = errors.New("it is there")
			}
			if apierrors.IsNotFound(err) {
				return nil
			}
			return err
		})
	})
	if err != nil {
		w.fail(orphan, "%v", err)
	}
	// Who deletes a namespace takes the Jobs of what is on air: they are not judged.
	observed.end(w.name)
	count(t, w.outcome(nil))
}
