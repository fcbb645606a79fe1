//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/controlplane"
)

// killed kills a component of the control plane, waits, and starts it again.
func (w *world) killed(component string, away time.Duration) step {
	return func() error {
		w.extra.Add(1)
		if err := installed.Cluster.Kill(w.ctx, component); err != nil {
			return err
		}
		<-time.After(away)
		return installed.Cluster.Start(w.ctx, component)
	}
}

// meanwhile plays the second step when the first has begun, and waits for both.
func (w *world) meanwhile(first, second step) step {
	return func() error {
		done := make(chan error, 1)
		go func() { done <- first() }()
		<-time.After(500 * time.Millisecond)
		return w.all(second, func() error { return <-done })
	}
}

// All worlds share the control plane: this one is played before the others begin.
func TestTheControlPlaneIsKilled(t *testing.T) {
	w, err := readyWorld(t.Context(), options{binary: binary, replicas: 2, streams: []string{"show"}})
	if err != nil {
		t.Fatal(err)
	}
	w.faulty = true
	// The API server cannot be asked while it is away: what was answered 200 is looked for when it is back, by the model and the observer.
	w.look = func(event) {}
	w.slack = 30 * time.Second
	steps := []step{w.start("0")}
	for i, component := range []string{controlplane.APIServer, controlplane.Etcd} {
		next, last := fmt.Sprint(i+1), fmt.Sprint(i)
		steps = append(steps,
			w.meanwhile(w.killed(component, 2*time.Second), w.started(next)), w.onAir(),
			w.meanwhile(w.stopped(last, lost), w.killed(component, time.Second)), w.onAir())
	}
	steps = append(steps, w.sameJob(1), w.stopped("2", clean), w.idle())
	w.played(t, w.all(steps...))
}

// The API server begins the storage of a kind anew when its CRD changes, and tells watches that come back nothing of what was before. An
// observer that missed the first version of a push on air took its Job for one of a push that never was (CI, 2026-11-27).
func TestTheObserverSeesEachVersionAlsoWhileACRDChanges(t *testing.T) {
	w, err := emptyWorld(t.Context(), options{streams: []string{"show"}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	crd := &unstructured.Unstructured{}
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	if err := installed.API.Get(w.ctx, client.ObjectKey{Name: "livestreams." + v1alpha1.GroupVersion.Group}, crd); err != nil {
		t.Fatal(err)
	}
	generation := crd.GetGeneration()
	categories, _, err := unstructured.NestedStringSlice(crd.Object, "spec", "names", "categories")
	if err != nil {
		t.Fatal(err)
	}
	changes := func(categories []string) error {
		patch, err := json.Marshal(map[string]any{"spec": map[string]any{"names": map[string]any{"categories": categories}}})
		return errors.Join(err, installed.API.Patch(context.WithoutCancel(w.ctx), crd, client.RawPatch(types.MergePatchType, patch)))
	}
	t.Cleanup(func() {
		if err := changes(categories); err != nil {
			t.Error(err)
		}
	})
	var want []uint64
	stream, err := w.show()
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, revisionOf(stream))
	for i := range 200 {
		if i%20 == 10 {
			err = changes([]string{fmt.Sprint("chaos", i)})
		}
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"chaos.example.com/seen":"%d"}}}`, i)
		if err = errors.Join(err, installed.API.Patch(w.ctx, stream, client.RawPatch(types.MergePatchType, patch))); err != nil {
			t.Fatal(err)
		}
		want = append(want, revisionOf(stream))
	}
	if err := observed.caughtUp(w.ctx, map[string]uint64{"streams": want[len(want)-1]}); err != nil {
		t.Fatal(err)
	}
	if changed := crd.GetGeneration() - generation; changed != 10 {
		t.Errorf("the CRD changed %d times, want 10", changed)
	}
	var got []uint64
	for _, v := range observed.end(w.name).streams[stream.UID] {
		got = append(got, v.revision)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the revisions that were written, and those that were seen:\n%s", diff)
	}
}
