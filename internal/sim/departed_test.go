package sim

import (
	"testing"

	"cancello/internal/engine"
	"cancello/internal/event"
)

// TestDeparted has a client leave before it hears that it was let in: the next one with its pid is who leaves then.
func TestDeparted(t *testing.T) {
	w := newWorld(1, Knobs{}, nil)
	w.gate = &gate{w: w}
	const pid = 7
	for range 2 {
		c := &client{w: w, id: len(w.clients) + 1}
		w.clients, w.gate.logins, w.gate.answers = append(w.clients, c), append(w.gate.logins, c), append(w.gate.answers, false)
		w.gate.Admit(engine.Login(c.id), engine.Verdict{OK: true, PID: pid})
		if c.departed {
			t.Errorf("%s departed before the engine said so", c.name())
		}
		w.gate.Emit(event.ClientLeft{PID: pid})
		if !c.departed {
			t.Errorf("%s did not depart when the engine said so", c.name())
		}
		c.pid = pid // it hears of it
	}
}
