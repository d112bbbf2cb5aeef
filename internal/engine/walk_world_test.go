package engine

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"cancello/internal/event"
	"cancello/internal/wire"
)

// action is one thing that may happen next.
type action struct {
	name string
	do   func()
}

// enabled lists what may happen next, always in the same order.
func (m *model) enabled() (list []action) {
	add := func(do func(), format string, args ...any) {
		list = append(list, action{fmt.Sprintf(format, args...), do})
	}
	for i := range m.dials {
		if i == 0 {
			add(m.dial, "a server is opened")
		}
	}
	for _, c := range m.clients {
		if c.gone || c.closed {
			continue
		}
		if c.next < len(m.units[c.n]) && c.next-c.answered < m.depth && c.pid != 0 {
			add(func() { m.ask(c) }, "client %d asks unit %d", c.n, c.next+1)
		}
		if m.leaves > 0 && c.next > c.answered {
			add(func() { m.vanish(c) }, "client %d vanishes", c.n)
		}
	}
	for i, a := range m.cancels {
		switch {
		case !a.read && m.clients[a.of].next > 0:
			add(func() { a.read, a.before = true, m.clients[a.of].answered }, "cancel %d is read", i)
		case a.read && !a.judged:
			add(func() { m.judge(i) }, "cancel %d is judged", i)
		}
	}
	for _, o := range m.orders {
		list = append(list, m.ofOrder(o)...)
	}
	for _, s := range m.servers {
		if s.open {
			list = append(list, m.ofServer(s)...)
		}
	}
	return list
}

func (m *model) ask(c *walker) {
	text := m.units[c.n][c.next]
	c.next++
	m.e.Data(walkNow, c.conn, Buf{Bytes: wire.AppendQuery(nil, fmt.Sprintf("%s /* %d.%d */", text, c.n, c.next)), ID: 1})
}

func (m *model) vanish(c *walker) {
	m.leaves--
	c.gone = true
	m.e.Closed(walkNow, c.conn, nil)
}

// judge tells the engine of a cancel. A unit that ended since it was read has ended after it.
func (m *model) judge(i int) {
	a := m.cancels[i]
	a.judged = true
	c := m.clients[a.of]
	readAt := walkNow + time.Nanosecond
	if c.answered > a.before {
		readAt = walkNow
	}
	m.e.CancelRequested(walkNow, Ticket(i+1), CancelRequest{PID: c.pid, Key: c.key, ReadAt: readAt})
}

// ofOrder is what may happen to an order at the driver.
func (m *model) ofOrder(o *carried) (list []action) {
	add := func(do func(), what string) {
		list = append(list, action{fmt.Sprintf("order %d %s", o.id, what), do})
	}
	done := func(r Result) func() {
		return func() { m.drop(o); m.e.CancelDone(walkNow, o.id, r) }
	}
	switch o.state {
	case "opening":
		add(func() { o.state = "ready"; m.e.CancelReady(walkNow, o.id) }, "is ready")
		if m.breaks > 0 {
			add(func() { m.breaks--; done(NotSent)() }, "can't be opened")
		}
	case "going":
		add(func() { o.state = "signalled"; m.signal(o) }, "signals")
		if m.breaks > 0 {
			add(func() { m.breaks--; done(Broken)() }, "breaks off")
		}
	case "signalled":
		if m.twice {
			add(func() { o.state = "again"; m.signal(o) }, "signals again")
			break
		}
		add(done(Delivered), "is delivered")
	case "again":
		add(done(Delivered), "is delivered")
	}
	return list
}

func (m *model) drop(o *carried) {
	for i, other := range m.orders {
		if other == o {
			m.orders = append(m.orders[:i], m.orders[i+1:]...)
			return
		}
	}
}

// signal reaches a server: what runs will be ended, or end before it is seen. In a server that reads it is swallowed.
func (m *model) signal(o *carried) {
	s := o.server
	s.signals++
	if s.open && s.running != "" {
		s.pending = o
	}
}

// ofServer is what an open server may do next.
func (m *model) ofServer(s *walked) (list []action) {
	add := func(do func(), what string) {
		list = append(list, action{fmt.Sprintf("server %d %s", s.id, what), do})
	}
	switch {
	case s.running == "" && len(s.inbox) > 0:
		add(func() {
			s.running, s.runAt = s.inbox[0], s.at[0]
			s.inbox, s.at = s.inbox[1:], s.at[1:]
			s.pending = nil
			if s.running == "Terminate" {
				m.die(s)
			}
		}, "reads "+s.inbox[0])
	case s.running != "":
		add(func() { m.finish(s) }, "finishes")
		if s.pending != nil {
			add(func() { m.hit(s) }, "is interrupted")
		}
	}
	if m.deaths > 0 {
		add(func() { m.deaths--; m.die(s) }, "dies")
	}
	return list
}

func (m *model) die(s *walked) {
	s.open, s.running, s.inbox, s.at, s.in = false, "", nil, nil, nil
	m.e.Closed(walkNow, s.conn, fmt.Errorf("gone"))
}

func (m *model) finish(s *walked) {
	text := s.running
	s.running, s.pending = "", nil
	tag := "SELECT 1"
	switch {
	case strings.HasPrefix(text, "begin"):
		tag, s.tx = "BEGIN", 'T'
	case strings.HasPrefix(text, "commit"), strings.HasPrefix(text, "ROLLBACK"):
		tag, s.tx = "COMMIT", 'I'
	}
	m.answer(s, append(completed(tag), wire.AppendReadyForQuery(nil, s.tx)...))
}

// completed is a CommandComplete.
func completed(tag string) []byte {
	p := binary.BigEndian.AppendUint32([]byte{'C'}, uint32(4+len(tag)+1))
	return append(append(p, tag...), 0)
}

// hit ends what runs with 57014. It must be what the signal was meant for, or, of the same client, what was in the
// server before the cancel was written.
func (m *model) hit(s *walked) {
	o, text := s.pending, s.running
	s.running, s.pending = "", nil
	if meant := owner(o.unit); meant == "" || owner(text) != meant || text != o.unit && s.runAt > o.signals {
		m.fail("a cancel of %q ended %q", o.unit, text)
	}
	if s.tx == 'T' {
		s.tx = 'E'
	}
	p := wire.AppendError(nil, "ERROR", "57014", "canceling statement due to user request", "", "")
	m.answer(s, append(p, wire.AppendReadyForQuery(nil, s.tx)...))
}

func (m *model) answer(s *walked, p []byte) {
	m.e.Data(walkNow, s.conn, Buf{Bytes: p, ID: 1})
}

// owner is the client in a unit's comment; empty: the unit is the engine's own.
func owner(text string) string {
	_, rest, ok := strings.Cut(text, "/* ")
	if !ok {
		return ""
	}
	n, _, _ := strings.Cut(rest, ".")
	return n
}

// take has a server receive bytes of the engine's.
func (m *model) take(s *walked, p []byte) {
	if !s.open {
		return
	}
	s.in = append(s.in, p...)
	for len(s.in) >= wire.HeaderLen {
		n := 1 + int(binary.BigEndian.Uint32(s.in[1:]))
		if len(s.in) < n {
			return
		}
		text := "Terminate"
		if s.in[0] == 'Q' {
			text = string(s.in[wire.HeaderLen : n-1])
		}
		s.inbox, s.at = append(s.inbox, text), append(s.at, s.signals)
		s.in = s.in[n:]
		for _, o := range m.orders { // the fence: nothing new reaches a server while a cancel is on the wire
			if o.server == s && (o.state == "going" || o.state == "signalled" || o.state == "again") && text != "Terminate" {
				m.fail("%q is sent to a server with a cancel on the wire", text)
			}
		}
	}
}

func (m *model) Forward(to Conn, b Buf, from, n int) { m.Send(to, b.Bytes[from:from+n]) }

func (m *model) Send(to Conn, p []byte) {
	m.queued[to] += len(p)
	for _, c := range m.clients {
		if c.conn == to && !c.gone {
			c.in = append(c.in, p...)
		}
	}
	for _, s := range m.servers {
		if s.conn == to {
			m.take(s, p)
		}
	}
}

func (m *model) Pause(Conn)  {}
func (m *model) Resume(Conn) {}

func (m *model) Close(c Conn, how How) {
	m.closing = append(m.closing, c)
	for _, x := range m.clients {
		if x.conn == c {
			x.closed = true
		}
	}
	for _, s := range m.servers {
		if s.conn == c && how == Now { // it may run on, but is heard no more
			s.open, s.running, s.inbox, s.at = false, "", nil, nil
		} else if s.conn == c {
			s.open = false
		}
	}
}

func (m *model) Dial(s Server, _ Target) { m.dials = append(m.dials, s) }

func (m *model) Carry(o Order, s Server, _ Side) {
	for _, x := range m.servers {
		if x.id == s {
			m.orders = append(m.orders, &carried{id: o, server: x, state: "opening"})
		}
	}
}

func (m *model) Go(id Order, write bool) {
	for _, o := range m.orders {
		if o.id != id {
			continue
		}
		if !write {
			m.drop(o)
			return
		}
		o.state, o.unit, o.signals = "going", o.server.running, o.server.signals
		if o.unit == "" && len(o.server.inbox) > 0 {
			o.unit = o.server.inbox[0]
		}
		for _, t := range m.e.orders[id].tickets {
			if of := fmt.Sprint(m.cancels[t.id-1].of); owner(o.unit) != of {
				m.fail("a cancel of client %s is about to end %q", of, o.unit)
			}
		}
		return
	}
}

func (m *model) Admit(l Login, v Verdict) {
	c := m.clients[l-1]
	if c.pid, c.key = v.PID, v.Key; !v.OK {
		m.fail("client %d is not let in: %s", c.n, v.Refusal)
	}
}

func (m *model) Release(t Ticket) {
	if a := m.cancels[t-1]; a.released > 0 {
		m.fail("cancel %d is released twice", t-1)
	} else {
		a.released++
	}
}

func (m *model) Emit(e event.Event) {
	if s, ok := e.(event.CancelSettled); ok && s.Ticket != 0 {
		a := m.cancels[s.Ticket-1]
		if a.settled = append(a.settled, s.Outcome); len(a.settled) > 1 {
			m.fail("cancel %d has the outcomes %v", s.Ticket-1, a.settled)
		}
	}
}

func (m *model) CloseSide(Side) {}

func (m *model) Wake(time.Duration) {}
