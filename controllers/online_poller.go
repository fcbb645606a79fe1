package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/cssapi"
	"github.com/livestream-operator/livestream-operator/internal/index"
	"github.com/livestream-operator/livestream-operator/internal/online"
	"github.com/livestream-operator/livestream-operator/internal/push"
	"github.com/livestream-operator/livestream-operator/internal/secrets"
)

const (
	// listEvery is how often the online list of a push domain is asked for; the vendor advises once a minute.
	listEvery = time.Minute
	// listTimeout bounds one list with all its pages.
	listTimeout = 45 * time.Second
	// pollTick is how soon a new push domain is noticed.
	pollTick = time.Second
	// answerKept is how long what CSS said of one stream, or that it did not, is used again.
	answerKept = 15 * time.Second
	// questions is how many single streams are asked about at once, of whichever push domains. As many others wait for their turn, for
	// questionWait at most: an endpoint that hangs must not hold up the reconciler's workers, of which there are twice as many as that.
	questions    = 8
	questionWait = 500 * time.Millisecond
	// fewFailures in a row are not worth a condition: the next list may do.
	fewFailures = 2
)

// OnlinePoller asks CSS which streams are on air: one list a minute for each push domain with spec.api, whatever the number of
// its streams, and single streams when the reconciler doubts. It remembers only the last answers; after a restart it asks anew.
type OnlinePoller struct {
	// Cache reads PushDomains and LiveStreams.
	Cache   client.Reader
	Secrets *secrets.Reader
	Clock   clock.PassiveClock
	// Hosts are those, with or without a port, that spec.api.endpoint may name besides CSS's own.
	Hosts []string
	// Streams and Domains get what the answers disagree with.
	Streams, Domains chan<- event.GenericEvent

	mu       sync.Mutex
	listings map[types.UID]*listing
	clients  map[clientKey]*cssapi.Client
	answers  map[answerKey]answer
	silent   map[types.UID]silence
	turns    chan struct{}
	// asking counts who asks, or waits for a turn.
	asking int
}

// cssHosts is the domain of all of CSS's own endpoints.
const cssHosts = "tencentcloudapi.com"

// errEndpoint refuses to send what Secrets hold to whatever host the author of a PushDomain, who may not read them, names.
var errEndpoint = errors.New("the endpoint is not allowed")

func (p *OnlinePoller) allowed(endpoint string) bool {
	_, host, found := strings.Cut(endpoint, "://")
	if !found {
		host = endpoint
	}
	name, _, _ := strings.Cut(host, ":")
	if name == cssHosts || strings.HasSuffix(name, "."+cssHosts) {
		return !strings.HasPrefix(endpoint, "http://")
	}
	return slices.Contains(p.Hosts, host) || slices.Contains(p.Hosts, name)
}

// errBusy is told instead of an answer while too many other streams are asked about.
var errBusy = errors.New("too many questions are waiting for CSS to answer")

type clientKey struct {
	endpoint    string
	credentials cssapi.Credentials
}

type answerKey struct {
	domain types.UID
	stream push.Stream
}

type answer struct {
	onAir bool
	err   error
	at    time.Time
}

// silence is that of CSS where no answer came to the last question about a stream of a push domain.
type silence struct {
	err error
	at  time.Time
	// probed says that somebody finds out whether it answers again.
	probed bool
}

// listing is what the lists of one push domain told.
type listing struct {
	asked, listed time.Time
	streams       map[push.Stream][]time.Time
	failures      int
	err           error
	told          Health
}

// Health is what the condition APIAvailable says; the zero value is that nothing is known yet.
type Health struct {
	Reason, Message string
}

// NeedLeaderElection is true: one list a minute, however many replicas there are.
func (*OnlinePoller) NeedLeaderElection() bool { return true }

// Start polls until the context ends. It implements manager.Runnable.
func (p *OnlinePoller) Start(ctx context.Context) error {
	var polls sync.WaitGroup
	defer polls.Wait()
	tick := time.NewTicker(pollTick)
	defer tick.Stop()
	for {
		var domains v1alpha1.PushDomainList
		if err := p.Cache.List(ctx, &domains); err != nil && ctx.Err() == nil {
			return fmt.Errorf("listing PushDomains: %w", err)
		}
		for _, domain := range p.due(domains.Items) {
			polls.Go(func() { p.Poll(ctx, &domain) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// due are the push domains whose list is to be asked for now, and forgets those that are gone.
func (p *OnlinePoller) due(domains []v1alpha1.PushDomain) []v1alpha1.PushDomain {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.Clock.Now()
	known := map[types.UID]*listing{}
	var due []v1alpha1.PushDomain
	for i := range domains {
		if !domains[i].Spec.API.Configured() {
			continue
		}
		uid := domains[i].UID
		l := p.listings[uid]
		if l == nil {
			l = &listing{}
		}
		known[uid] = l
		if now.Sub(l.asked) >= listEvery {
			l.asked = now
			due = append(due, domains[i])
		}
	}
	p.listings = known
	maps.DeleteFunc(p.silent, func(uid types.UID, _ silence) bool { return known[uid] == nil })
	for key, a := range p.answers {
		if now.Sub(a.at) >= answerKept {
			delete(p.answers, key)
		}
	}
	return due
}

// Poll asks for the list of one push domain, and brings what disagrees with it to the reconcilers.
func (p *OnlinePoller) Poll(ctx context.Context, domain *v1alpha1.PushDomain) {
	asking, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	at := p.Clock.Now()
	streams, err := p.list(asking, domain)
	changed := p.note(domain.UID, at, streams, err)
	if err != nil {
		ctrl.Log.WithName("online").Info("Could not list the streams on air", "PushDomain", client.ObjectKeyFromObject(domain), "reason", err.Error())
	} else {
		p.compare(ctx, domain)
	}
	if changed || domain.Spec.UnknownStreams.Creates() && len(p.Unknown(domain)) > 0 {
		send(ctx, p.Domains, domain)
	}
}

func send(ctx context.Context, to chan<- event.GenericEvent, object client.Object) {
	select {
	case to <- event.GenericEvent{Object: object}:
	case <-ctx.Done():
	}
}

func (p *OnlinePoller) list(ctx context.Context, domain *v1alpha1.PushDomain) (map[push.Stream][]time.Time, error) {
	// Read again: credentials that were changed work at once.
	api, err := p.client(ctx, domain, p.Secrets.Refresh)
	if err != nil {
		return nil, err
	}
	listed, err := api.OnlineStreams(ctx, domain.Spec.Domain)
	if err != nil {
		return nil, err
	}
	streams := make(map[push.Stream][]time.Time, len(listed))
	for _, s := range listed {
		streams[push.Stream{App: s.App, Name: s.Stream}] = s.PublishTimes
	}
	return streams, nil
}

// note keeps the answer, and says whether the health of the API changed.
func (p *OnlinePoller) note(uid types.UID, at time.Time, streams map[push.Stream][]time.Time, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listings == nil {
		p.listings = map[types.UID]*listing{}
	}
	l := p.listings[uid]
	if l == nil {
		l = &listing{}
		p.listings[uid] = l
	}
	if l.err = err; err != nil {
		l.failures++
	} else {
		l.failures, l.listed, l.streams = 0, at, streams
	}
	was := l.told
	// The words of an error differ each time, and each change would be a write.
	if now := healthOf(*l); now.Reason != was.Reason {
		l.told = now
	}
	return l.told != was
}

func healthOf(l listing) Health {
	switch {
	case l.err == nil && l.listed.IsZero():
		return Health{}
	case l.err == nil:
		return Health{v1alpha1.ReasonListed, "CSS tells which streams are on air"}
	case errors.Is(l.err, secrets.ErrUnavailable):
		return Health{v1alpha1.ReasonCredentialsUnavailable, bounded(l.err.Error())}
	case errors.Is(l.err, errEndpoint):
		return Health{v1alpha1.ReasonEndpointNotAllowed, bounded(l.err.Error())}
	case errors.Is(l.err, cssapi.ErrAuth):
		return Health{v1alpha1.ReasonCredentialsRefused, bounded(l.err.Error())}
	case l.failures < fewFailures:
		return l.told
	case errors.Is(l.err, cssapi.ErrRateLimited):
		return Health{v1alpha1.ReasonRateLimited, "CSS answers that it is asked too often; streams on air count as on air meanwhile. Others may use the same account's quota"}
	default:
		return Health{v1alpha1.ReasonUnreachable, "CSS could not be asked; streams on air count as on air meanwhile: " + bounded(l.err.Error())}
	}
}

// compare brings the LiveStreams that the list disagrees with.
func (p *OnlinePoller) compare(ctx context.Context, domain *v1alpha1.PushDomain) {
	domains, err := index.PushDomains(ctx, p.Cache, domain.Namespace, domain.Spec.Domain)
	if err != nil {
		ctrl.Log.WithName("online").Error(err, "Could not list PushDomains of the cache")
		return
	}
	for _, alike := range domains {
		streams, err := index.Find[v1alpha1.LiveStream](ctx, p.Cache, &v1alpha1.LiveStreamList{}, alike.Namespace, index.ByPushDomain, alike.Name)
		if err != nil {
			ctrl.Log.WithName("online").Error(err, "Could not list LiveStreams of the cache")
			return
		}
		for _, s := range streams {
			view := p.View(domain.UID, push.Stream{App: s.Spec.AppName, Name: s.Spec.StreamName})
			if live := len(push.Live(s.Status.Pushes)) > 0; live != view.Online {
				send(ctx, p.Streams, s)
			}
		}
	}
}

// View implements Truth.
func (p *OnlinePoller) View(domain types.UID, stream push.Stream) online.View {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.listings[domain]
	if l == nil {
		return online.View{}
	}
	published, listed := l.streams[stream]
	return online.View{ListedAt: l.listed, Online: listed, Published: published}
}

// OnAir implements Truth.
func (p *OnlinePoller) OnAir(ctx context.Context, domain *v1alpha1.PushDomain, stream push.Stream) (bool, error) {
	key := answerKey{domain.UID, stream}
	if a, told := p.answered(key, false); told {
		return a.onAir, a.err
	}
	leave, err := p.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	if a, told := p.answered(key, true); told {
		return a.onAir, a.err
	}
	onAir, err := p.ask(ctx, domain, stream)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.answers == nil {
		p.answers, p.silent = map[answerKey]answer{}, map[types.UID]silence{}
	}
	// One that failed is kept too: each question may take seconds.
	p.answers[key] = answer{onAir, err, p.Clock.Now()}
	switch silent, is := p.silent[key.domain]; {
	case err == nil:
		delete(p.silent, key.domain)
	case cssapi.Unanswered(err) && ctx.Err() == nil:
		p.silent[key.domain] = silence{err: err, at: p.Clock.Now()}
	case is:
		// CSS was not asked, or said something odd of this stream: the next one finds out.
		silent.probed = false
		p.silent[key.domain] = silent
	}
	return onAir, err
}

// answered is what can be told without a question: what CSS just said of the stream, or that it just did not answer about another of the domain.
// After a while one question finds out whether it answers again, that of who begins to ask; the others are told the same until then.
func (p *OnlinePoller) answered(key answerKey, begins bool) (answer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.Clock.Now()
	if kept, there := p.answers[key]; there && now.Sub(kept.at) < answerKept {
		return kept, true
	}
	silent, is := p.silent[key.domain]
	if is && (silent.probed || now.Sub(silent.at) < answerKept) {
		return answer{err: silent.err}, true
	}
	if is && begins {
		silent.probed = true
		p.silent[key.domain] = silent
	}
	return answer{}, false
}

// enter waits for a turn to ask; leave ends it.
func (p *OnlinePoller) enter(ctx context.Context) (leave func(), err error) {
	p.mu.Lock()
	if p.turns == nil {
		p.turns = make(chan struct{}, questions)
	}
	turns, full := p.turns, p.asking >= 2*questions
	if !full {
		p.asking++
	}
	p.mu.Unlock()
	if full {
		return nil, errBusy
	}
	end := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asking--
	}
	wait := time.NewTimer(questionWait)
	defer wait.Stop()
	select {
	case turns <- struct{}{}:
		return func() { <-turns; end() }, nil
	case <-wait.C:
		err = errBusy
	case <-ctx.Done():
		err = ctx.Err()
	}
	end()
	return nil, err
}

func (p *OnlinePoller) ask(ctx context.Context, domain *v1alpha1.PushDomain, stream push.Stream) (bool, error) {
	api, err := p.client(ctx, domain, p.Secrets.Get)
	if err != nil {
		return false, err
	}
	state, err := api.StreamState(ctx, domain.Spec.Domain, stream.App, stream.Name)
	return state == cssapi.Active, err
}

// Unknown lists the streams of the push domain that have been on air for long enough to be no mere race with their callback.
func (p *OnlinePoller) Unknown(domain *v1alpha1.PushDomain) []push.Stream {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.listings[domain.UID]
	if l == nil {
		return nil
	}
	var streams []push.Stream
	for stream, published := range l.streams {
		if _, lost := online.LostStart(nil, online.View{ListedAt: l.listed, Online: true, Published: published}, p.Clock.Now()); lost {
			streams = append(streams, stream)
		}
	}
	// Always the same ones first: what is told of them would be a write otherwise.
	slices.SortFunc(streams, func(a, b push.Stream) int { return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.Name, b.Name)) })
	return streams
}

// Health is what the condition APIAvailable says.
func (p *OnlinePoller) Health(domain types.UID) Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.listings[domain]; l != nil {
		return l.told
	}
	return Health{}
}

type readSecret func(ctx context.Context, namespace string, ref v1alpha1.SecretKeyReference) (string, error)

// client is the client for the push domain's credentials. Its rate limits are kept with it.
func (p *OnlinePoller) client(ctx context.Context, domain *v1alpha1.PushDomain, read readSecret) (*cssapi.Client, error) {
	key := clientKey{endpoint: domain.Spec.API.Host()}
	name := domain.Spec.API.CredentialsSecretRef.Name
	for _, part := range []struct {
		key      string
		into     *string
		optional bool
	}{
		{"secretId", &key.credentials.SecretID, false},
		{"secretKey", &key.credentials.SecretKey, false},
		{"token", &key.credentials.Token, true},
	} {
		value, err := read(ctx, domain.Namespace, v1alpha1.SecretKeyReference{Name: name, Key: part.key})
		if err != nil && (!part.optional || !errors.Is(err, secrets.ErrUnavailable)) {
			return nil, fmt.Errorf("reading the credentials of spec.api: %w", err)
		}
		*part.into = value
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if api := p.clients[key]; api != nil {
		return api, nil
	}
	if !p.allowed(key.endpoint) {
		return nil, fmt.Errorf("%w: %q is not https and of %s; name it in the operator's flag --css-api-hosts", errEndpoint, key.endpoint, cssHosts)
	}
	api, err := cssapi.New(key.endpoint, key.credentials)
	if err != nil {
		return nil, fmt.Errorf("setting up the client of CSS's API: %w", err)
	}
	if p.clients == nil || len(p.clients) >= maxClients {
		// Simple and bounded: those in use are made again.
		p.clients = map[clientKey]*cssapi.Client{}
	}
	p.clients[key] = api
	return api, nil
}

// maxClients bounds the clients that are kept; temporary credentials make new ones all the time.
const maxClients = 64
