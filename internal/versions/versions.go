// Package versions knows which versions of objects this process wrote a moment ago, and which ones it could not write on top of.
package versions

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// Within is how long a version that was written counts as the latest.
	Within = time.Second
	// most bounds what is remembered, to what a process can write within that time, and more.
	most = 8192
)

// Written remembers what was written. The API server's answer to a write is as good as a read at that moment: who sees that version in
// a cache within a second need not read it again. Its zero value with a clock is ready; nil knows nothing.
type Written struct {
	// Clock is monotonic, so that a process that was stopped knows nothing when it goes on.
	Clock clock.PassiveClock

	mu     sync.Mutex
	latest map[types.UID]version
}

type version struct {
	resourceVersion string
	at              time.Time
}

// Note keeps the version that the API server gave the object, and when the write was begun: another may have come right after it.
func (v *Written) Note(object types.UID, resourceVersion string, begun time.Time) {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.latest == nil {
		v.latest = map[types.UID]version{}
	}
	if len(v.latest) >= most {
		v.tidy()
	}
	v.latest[object] = version{resourceVersion, begun}
}

// tidy drops what is past its time, or all of it: who finds nothing reads.
func (v *Written) tidy() {
	now := v.Clock.Now()
	for uid, known := range v.latest {
		if now.Sub(known.at) >= Within {
			delete(v.latest, uid)
		}
	}
	if len(v.latest) >= most {
		clear(v.latest)
	}
}

// Has says whether this process wrote this very version within the last second.
func (v *Written) Has(object client.Object) bool {
	if v == nil {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	known, there := v.latest[object.GetUID()]
	return there && known.resourceVersion == object.GetResourceVersion() && v.Clock.Since(known.at) < Within
}

// Later says whether this process is known to have written a later version, so that this one is of the past.
func (v *Written) Later(object client.Object) bool {
	if v == nil {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	known, there := v.latest[object.GetUID()]
	if !there {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(known.resourceVersion, object.GetResourceVersion())
	return err == nil && order > 0
}
