package fakecss

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/css"
)

// name of a stream as CSS has it.
type name struct{ app, stream string }

// push is one publish.
type push struct {
	name     name
	client   client
	sequence string
	address  string
	param    string
	began    time.Time
	// order tells pushes of one moment apart.
	order int
	// heard is when the last update came; zero when none did.
	heard time.Time
	// played says that it is the one that players see.
	played bool
	// app and stream are where the ingest has it.
	app, stream string
	move        move
	// cut is how the caller ends it, if so.
	cut *Interruption
	// lost is set while CSS waits for the connection to come back.
	lost *loss
}

type loss struct {
	at    time.Time
	cause Interruption
}

// move of a standby to where players are: nginx lets the connection stop and publish again, and posts both, in any order.
type move struct {
	wanted, doneSeen, publishSeen bool
	// failed is when nginx said that it could not; zero when it did not.
	failed time.Time
}

// moveAgain is how long after a failed move it is asked for again: nginx may not have let the connection publish yet.
const moveAgain = time.Second

// Interruption says how a push is interrupted.
type Interruption struct {
	// App and Stream restrict it to one stream; any when empty.
	App, Stream string
	// Code is errcode, Message errmsg; the vendor's text when empty.
	Code    int32
	Message string
	// Count is how many interruptions are like that; one when 0.
	Count int
}

func (i Interruption) is(of name) bool {
	return (i.App == "" || i.App == of.app) && (i.Stream == "" || i.Stream == of.stream)
}

// order is something that nginx has to do.
type order struct {
	do orderKind
	// client, app and stream are the connection at the ingest; newName what it shall publish.
	client               client
	app, stream, newName string
	name                 name
	sequence             string
}

type orderKind string

const (
	movePusher  orderKind = "move the standby"
	dropPlayers orderKind = "let go the players"
	cutPusher   orderKind = "cut the push"
)

// engine is CSS as a function of what happens and when. It is not safe for concurrent use.
type engine struct {
	options Options
	queue   queue
	pushes  []*push
	// next are the interruptions to come.
	next []Interruption
	// callbacks counts those of each stream, begun the pushes.
	callbacks map[name]int
	begun     int
	orders    []order
	// lost are the callbacks that chaos took since they were last looked at.
	lost []*delivery
	// changed are the streams whose pushes changed since they were last looked at.
	changed map[name]bool
}

func newEngine(o Options) *engine {
	return &engine{
		options: o, queue: queue{retries: o.Retries, retryEvery: o.RetryEvery},
		callbacks: map[name]int{}, changed: map[name]bool{},
	}
}

// verdict is what an ingest is told about a publish: the name under which it may go on, and where it relays the stream to, if at all.
type verdict struct {
	stream  string
	relayTo string
	refused bool
}

// besides is under what name the ingest has a push while another holds its own.
func besides(stream string, c client) string { return stream + "~" + c.id }

// nameOf maps an application of an ingest to CSS's. A push that was named besides another by an earlier run is still itself.
func (e *engine) nameOf(n notice) name {
	n.stream = strings.TrimSuffix(n.stream, besides("", n.client))
	for _, from := range []string{n.client.server + "/" + n.app, n.app} {
		if app, mapped := e.options.Feeds[from]; mapped {
			return name{app, n.stream}
		}
	}
	return name{n.app, n.stream}
}

func (e *engine) of(c client) *push {
	for _, p := range e.pushes {
		if p.client == c && p.lost == nil {
			return p
		}
	}
	return nil
}

// upstreams are the pushes of a stream that hold a connection, the one that began first first.
func (e *engine) upstreams(of name) []*push {
	var up []*push
	for _, p := range e.pushes {
		if p.name == of && p.lost == nil {
			up = append(up, p)
		}
	}
	slices.SortFunc(up, byAge)
	return up
}

// published takes a publish, and says what becomes of it.
func (e *engine) published(n notice, now time.Time) verdict {
	if p := e.of(n.client); p != nil {
		if p.move.wanted {
			p.move.publishSeen = true
			e.moved(p)
			return e.verdict(p)
		}
		// The ingest began to count anew, and the connection of before is gone.
		e.interrupted(p, now)
	}
	if p := e.comeBack(n); p != nil {
		return e.verdict(p)
	}
	first := e.upstreams(e.nameOf(n))
	if len(first) > 0 && e.options.Second == Refuse {
		e.refuse(n, now)
		return verdict{refused: true}
	}
	if len(first) > 0 && e.options.Second == Replace {
		e.cutOff(Interruption{App: first[0].name.app, Stream: first[0].name.stream, Code: replaced})
	}
	return e.verdict(e.begin(n, now))
}

func (e *engine) verdict(p *push) verdict {
	v := verdict{stream: p.stream}
	if p.played && e.options.Play != "" {
		v.relayTo = e.options.Play + "/" + p.name.app + "/" + p.name.stream
	}
	return v
}

// newPush is one that nobody was told of.
func (e *engine) newPush(n notice, now time.Time) *push {
	e.begun++
	return &push{
		name: e.nameOf(n), client: n.client, sequence: e.options.Sequence(), address: n.address, param: n.param,
		began: now.Add(-n.onAir), order: e.begun,
	}
}

// begin makes a push of a publish.
func (e *engine) begin(n notice, now time.Time) *push {
	p := e.newPush(n, now)
	e.pushes = append(e.pushes, p)
	e.connect(p, n)
	e.callback(p, e.start(p), now)
	return p
}

// refuse tells of a publish that is not let in: it ends and never began.
func (e *engine) refuse(n notice, now time.Time) {
	p := e.newPush(n, now)
	e.callback(p, e.stop(p, Interruption{Code: refused}, now), now)
}

// comeBack is the push of a connection that was lost and is there again, if any.
func (e *engine) comeBack(n notice) *push {
	i := slices.IndexFunc(e.pushes, func(p *push) bool {
		return p.lost != nil && p.name == e.nameOf(n) && p.client.server == n.client.server && p.app == n.app
	})
	if i < 0 {
		return nil
	}
	p := e.pushes[i]
	p.lost, p.client, p.heard, p.move = nil, n.client, time.Time{}, move{}
	e.connect(p, n)
	return p
}

// connect gives the push its place at the ingest, which takes one publisher of a name only.
func (e *engine) connect(p *push, n notice) {
	p.app, p.stream, p.played = n.app, n.stream, true
	for _, other := range e.upstreams(p.name) {
		if other == p {
			continue
		}
		p.played = p.played && !other.played
		if other.client.server == p.client.server && other.app == p.app && other.stream == n.stream {
			p.stream = besides(n.stream, n.client)
		}
	}
	e.changed[p.name] = true
}

// unpublished takes the end of a connection.
func (e *engine) unpublished(c client, now time.Time) {
	p := e.of(c)
	if p == nil {
		return
	}
	if p.move.wanted && !p.move.doneSeen {
		p.move.doneSeen = true
		e.moved(p)
		return
	}
	e.interrupted(p, now)
}

// updated takes a sign of life. One of a connection that is not known began while nobody listened.
func (e *engine) updated(n notice, now time.Time) {
	p := e.of(n.client)
	if p == nil {
		if p = e.comeBack(n); p == nil {
			p = e.begin(n, now)
		}
		if p.played {
			e.play(p)
		}
	}
	p.heard = now
}

// interrupted ends a push whose connection is gone, or waits for it.
func (e *engine) interrupted(p *push, now time.Time) {
	cause := e.cause(p)
	if e.options.Resume > 0 && resumable(cause.Code) {
		p.lost = &loss{now, cause}
		e.handOver(p)
		return
	}
	e.end(p, cause, now)
}

// cause is the interruption that was asked for, or the usual one.
func (e *engine) cause(p *push) Interruption {
	if p.cut != nil {
		return *p.cut
	}
	for i := range e.next {
		if !e.next[i].is(p.name) {
			continue
		}
		found := e.next[i]
		if e.next[i].Count--; e.next[i].Count <= 0 {
			e.next = slices.Delete(e.next, i, i+1)
		}
		return found
	}
	return Interruption{Code: e.options.ErrorCode}
}

func (e *engine) end(p *push, cause Interruption, now time.Time) {
	e.pushes = slices.DeleteFunc(e.pushes, func(other *push) bool { return other == p })
	e.callback(p, e.stop(p, cause, now), now)
	e.handOver(p)
	if !slices.ContainsFunc(e.pushes, func(other *push) bool { return other.name == p.name }) {
		e.orders = append(e.orders, order{do: dropPlayers, name: p.name})
	}
}

// handOver lets the standby be played in the place of a push whose connection is gone.
func (e *engine) handOver(p *push) {
	e.changed[p.name] = true
	if up := e.upstreams(p.name); p.played && len(up) > 0 {
		up[0].played = true
		e.play(up[0])
	}
	p.played = false
}

// play asks the ingest to let the push go to where players are, if it can be asked.
func (e *engine) play(p *push) {
	if !e.options.movable(p.client.server) {
		return
	}
	p.move = move{wanted: true}
	o := e.orderFor(movePusher, p)
	if o.newName = p.stream; e.options.Play == "" {
		o.newName = p.name.stream
	}
	e.orders = append(e.orders, o)
}

func (e *engine) orderFor(do orderKind, p *push) order {
	return order{do: do, client: p.client, app: p.app, stream: p.stream, name: p.name, sequence: p.sequence}
}

// orderFailed takes that nginx did not find or do what it was asked for. Where it had let a push stop already, that was its end.
func (e *engine) orderFailed(o order, now time.Time) {
	i := slices.IndexFunc(e.pushes, func(p *push) bool { return p.sequence == o.sequence && p.client == o.client })
	if i < 0 {
		return
	}
	switch p := e.pushes[i]; {
	case o.do == cutPusher:
		p.cut = nil
	case p.move.doneSeen && !p.move.publishSeen:
		e.interrupted(p, now)
	case p.move.wanted && !p.move.publishSeen:
		p.move = move{failed: now}
	}
}

// cutOff ends the push that is played, as if CSS or the network had.
func (e *engine) cutOff(how Interruption) bool {
	for _, p := range e.pushes {
		if p.played && how.is(p.name) {
			p.cut = &how
			e.orders = append(e.orders, e.orderFor(cutPusher, p))
			return true
		}
	}
	return false
}

// deadline of what a push waits for, and what happens then.
func (e *engine) deadline(p *push) (time.Time, func(now time.Time)) {
	switch {
	case p.lost != nil:
		return p.lost.at.Add(e.options.Resume), func(now time.Time) { e.end(p, p.lost.cause, now) }
	case !p.move.failed.IsZero():
		return p.move.failed.Add(moveAgain), func(time.Time) { e.play(p) }
	case e.options.SilentAfter > 0 && !p.heard.IsZero():
		return p.heard.Add(e.options.SilentAfter), func(now time.Time) { e.end(p, Interruption{Code: noData}, now) }
	default:
		return time.Time{}, nil
	}
}

// pass does what only time brings.
func (e *engine) pass(now time.Time) {
	for _, p := range slices.Clone(e.pushes) {
		if at, then := e.deadline(p); then != nil && !at.After(now) {
			then(now)
		}
	}
}

// wake is when the engine next has something to do, if ever.
func (e *engine) wake() time.Time {
	next := e.queue.next()
	for _, p := range e.pushes {
		at, _ := e.deadline(p)
		next = earlier(next, at)
	}
	return next
}

// onAir is when the pushes of a stream began; those that CSS waits for are still there.
func (e *engine) onAir(of name) []time.Time {
	var began []time.Time
	for _, p := range e.pushes {
		if p.name == of {
			began = append(began, p.began)
		}
	}
	slices.SortFunc(began, time.Time.Compare)
	return began
}

func (e *engine) moved(p *push) {
	if p.move.doneSeen && p.move.publishSeen {
		p.move = move{}
		if e.options.Play == "" {
			p.stream = p.name.stream
		}
	}
}

// callback sends one, as far as chaos lets it.
func (e *engine) callback(p *push, c css.Callback, now time.Time) {
	e.callbacks[p.name]++
	number := e.callbacks[p.name]
	f := e.options.Chaos.fate(p.name, number)
	if f.lost {
		e.lost = append(e.lost, &delivery{callback: c, name: p.name, number: number})
		return
	}
	e.queue.add(c, p.name, number, f, now)
}

func (e *engine) start(p *push) css.Callback {
	return e.dressed(p, e.sent(p).Start(p.began))
}

func (e *engine) stop(p *push, cause Interruption, now time.Time) css.Callback {
	message := cause.Message
	if message == "" {
		message = messageOf(cause.Code)
	}
	return e.dressed(p, e.sent(p).Interruption(now, now.Sub(p.began), cause.Code, message))
}

func (e *engine) sent(p *push) css.Push {
	return css.Push{
		Domain: e.options.Domain, App: p.name.app, Stream: p.name.stream, Sequence: p.sequence, AppID: e.options.AppID,
		ClientIP: addressOf(p.address), Node: e.options.Node,
	}
}

func (e *engine) dressed(p *push, c css.Callback) css.Callback {
	c.SetID, c.StreamParam = e.options.SetID, p.param
	return c
}

// addressOf leaves away what is no address, as of a local socket.
func addressOf(text string) string {
	address, err := netip.ParseAddr(text)
	if err != nil {
		return ""
	}
	return address.String()
}
