package versions

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Refused remembers which versions a cache showed when a write on top of them was refused. While it still shows one, another write would be
// refused too. Its zero value is ready. There is one version at most for each object that the cache shows, where it is told of those that go.
type Refused struct {
	mu    sync.Mutex
	shown map[types.NamespacedName]string
}

// Note keeps the version that the cache shows of the object.
func (r *Refused) Note(name types.NamespacedName, shown string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shown == nil {
		r.shown = map[types.NamespacedName]string{}
	}
	r.shown[name] = shown
}

// Has says whether the cache shows what it showed then, and forgets that where it does not.
func (r *Refused) Has(name types.NamespacedName, shown string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	version, there := r.shown[name]
	if there && version != shown {
		delete(r.shown, name)
	}
	return there && version == shown
}

// Forget is for an object that the cache does not show any more.
func (r *Refused) Forget(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.shown, name)
}
