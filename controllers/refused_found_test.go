package controllers

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// Found by reading: the watch of LiveStreams stood still, and a stream whose write was refused tried the same one each second, on top of the same
// version, and started and stopped nothing meanwhile.
func TestAVersionThatWasRefusedIsReadFromTheAPIServerBeforeTheNextWrite(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		// past is what the cache shows, of what is another thing now.
		past func(b *bench) *v1alpha1.LiveStream
		// reads and writes are those of the pass after the refused write.
		reads, writes int
	}{
		"of repaired pushes": {func(b *bench) *v1alpha1.LiveStream {
			past := b.stream("show")
			b.record("show", b.ends("X", 1, v1alpha1.PushReasonClientStopped))
			b.recordUnclaimed(of(b.starts("A"), "live", "test"))
			return past
		}, 1, 2},
		"of a report": {func(b *bench) *v1alpha1.LiveStream {
			b.live("show", "X")
			b.record("show", b.ends("X", 12, v1alpha1.PushReasonNetworkError))
			past := b.stream("show")
			b.record("show", b.starts("A"))
			return past
		}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.show()
			past := tc.past(b)
			reads, writes := 0, 0
			b.reconciler.Live = streamReads(&reads)
			current := liveReader{statusWrites(&writes)}
			pass := func(what string, cache client.Client, wantReads, wantWrites int) {
				t.Helper()
				reads, writes = 0, 0
				b.reconciler.Client = cache
				b.reconcile("show")
				if reads != wantReads || writes != wantWrites {
					t.Errorf("%s: the LiveStream is read %d times and written %d times, want %d and %d", what, reads, writes, wantReads, wantWrites)
				}
			}
			pass("the write that is refused", staleReader{current, past}, 0, 1)
			pass("the next one", staleReader{current, past}, tc.reads, tc.writes)
			b.wantState("show", v1alpha1.LiveStreamLive)
			b.onlyJob()
			pass("the cache is still behind", staleReader{current, past}, 1, 0)
			pass("it is not any more", current, 0, 0)
			pass("what was refused is forgotten", staleReader{current, past}, 0, 1)
		})
	}
}
