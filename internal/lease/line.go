package lease

// Line is a waiting line: first come, first served. The zero value is empty.
type Line[C comparable] struct {
	first, last *Place[C]
	n           int
}

// Place is somebody's place in a Line; whoever may wait holds one. The zero value stands in no line.
type Place[C comparable] struct {
	who        C
	prev, next *Place[C]
	line       *Line[C]
}

// Waits tells whether the place is in a line.
func (p *Place[C]) Waits() bool { return p.line != nil }

// Len is how many wait.
func (l *Line[C]) Len() int { return l.n }

// Join puts who at the end, at a place that stands in no line.
func (l *Line[C]) Join(p *Place[C], who C) {
	p.who, p.line, p.prev, p.next = who, l, l.last, nil
	if l.last != nil {
		l.last.next = p
	} else {
		l.first = p
	}
	l.last = p
	l.n++
}

// Return puts who in front, at a place that stands in no line: its turn had come, and what it got was no use.
func (l *Line[C]) Return(p *Place[C], who C) {
	p.who, p.line, p.prev, p.next = who, l, nil, l.first
	if l.first != nil {
		l.first.prev = p
	} else {
		l.last = p
	}
	l.first = p
	l.n++
}

// All are those who wait, in order.
func (l *Line[C]) All() []C {
	all := make([]C, 0, l.n)
	for p := l.first; p != nil; p = p.next {
		all = append(all, p.who)
	}
	return all
}

// First is who has waited longest.
func (l *Line[C]) First() (who C, ok bool) {
	if l.first == nil {
		return who, false
	}
	return l.first.who, true
}

// At is who stands behind i others. It takes time in proportion to i.
func (l *Line[C]) At(i int) (who C, ok bool) {
	p := l.first
	for ; p != nil && i > 0; i-- {
		p = p.next
	}
	if p == nil {
		return who, false
	}
	return p.who, true
}

// Leave takes the place out of its line, if it is in one.
func (p *Place[C]) Leave() {
	l := p.line
	if l == nil {
		return
	}
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		l.first = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	} else {
		l.last = p.prev
	}
	l.n--
	p.line, p.prev, p.next = nil, nil, nil
}
