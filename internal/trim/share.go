package trim

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

const (
	// mostTexts bounds the texts that are kept once. Those that repeat are few; when others fill the table it begins anew.
	mostTexts = 16 << 10
	// longestText is the longest that is looked for.
	longestText = 256
	// mostMaps bounds the maps of labels and annotations that are kept once.
	mostMaps = 1 << 10
	// longestMap is how long they may be together.
	longestMap = 4 << 10
	// mostSettings bounds the settings that are kept once, and mostAlike those of them that look alike at first glance.
	mostSettings = 512
	mostAlike    = 4
)

// texts keeps equal texts once.
type texts struct {
	mu    sync.Mutex
	known map[string]string
	maps  map[string]map[string]string
}

func (t *texts) each(fields ...*string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, field := range fields {
		*field = t.once(*field)
	}
}

func (t *texts) once(text string) string {
	if text == "" || len(text) > longestText {
		return text
	}
	if known, there := t.known[text]; there {
		return known
	}
	if t.known == nil || len(t.known) >= mostTexts {
		t.known = map[string]string{}
	}
	// A copy: the text may be part of a larger one, which would be kept with it.
	text = strings.Clone(text)
	t.known[text] = text
	return text
}

// words are the same keys and values, in one map for all who have them.
func (t *texts) words(all map[string]string) map[string]string {
	if len(all) == 0 {
		return nil
	}
	keys := slices.Sorted(maps.Keys(all))
	var content strings.Builder
	for _, key := range keys {
		// With lengths, as values may hold anything.
		_, _ = fmt.Fprintf(&content, "%d %s %d %s ", len(key), key, len(all[key]), all[key])
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, there := t.maps[content.String()]; there {
		return known
	}
	kept := make(map[string]string, len(all))
	for key, value := range all {
		kept[t.once(key)] = t.once(value)
	}
	if content.Len() > longestMap {
		return kept
	}
	if t.maps == nil || len(t.maps) >= mostMaps {
		t.maps = map[string]map[string]string{}
	}
	t.maps[content.String()] = kept
	return kept
}

// settings keeps equal settings once: many LiveStreams run the same.
type settings struct {
	mu    sync.Mutex
	known map[glance][]v1alpha1.LiveStreamSettings
	count int
}

// glance is what is quickly compared.
type glance struct {
	workloads, renditions int
	first, image, claim   string
}

func glanceAt(s *v1alpha1.LiveStreamSettings) glance {
	g := glance{workloads: len(s.Workloads), renditions: len(s.Transcoding.Renditions), claim: s.Recording.Storage.PersistentVolumeClaim.ClaimName}
	if len(s.Workloads) > 0 {
		first := s.Workloads[0]
		g.first = first.Name
		if first.Job != nil && len(first.Job.Spec.Template.Spec.Containers) > 0 {
			g.image = first.Job.Spec.Template.Spec.Containers[0].Image
		}
	}
	return g
}

func (s *settings) once(of v1alpha1.LiveStreamSettings) v1alpha1.LiveStreamSettings {
	if len(of.Workloads) == 0 && !of.Recording.Wanted() && !of.Transcoding.Wanted() {
		return of
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := glanceAt(&of)
	alike := s.known[key]
	for i := range alike {
		if reflect.DeepEqual(alike[i], of) {
			return alike[i]
		}
	}
	switch {
	case len(alike) >= mostAlike:
		// The one that was met first makes room.
		copy(alike, alike[1:])
		alike[len(alike)-1] = of
		return of
	case s.known == nil || s.count >= mostSettings:
		s.known, s.count = map[glance][]v1alpha1.LiveStreamSettings{}, 0
		alike = nil
	}
	s.known[key], s.count = append(alike, of), s.count+1
	return of
}
