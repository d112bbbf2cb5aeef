package sim

import "time"

// timeline is virtual time: what will happen, in the order of (time, sequence).
type timeline struct {
	now   time.Duration
	seq   uint64
	queue []moment
	ran   int // how many moments have passed
}

type moment struct {
	at  time.Duration
	seq uint64
	run func()
}

func (a moment) before(b moment) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

// after runs f once d has passed.
func (t *timeline) after(d time.Duration, f func()) { t.at(t.now+d, f) }

// at runs f at the given time, or now if that has passed.
func (t *timeline) at(at time.Duration, f func()) {
	t.seq++
	m := moment{max(at, t.now), t.seq, f}
	t.queue = append(t.queue, m)
	i := len(t.queue) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !m.before(t.queue[up]) {
			break
		}
		t.queue[i] = t.queue[up]
		i = up
	}
	t.queue[i] = m
}

// step runs the next moment if it is not later than limit.
func (t *timeline) step(limit time.Duration) bool {
	if len(t.queue) == 0 || t.queue[0].at > limit {
		return false
	}
	m := t.queue[0]
	t.drop()
	t.now = m.at
	t.ran++
	m.run()
	return true
}

func (t *timeline) drop() {
	last := len(t.queue) - 1
	m := t.queue[last]
	t.queue[last] = moment{}
	t.queue = t.queue[:last]
	if last == 0 {
		return
	}
	i := 0
	for {
		kid := 2*i + 1
		if kid >= last {
			break
		}
		if kid+1 < last && t.queue[kid+1].before(t.queue[kid]) {
			kid++
		}
		if !t.queue[kid].before(m) {
			break
		}
		t.queue[i] = t.queue[kid]
		i = kid
	}
	t.queue[i] = m
}
