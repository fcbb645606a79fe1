package trim

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

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

// join has the fields be parts of one text.
func join(fields []*string) {
	length := 0
	for _, field := range fields {
		length += len(*field)
	}
	var all strings.Builder
	all.Grow(length)
	for _, field := range fields {
		all.WriteString(*field)
	}
	rest := all.String()
	for _, field := range fields {
		*field, rest = rest[:len(*field)], rest[len(*field):]
	}
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
		if same(&alike[i], &of) {
			return alike[i]
		}
	}
	of = withPartsOf(alike, of)
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

// same looks first at what differs first: the command lines.
func same(a, b *v1alpha1.LiveStreamSettings) bool {
	for i := range min(len(a.Workloads), len(b.Workloads)) {
		if x, y := a.Workloads[i].Job, b.Workloads[i].Job; x != nil && y != nil && !slices.EqualFunc(x.Spec.Template.Spec.Containers, y.Spec.Template.Spec.Containers, sameCommand) {
			return false
		}
	}
	return reflect.DeepEqual(a, b)
}

func sameCommand(a, b corev1.Container) bool {
	return slices.Equal(a.Args, b.Args) && slices.EqualFunc(a.Env, b.Env, func(x, y corev1.EnvVar) bool { return x.Name == y.Name && x.Value == y.Value })
}

// withPartsOf takes from those that look alike the parts of Jobs that are equal: many Jobs differ in a value or two. It changes what it makes itself
// alone, as what a cache already has may be trimmed once more, and may have shared its parts with what is read at the time.
func withPartsOf(alike []v1alpha1.LiveStreamSettings, of v1alpha1.LiveStreamSettings) v1alpha1.LiveStreamSettings {
	of.Workloads = slices.Clone(of.Workloads)
	for i := range of.Workloads {
		if of.Workloads[i].Job == nil {
			continue
		}
		job := *of.Workloads[i].Job
		of.Workloads[i].Job = &job
		pod := &job.Spec.Template.Spec
		pod.Containers, pod.InitContainers = slices.Clone(pod.Containers), slices.Clone(pod.InitContainers)
		// The latest is the likeliest.
		for _, other := range slices.Backward(alike) {
			if i < len(other.Workloads) && other.Workloads[i].Job != nil {
				take(&other.Workloads[i].Name, &of.Workloads[i].Name)
				take(&other.Workloads[i].Run, &of.Workloads[i].Run)
				takeParts(other.Workloads[i].Job, &job)
			}
		}
	}
	return of
}

func takeParts(from, to *batchv1.JobTemplateSpec) {
	take(&from.Labels, &to.Labels)
	take(&from.Annotations, &to.Annotations)
	take(&from.Spec.BackoffLimit, &to.Spec.BackoffLimit)
	take(&from.Spec.ActiveDeadlineSeconds, &to.Spec.ActiveDeadlineSeconds)
	take(&from.Spec.TTLSecondsAfterFinished, &to.Spec.TTLSecondsAfterFinished)
	a, b := &from.Spec.Template, &to.Spec.Template
	take(&a.Labels, &b.Labels)
	take(&a.Annotations, &b.Annotations)
	take(&a.Spec.RestartPolicy, &b.Spec.RestartPolicy)
	take(&a.Spec.TerminationGracePeriodSeconds, &b.Spec.TerminationGracePeriodSeconds)
	take(&a.Spec.ServiceAccountName, &b.Spec.ServiceAccountName)
	take(&a.Spec.NodeSelector, &b.Spec.NodeSelector)
	take(&a.Spec.Volumes, &b.Spec.Volumes)
	take(&a.Spec.Tolerations, &b.Spec.Tolerations)
	take(&a.Spec.Affinity, &b.Spec.Affinity)
	take(&a.Spec.SecurityContext, &b.Spec.SecurityContext)
	takeContainers(a.Spec.Containers, b.Spec.Containers)
	takeContainers(a.Spec.InitContainers, b.Spec.InitContainers)
}

func takeContainers(from, to []corev1.Container) {
	for i := range min(len(from), len(to)) {
		a, b := &from[i], &to[i]
		take(&a.Name, &b.Name)
		take(&a.Image, &b.Image)
		take(&a.ImagePullPolicy, &b.ImagePullPolicy)
		take(&a.Command, &b.Command)
		take(&a.Args, &b.Args)
		b.Env = withEnvOf(a.Env, b.Env)
		take(&a.EnvFrom, &b.EnvFrom)
		take(&a.Ports, &b.Ports)
		take(&a.VolumeMounts, &b.VolumeMounts)
		take(&a.Resources.Limits, &b.Resources.Limits)
		take(&a.Resources.Requests, &b.Resources.Requests)
		take(&a.SecurityContext, &b.SecurityContext)
	}
}

// withEnvOf takes all of it, or what is equal of it: where a value differs, that is mostly one.
func withEnvOf(from, to []corev1.EnvVar) []corev1.EnvVar {
	if reflect.DeepEqual(from, to) {
		return from
	}
	if len(from) != len(to) {
		return to
	}
	to = slices.Clone(to)
	for i := range to {
		take(&from[i].Name, &to[i].Name)
		take(&from[i].Value, &to[i].Value)
		take(&from[i].ValueFrom, &to[i].ValueFrom)
	}
	return to
}

func take[T any](from, to *T) {
	if reflect.DeepEqual(from, to) {
		*to = *from
	}
}
