package fakecss

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/livestream-operator/livestream-operator/internal/css"
	"github.com/livestream-operator/livestream-operator/internal/provider/tencent"
)

// life is how long after it is sent a callback says to be valid.
const life = 10 * time.Minute

// signed is a callback as it is sent at the given time.
func signed(c css.Callback, key string, sent time.Time) css.Callback {
	if key != "" {
		c.T = sent.Add(life).Unix()
		c.Sign = tencent.Sign(key, strconv.FormatInt(c.T, 10))
	}
	return c
}

// encode makes the body of a callback.
func encode(c css.Callback) []byte {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	// CSS sends the & of stream_param as it is.
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(c); err != nil {
		// Strings and numbers only.
		panic(fmt.Sprintf("encoding a callback: %v", err))
	}
	return bytes.TrimSuffix(body.Bytes(), []byte("\n"))
}

// delivery is one copy of a callback on its way.
type delivery struct {
	callback css.Callback
	name     name
	// number counts the callbacks of the stream; copy those of the callback; try its sendings. All begin with 1.
	number, copy, try int
	due               time.Time
	// held until another overtakes it, or due.
	held bool
}

// queue is what has to be sent, and when.
type queue struct {
	retries    int
	retryEvery time.Duration
	waiting    []*delivery
}

// add plans the sendings of a callback.
func (q *queue) add(c css.Callback, of name, number int, f fate, now time.Time) {
	for i, delay := range f.delays {
		d := &delivery{callback: c, name: of, number: number, copy: i + 1, try: 1, due: now.Add(delay), held: f.held}
		if f.held {
			d.due = d.due.Add(reorderWindow)
		}
		q.waiting = append(q.waiting, d)
	}
}

// take removes what is due, in the order in which it became so.
func (q *queue) take(now time.Time) []*delivery {
	var due []*delivery
	q.waiting = slices.DeleteFunc(q.waiting, func(d *delivery) bool {
		if d.due.After(now) {
			return false
		}
		due = append(due, d)
		return true
	})
	slices.SortStableFunc(due, func(a, b *delivery) int { return a.due.Compare(b.due) })
	return due
}

// answered tells how a try ended: again, a minute later, unless that was with 200. Either way it has overtaken what was held for it.
func (q *queue) answered(d *delivery, ok bool, now time.Time) {
	for _, other := range q.waiting {
		if other.held && other.name == d.name && other.number < d.number {
			other.held, other.due = false, now
		}
	}
	if ok || d.try > q.retries {
		return
	}
	again := *d
	again.try++
	again.due, again.held = now.Add(q.retryEvery), false
	q.waiting = append(q.waiting, &again)
}

// next is when something is due, if ever.
func (q *queue) next() time.Time {
	var next time.Time
	for _, d := range q.waiting {
		next = earlier(next, d.due)
	}
	return next
}

// earlier of two times, of which the zero one is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// byAge puts the push that began first first.
func byAge(a, b *push) int { return cmp.Or(a.began.Compare(b.began), cmp.Compare(a.order, b.order)) }
