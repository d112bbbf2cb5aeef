package engine

import (
	"container/heap"
	"time"
)

// timer is something to look at when its time has come. What it is about may be over by then: run finds out.
type timer struct {
	at  time.Duration
	seq uint64 // the order of those that are due together
	run func()
}

// timers is a heap of what is due.
type timers struct {
	heap  timerHeap
	seq   uint64
	awake time.Duration // what Wake was asked for last; 0: nothing
}

type timerHeap []timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || (h[i].at == h[j].at && h[i].seq < h[j].seq)
}
func (h timerHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is for container/heap.
func (h *timerHeap) Push(x any) { *h = append(*h, x.(timer)) }

// Pop is for container/heap.
func (h *timerHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = timer{}
	*h = old[:len(old)-1]
	return last
}

// after runs f when d has passed.
func (e *Engine) after(d time.Duration, f func()) {
	e.timers.seq++
	heap.Push(&e.timers.heap, timer{at: e.now + d, seq: e.timers.seq, run: f})
	e.wake()
}

func (e *Engine) wake() {
	first := never
	if len(e.timers.heap) > 0 {
		first = e.timers.heap[0].at
	}
	if len(e.alarms) > 0 {
		first = min(first, e.alarms[0].alarm.at)
	}
	if first == never {
		return
	}
	if e.timers.awake == 0 || first < e.timers.awake {
		e.timers.awake = first
		e.out.Wake(first)
	}
}

// Tick: time has passed, as asked for by Wake.
func (e *Engine) Tick(now time.Duration) {
	e.now = now
	e.timers.awake = 0
	for len(e.timers.heap) > 0 && e.timers.heap[0].at <= now {
		t := heap.Pop(&e.timers.heap).(timer)
		t.run()
	}
	e.ring()
	e.wake()
}
