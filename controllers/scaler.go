package controllers

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/index"
	"github.com/livestream-operator/livestream-operator/internal/plan"
)

// +kubebuilder:rbac:groups=apps,resources=deployments/scale;statefulsets/scale;replicasets/scale,verbs=get;update

// targetIndex finds the LiveStreams that name a scale target themselves, in their spec or in an open broadcast.
const targetIndex = "scaleTarget"

// TargetKey names a scale target in the cluster.
type TargetKey struct {
	Namespace string
	plan.TargetRef
}

// Scaler keeps the replicas of scale targets at the sum of the shares of the LiveStreams that name them. It writes when that sum
// changes, or the target is made anew, and leaves the target alone in between: an autoscaler or a person may scale it too.
type Scaler struct {
	// Client reads LiveStreams and PushDomains from the cache, and scales at the API server.
	Client client.Client
	// Live reads from the API server itself.
	Live  client.Reader
	Clock clock.PassiveClock

	mu   sync.Mutex
	seen map[TargetKey]*seenTarget
	// drops are when something stopped to name a target that it had a share in.
	drops map[TargetKey]time.Time
}

// dropLife is how long after something stopped to name a target a process brings that to its sum, which it never looked at. After that the
// process that led then has done so, and somebody else may have scaled it.
const dropLife = time.Minute

// troubleAfter is how long a target fails before those are told who share it: most of what fails passes at once, and they may be many.
const troubleAfter = 5 * time.Second

// seenTarget is what is known of a target. Its lock is held while it is settled, so that there is one writer.
type seenTarget struct {
	settling sync.Mutex

	target plan.Target
	looked bool
	// owed: it was not looked at, and may hold replicas that nobody asks for any more.
	owed bool
	// told is the sum that was written last, to the object of this UID.
	told int32
	uid  types.UID
	// untold: it is not as the LiveStreams that share it were told.
	untold bool
	// failing is since when it could not be looked at or scaled; zero when it could.
	failing time.Time
}

// Seen is what was seen last of the targets; those that were not looked at yet are left out, unless they have failed for a while.
func (s *Scaler) Seen(namespace string, refs []plan.TargetRef) map[plan.TargetRef]plan.Target {
	if len(refs) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	targets := map[plan.TargetRef]plan.Target{}
	for _, ref := range refs {
		if known := s.seen[TargetKey{namespace, ref}]; known != nil && (known.looked || known.target.Trouble != "") {
			targets[ref] = known.target
		}
	}
	return targets
}

func (s *Scaler) entry(key TargetKey) *seenTarget {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = map[TargetKey]*seenTarget{}
	}
	if s.seen[key] == nil {
		s.seen[key] = &seenTarget{}
	}
	return s.seen[key]
}

// hold is the entry of the target, locked. One that was forgotten while it was waited for is nobody's any more.
func (s *Scaler) hold(key TargetKey) *seenTarget {
	for {
		entry := s.entry(key)
		entry.settling.Lock()
		if entry == s.entry(key) {
			return entry
		}
		entry.settling.Unlock()
	}
}

// note keeps what was seen of a target.
func (s *Scaler) note(entry *seenTarget, target plan.Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry.untold = entry.untold || !entry.looked || entry.target != target
	entry.target, entry.looked, entry.failing = target, true, time.Time{}
}

// noteTrouble keeps why a target has failed for a while, in the words of the first time: each change would be a write.
func (s *Scaler) noteTrouble(entry *seenTarget, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry.failing.IsZero() {
		entry.failing = s.Clock.Now()
	}
	if entry.target.Trouble == "" && s.Clock.Since(entry.failing) >= troubleAfter {
		entry.target.Trouble, entry.untold = bounded(err.Error()), true
	}
}

// forget drops the entry, which the caller holds.
func (s *Scaler) forget(key TargetKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seen, key)
	delete(s.drops, key)
}

// dropped notes targets that something stopped to name just now, and had a share in.
func (s *Scaler) dropped(keys []TargetKey) {
	if len(keys) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Clock.Now()
	maps.DeleteFunc(s.drops, func(_ TargetKey, at time.Time) bool { return now.Sub(at) > dropLife })
	if s.drops == nil {
		s.drops = map[TargetKey]time.Time{}
	}
	for _, key := range keys {
		s.drops[key] = now
	}
}

// owed says whether the target may hold replicas that nobody asks for any more. It stays so until it is forgotten, however long the API server is away.
func (s *Scaler) owed(key TargetKey, entry *seenTarget) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, dropped := s.drops[key]
	entry.owed = entry.owed || dropped && s.Clock.Since(at) <= dropLife
	return entry.owed
}

// settled is what came of settling a target.
type settled struct {
	plan.Target
	// keeps says that its Problem leaves it the replicas that it has: the target may be there.
	keeps bool
	// changed says that it is not as they were told who share it, shared how many LiveStreams name it.
	changed bool
	shared  int
	// sharers are those LiveStreams.
	sharers []v1alpha1.LiveStream
}

// Settle brings the target to the sum of its shares. What keeps it from that for good is the Problem of the target; an error
// is what may pass. It says of each change once that the sharers are to be told.
func (s *Scaler) Settle(ctx context.Context, key TargetKey) (settled, error) {
	entry := s.hold(key)
	defer entry.settling.Unlock()
	result, err := s.settle(ctx, key, entry)
	if len(result.sharers) > 0 {
		result.changed, entry.untold = entry.untold, false
	}
	return result, err
}

// GiveBack is Settle for who tells no sharer: the next Settle says what it changed.
func (s *Scaler) GiveBack(ctx context.Context, key TargetKey) (settled, error) {
	entry := s.hold(key)
	defer entry.settling.Unlock()
	return s.settle(ctx, key, entry)
}

// settle is for who holds the entry.
func (s *Scaler) settle(ctx context.Context, key TargetKey, entry *seenTarget) (settled, error) {
	shares, err := s.shares(ctx, key)
	if err != nil {
		return settled{}, err
	}
	sharers := shares.streams
	if len(sharers) == 0 && !entry.looked && !s.owed(key, entry) {
		// Nobody asks for anything, and nothing is known to be held.
		s.forget(key)
		return settled{}, nil
	}
	result, err := s.bring(ctx, key, entry, shares)
	if err != nil {
		s.noteTrouble(entry, err)
		return settled{sharers: sharers}, err
	}
	running := int32(0)
	for i := range sharers {
		running += plan.RunningShare(&sharers[i], key.TargetRef)
	}
	result.Target = result.After(entry.target, running)
	s.note(entry, result.Target)
	if len(sharers) == 0 {
		s.forget(key)
	}
	result.shared, result.sharers = len(sharers), sharers
	return result, nil
}

// shares are the LiveStreams that have a share in a target, or may have one, with the settings of any.
type shares struct {
	streams  []v1alpha1.LiveStream
	settings func(*v1alpha1.LiveStream) v1alpha1.LiveStreamSettings
}

func (s shares) sum(ref plan.TargetRef) int32 {
	sum := int32(0)
	for i := range s.streams {
		sum += plan.Share(&s.streams[i], s.settings(&s.streams[i]), ref)
	}
	return sum
}

// shares are those of the LiveStreams that name the target, or inherit it from the template of their PushDomain, as the cache has
// them. Each change of one brings another look.
func (s *Scaler) shares(ctx context.Context, key TargetKey) (shares, error) {
	var named v1alpha1.LiveStreamList
	if err := s.Client.List(ctx, &named, client.InNamespace(key.Namespace), client.MatchingFields{targetIndex: key.Key()}); err != nil {
		return shares{}, fmt.Errorf("listing the LiveStreams that scale %s: %w", key.TargetRef, err)
	}
	sharers := named.Items
	known := map[types.UID]bool{}
	for i := range sharers {
		known[sharers[i].UID] = true
	}
	var domains v1alpha1.PushDomainList
	if err := s.Client.List(ctx, &domains, client.InNamespace(key.Namespace)); err != nil {
		return shares{}, fmt.Errorf("listing PushDomains: %w", err)
	}
	templates := map[string]v1alpha1.LiveStreamSettings{}
	for i := range domains.Items {
		template := domains.Items[i].Spec.Template.Spec
		templates[domains.Items[i].Name] = template
		if !names(template, key.TargetRef) {
			continue
		}
		var heirs v1alpha1.LiveStreamList
		if err := s.Client.List(ctx, &heirs, client.InNamespace(key.Namespace), client.MatchingFields{index.ByPushDomain: domains.Items[i].Name}); err != nil {
			return shares{}, fmt.Errorf("listing the LiveStreams of PushDomain %q: %w", domains.Items[i].Name, err)
		}
		for j := range heirs.Items {
			if !known[heirs.Items[j].UID] && names(heirs.Items[j].Spec.Inherit(template), key.TargetRef) {
				sharers = append(sharers, heirs.Items[j])
			}
		}
	}
	return shares{sharers, func(stream *v1alpha1.LiveStream) v1alpha1.LiveStreamSettings {
		return stream.Spec.Inherit(templates[stream.Spec.PushDomainRef.Name])
	}}, nil
}

// fewSharers are read one by one. More are not, and a list of what is on air beside them in the namespace costs less.
const fewSharers = 16

// confirm has the shares as the API server itself has them, and says when they were.
func (s *Scaler) confirm(ctx context.Context, key TargetKey, cached shares) (shares, time.Time, error) {
	asked := s.Clock.Now()
	read := s.readNotIdle
	if len(cached.streams) <= fewSharers {
		read = s.readEach
	}
	streams, err := read(ctx, key.Namespace, cached.streams)
	if err != nil {
		return shares{}, asked, fmt.Errorf("confirming the LiveStreams that scale %s: %w", key.TargetRef, err)
	}
	return shares{streams, cached.settings}, asked, nil
}

func (s *Scaler) readEach(ctx context.Context, _ string, cached []v1alpha1.LiveStream) ([]v1alpha1.LiveStream, error) {
	var latest []v1alpha1.LiveStream
	for i := range cached {
		var stream v1alpha1.LiveStream
		if err := s.Live.Get(ctx, client.ObjectKeyFromObject(&cached[i]), &stream); err == nil {
			latest = append(latest, stream)
		} else if !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	return latest, nil
}

// readNotIdle reads all of the namespace that are not idle. One that the cache alone has on air still counts: what ended it brings another look.
func (s *Scaler) readNotIdle(ctx context.Context, namespace string, cached []v1alpha1.LiveStream) ([]v1alpha1.LiveStream, error) {
	notIdle := client.MatchingFieldsSelector{Selector: fields.OneTermNotEqualSelector("status.state", string(v1alpha1.LiveStreamIdle))}
	var latest v1alpha1.LiveStreamList
	if err := s.Live.List(ctx, &latest, client.InNamespace(namespace), notIdle); err != nil {
		return nil, err
	}
	known := map[types.UID]bool{}
	for i := range latest.Items {
		known[latest.Items[i].UID] = true
	}
	streams := latest.Items
	for i := range cached {
		if !known[cached[i].UID] {
			streams = append(streams, cached[i])
		}
	}
	return streams, nil
}

func names(settings v1alpha1.LiveStreamSettings, ref plan.TargetRef) bool {
	for _, w := range settings.Workloads {
		if w.Scales() && (plan.TargetRef{APIVersion: w.Scale.APIVersion, Kind: w.Scale.Kind, Name: w.Scale.Name}) == ref {
			return true
		}
	}
	return false
}

var errOldSum = fmt.Errorf("nothing was scaled, for it took more than %s since the LiveStreams were read; they are read again", decisionLife)

// bring reads the target, and writes it where the sum is not what it was told last. It does not write on the cache's word, which may
// lag behind, for one after a change of leader.
func (s *Scaler) bring(ctx context.Context, key TargetKey, entry *seenTarget, cached shares) (settled, error) {
	sum := cached.sum(key.TargetRef)
	if wrong := content.IsPathSegmentName(key.Name); len(wrong) > 0 {
		// No call can be made of it, so that it holds nothing. It was stored before the API server refused such names.
		return settled{Target: plan.Target{Wanted: sum, Problem: fmt.Sprintf("no %s can have the name %q: it %s; correct the target", key.Kind, key.Name, strings.Join(wrong, " and "))}}, nil
	}
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(schema.FromAPIVersionAndKind(key.APIVersion, key.Kind))
	object.SetNamespace(key.Namespace)
	object.SetName(key.Name)
	mapping, err := s.Client.RESTMapper().RESTMapping(object.GroupVersionKind().GroupKind(), object.GroupVersionKind().Version)
	if err != nil {
		return unscalable(key, sum, err)
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		// The right to scale it was checked within the namespace.
		return settled{Target: plan.Target{Wanted: sum, Problem: fmt.Sprintf("%s belongs to no namespace; only what is in the LiveStream's namespace can be scaled", key.Kind)}}, nil
	}
	body := &unstructured.Unstructured{}
	body.SetGroupVersionKind(autoscalingv1.SchemeGroupVersion.WithKind("Scale"))
	if err := s.Client.SubResource("scale").Get(ctx, object, body); err != nil {
		return unscalable(key, sum, err)
	}
	asked, err := replicas(body, "spec")
	if err != nil {
		return settled{}, fmt.Errorf("reading the scale of %s: %w", key.TargetRef, err)
	}
	due := func() bool { return (entry.told != sum || entry.uid != body.GetUID()) && asked != sum }
	if due() {
		confirmed, read, err := s.confirm(ctx, key, cached)
		if err != nil {
			return settled{}, err
		}
		sum = confirmed.sum(key.TargetRef)
		if due() {
			if s.Clock.Since(read) > decisionLife {
				return settled{}, errOldSum
			}
			if err := unstructured.SetNestedField(body.Object, int64(sum), "spec", "replicas"); err != nil {
				return settled{}, fmt.Errorf("setting the replicas of %s: %w", key.TargetRef, err)
			}
			if err := s.Client.SubResource("scale").Update(ctx, object, client.WithSubResourceBody(body)); err != nil {
				return unscalable(key, sum, err)
			}
			ctrl.LoggerFrom(ctx).Info("Scaled target", "target", key.String(), "from", asked, "to", sum)
			asked = sum
		}
	}
	entry.told, entry.uid = sum, body.GetUID()
	have, err := replicas(body, "status")
	if err != nil {
		return settled{}, fmt.Errorf("reading the scale of %s: %w", key.TargetRef, err)
	}
	return settled{Target: plan.Target{Wanted: sum, Asked: asked, Have: have}}, nil
}

// replicas of a part of a Scale; 0 where it does not say.
func replicas(scale *unstructured.Unstructured, part string) (int32, error) {
	n, _, err := unstructured.NestedInt64(scale.Object, part, "replicas")
	return int32(n), err //nolint:gosec // the API server bounds it
}

// unscalable tells what a user can mend from what may pass.
func unscalable(key TargetKey, sum int32, err error) (settled, error) {
	target := settled{Target: plan.Target{Wanted: sum}, keeps: !meta.IsNoMatchError(err) && !apierrors.IsNotFound(err)}
	switch {
	case meta.IsNoMatchError(err):
		target.Problem = fmt.Sprintf("the cluster has no kind %s in %s; install its CustomResourceDefinition, or correct the target", key.Kind, key.APIVersion)
	case apierrors.IsNotFound(err):
		target.Problem = fmt.Sprintf("%s does not exist in namespace %q, or cannot be scaled; create it, or correct the target", key.TargetRef, key.Namespace)
	case apierrors.IsForbidden(err):
		target.Problem = fmt.Sprintf("the operator may not scale %s; give it get and update on its scale subresource with a ClusterRole labelled livestream-operator.io/aggregate-to-scaler: \"true\"", key.TargetRef)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsMethodNotSupported(err):
		target.Problem = fmt.Sprintf("%s cannot be scaled to %d: %s", key.TargetRef, sum, err.Error())
	default:
		return settled{}, fmt.Errorf("scaling %s: %w", key.TargetRef, err)
	}
	target.Problem = bounded(target.Problem)
	return target, nil
}

// waitFor is how soon to look at a target again that nobody watches for us.
func (s settled) waitFor() time.Duration {
	switch {
	case s.shared == 0:
		return 0
	case s.Problem != "":
		return secretRetry
	case s.Have < s.Wanted:
		return time.Second
	case s.Wanted > 0:
		return 30 * time.Second
	default:
		return 5 * time.Minute
	}
}
