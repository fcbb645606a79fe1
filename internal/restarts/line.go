package restarts

import "time"

// place is a LiveStream's in the line. They are called in their order.
type place[K comparable] struct {
	key   K
	due   Due
	asked time.Time
	order time.Time
	// number tells those of one moment apart.
	number uint64
	// index is the heap's.
	index int
}

func (p *place[K]) change(due Due) {
	p.due, p.order = due, p.asked.Add(time.Duration(min(max(due.Part-1, 0), headStarts))*headStart)
}

// line implements heap.Interface.
type line[K comparable] []*place[K]

func (l line[K]) Len() int { return len(l) }

func (l line[K]) Less(i, j int) bool {
	return l[i].order.Before(l[j].order) || l[i].order.Equal(l[j].order) && l[i].number < l[j].number
}

func (l line[K]) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].index, l[j].index = i, j
}

// Push is heap.Push's.
func (l *line[K]) Push(x any) {
	if p, is := x.(*place[K]); is {
		p.index = len(*l)
		*l = append(*l, p)
	}
}

// Pop is heap.Pop's.
func (l *line[K]) Pop() any {
	last := (*l)[len(*l)-1]
	(*l)[len(*l)-1] = nil
	*l = (*l)[:len(*l)-1]
	return last
}
