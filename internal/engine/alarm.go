package engine

import (
	"container/heap"
	"time"
)

// alarm is when a client is to be looked at. There is at most one for each: it may ring too early, never too late, and
// whoever is looked at says when the next one is due.
type alarm struct {
	at   time.Duration
	slot int // in the heap, from 1 on; 0: it is not set
}

// alarms is a heap of the clients whose alarm is set, the first due in front. Those due together ring in the order of
// their pids.
type alarms []*client

func (h alarms) Len() int { return len(h) }
func (h alarms) Less(i, j int) bool {
	a, b := h[i], h[j]
	return a.alarm.at < b.alarm.at || a.alarm.at == b.alarm.at && a.pid < b.pid
}
func (h alarms) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].alarm.slot, h[j].alarm.slot = i+1, j+1
}

// Push is for container/heap.
func (h *alarms) Push(x any) {
	*h = append(*h, x.(*client))
	(*h)[len(*h)-1].alarm.slot = len(*h)
}

// Pop is for container/heap.
func (h *alarms) Pop() any {
	old := *h
	c := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	c.alarm.slot = 0
	return c
}

// setAlarm has a client looked at, at the latest at the given time.
func (e *Engine) setAlarm(c *client, at time.Duration) {
	switch {
	case c.alarm.slot == 0:
		c.alarm.at = at
		heap.Push(&e.alarms, c)
	case at < c.alarm.at:
		c.alarm.at = at
		heap.Fix(&e.alarms, c.alarm.slot-1)
	default:
		return
	}
	e.wake()
}

// dropAlarm forgets a client's alarm.
func (e *Engine) dropAlarm(c *client) {
	if c.alarm.slot > 0 {
		heap.Remove(&e.alarms, c.alarm.slot-1)
	}
}

// ring looks at the clients whose time has come.
func (e *Engine) ring() {
	for len(e.alarms) > 0 && e.alarms[0].alarm.at <= e.now {
		c := heap.Pop(&e.alarms).(*client)
		e.enforce(c)
		e.attend(c)
	}
}
