package sim

import (
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/event"
)

// mutant stands between the engine and the world and does one thing wrong. What an engine could get wrong and no
// deliberate bug of its own shows is shown here to be noticed.
type mutant struct {
	engine.Outside
	Machine
	gate *gate

	forward func(m *mutant, to engine.Conn) engine.Conn
	emit    func(e event.Event) (event.Event, bool)
	release func(m *mutant, t engine.Ticket)
	pause   func(m *mutant, c engine.Conn)
	close   func(m *mutant, c engine.Conn, how engine.How)
	gone    func(m *mutant, c engine.Conn) bool // hides Closed
	asked   func(t engine.Ticket) bool          // hides CancelRequested
	carry   func(m *mutant, s engine.Server) engine.Server
	reload  func(c *config.Config, first config.Config)

	first config.Config
}

func (m *mutant) Forward(to engine.Conn, b engine.Buf, from, n int) {
	if m.forward != nil {
		to = m.forward(m, to)
	}
	m.Outside.Forward(to, b, from, n)
}

func (m *mutant) Emit(e event.Event) {
	ok := true
	if m.emit != nil {
		e, ok = m.emit(e)
	}
	if ok {
		m.Outside.Emit(e)
	}
}

func (m *mutant) Release(t engine.Ticket) {
	if m.release != nil {
		m.release(m, t)
		return
	}
	m.Outside.Release(t)
}

func (m *mutant) Pause(c engine.Conn) {
	if m.pause != nil {
		m.pause(m, c)
		return
	}
	m.Outside.Pause(c)
}

func (m *mutant) Close(c engine.Conn, how engine.How) {
	if m.close != nil {
		m.close(m, c, how)
		return
	}
	m.Outside.Close(c, how)
}

func (m *mutant) Closed(now time.Duration, c engine.Conn, err error) {
	if m.gone == nil || !m.gone(m, c) {
		m.Machine.Closed(now, c, err)
	}
}

func (m *mutant) Carry(o engine.Order, s engine.Server, over engine.Side) {
	if m.carry != nil {
		s = m.carry(m, s)
	}
	m.Outside.Carry(o, s, over)
}

// nextHost is a server at another host than s, as if a cancel went to the next one of a list.
func nextHost(m *mutant, s engine.Server) engine.Server {
	for _, k := range m.gate.conns {
		if k != nil && k.backend != nil && !k.closing && m.gate.servers[s] != nil && k.backend.host != m.gate.servers[s].backend.host {
			return k.server
		}
	}
	return s
}

func (m *mutant) Reconfigure(now time.Duration, c config.Config) {
	if m.reload != nil {
		c.Databases = append([]config.Database(nil), c.Databases...)
		m.reload(&c, m.first)
	}
	m.Machine.Reconfigure(now, c)
}

func (m *mutant) CancelRequested(now time.Duration, t engine.Ticket, r engine.CancelRequest) {
	if m.asked == nil || !m.asked(t) {
		m.Machine.CancelRequested(now, t, r)
	}
}

// outcomes makes every settled ticket that has outcome from say to.
func outcomes(from, to event.Outcome) func(event.Event) (event.Event, bool) {
	return func(e event.Event) (event.Event, bool) {
		if s, ok := e.(event.CancelSettled); ok && s.Outcome == from && s.Ticket != 0 {
			s.Outcome = to
			return s, true
		}
		return e, true
	}
}

// TestMutantsAreFound: each checker notices what it is there for.
func TestMutantsAreFound(t *testing.T) {
	big := func(k *Knobs) { k.bigRows, k.slowReaders = 0.5, 0.8 }
	for name, c := range map[string]struct {
		m    mutant
		tune func(*Knobs)
		rule string
	}{
		"a ticket released twice": {rule: "P3", m: mutant{release: func(m *mutant, t engine.Ticket) {
			m.Outside.Release(t)
			m.Outside.Release(t)
		}}},
		"a ticket never released": {rule: "P3", m: mutant{release: func(m *mutant, t engine.Ticket) {
			if t%8 != 3 {
				m.Outside.Release(t)
			}
		}}},
		"an outcome never told": {rule: "P3", m: mutant{emit: func(e event.Event) (event.Event, bool) {
			s, ok := e.(event.CancelSettled)
			return e, !ok || s.Ticket%8 != 3
		}}},
		"finished told as late":   {rule: "P3", m: mutant{emit: outcomes(event.Finished, event.Late)}},
		"late told as cancelled":  {rule: "P3", m: mutant{emit: outcomes(event.Late, event.Cancelled)}},
		"unqueued told as idle":   {rule: "P2", m: mutant{emit: outcomes(event.Unqueued, event.Idle)}},
		"cancelled told as idle":  {rule: "P2", m: mutant{emit: outcomes(event.Cancelled, event.Idle)}},
		"idle told as unqueued":   {rule: "P3", m: mutant{emit: outcomes(event.Idle, event.Unqueued)}},
		"a cancel never answered": {rule: "P3", m: mutant{asked: func(t engine.Ticket) bool { return t%8 == 3 }}},
		"a cancel carried to the next host": {rule: "P1", m: mutant{carry: nextHost}, tune: func(k *Knobs) {
			k.hosts, k.cancels, k.keyless = 2, 0.8, false
			k.config.Databases[0].Host = "upstream,second"
		}},
		"Pause not passed on": {rule: "P6", tune: big, m: mutant{pause: func(*mutant, engine.Conn) {}}},
		"closed without a word": {rule: "P5", m: mutant{close: func(m *mutant, c engine.Conn, how engine.How) {
			if k := m.gate.find(c); k != nil && k.client != nil {
				k.release() // what was to be said is dropped
			}
			m.Outside.Close(c, engine.Now)
		}}},
		"a move not heard of": {rule: "P8", m: mutant{reload: func(c *config.Config, first config.Config) {
			c.Databases[0].Host = first.Databases[0].Host
		}}},
		"a database that is not closed": {rule: "P8", m: mutant{reload: func(c *config.Config, first config.Config) {
			c.Databases[0].Name = first.Databases[0].Name
		}}},
		"sizes not heard of": {rule: "P6", m: mutant{reload: func(c *config.Config, first config.Config) {
			c.Databases[0].PoolSize, c.Pool, c.Users = config.Override[int]{}, first.Pool, nil
		}}},
		"a limit of cancels not heard of": {rule: "P6", m: mutant{reload: func(c *config.Config, first config.Config) {
			c.Cancel.PerUpstream = first.Cancel.PerUpstream
		}}},
		"a side's size not heard of": {rule: "P6", tune: func(k *Knobs) {
			k.keyless, k.statement, k.cancels, k.reloads = true, true, 0.8, 6
			k.config.Databases[0].Cancel.Fallback = "sql,disconnect"
			k.config.Cancel.SideSize = 3
		}, m: mutant{reload: func(c *config.Config, first config.Config) {
			c.Cancel.SideSize = first.Cancel.SideSize
		}}},
		"a close that is forgotten": {rule: "P5", m: mutant{close: func(m *mutant, c engine.Conn, how engine.How) {
			if k := m.gate.find(c); k == nil || k.client == nil {
				m.Outside.Close(c, how)
			}
		}}},
		"a lost client not noticed": {rule: "P5", m: mutant{gone: func(m *mutant, c engine.Conn) bool { return true }}},
		"a reply to somebody else": {rule: "P4", m: mutant{forward: func(m *mutant, to engine.Conn) engine.Conn {
			k := m.gate.find(to)
			for _, x := range m.gate.conns {
				if k != nil && k.client != nil && x != nil && x.client != nil && x != k && m.gate.mark%64 == 0 {
					return x.id
				}
			}
			return to
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(400) {
				o := Options{Tune: c.tune, Machine: func(cfg config.Config, out engine.Outside, seed uint64) Machine {
					m := c.m
					m.Outside, m.gate, m.first = out, out.(*gate), cfg
					m.Machine = production(engine.NoBug)(cfg, &m, seed)
					return &m
				}}
				for _, v := range run(seed, o).Violations {
					if v.Rule == c.rule {
						t.Logf("found by seed %d: %s %s", seed, v.Rule, v.Text)
						return
					}
				}
			}
			t.Errorf("not found by a checker of %s in 400 seeds", c.rule)
		})
	}
}
