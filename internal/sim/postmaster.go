package sim

import (
	"strings"
	"time"
)

// postmaster is the upstream: it forks backends and carries signals to them.
type postmaster struct {
	w        *World
	twice    bool          // signals twice for one request, as PostgreSQL up to 17
	keyless  bool          // never sends a BackendKeyData
	early    time.Duration // closes a request's connection up to so long before it acts
	checks   bool          // took client_connection_check_interval
	maxConns int
	backends []*backend
	forked   int
}

// fork makes a backend on one end of a connection.
func (p *postmaster) fork(e *end, user int) *backend {
	p.forked++
	b := &backend{w: p.w, pm: p, pid: p.forked, user: user, end: e, block: 'I', now: defaultSettings()}
	b.saved, b.told = b.now, b.now
	e.owner = b
	p.backends = append(p.backends, b)
	return b
}

func (p *postmaster) gone(b *backend) {
	for i, x := range p.backends {
		if x == b {
			p.backends = append(p.backends[:i], p.backends[i+1:]...)
			return
		}
	}
}

// cancel signals a backend and calls eof when the request's connection would be closed. Both signals have been sent
// by then.
func (p *postmaster) cancel(b *backend, s *signal, eof func()) {
	w := p.w
	if p.early > 0 {
		w.after(w.between(0, 4*time.Millisecond), eof)
		w.after(w.between(0, p.early), func() {
			if b != nil {
				b.interrupt(s)
			}
		})
		return
	}
	gap := time.Duration(0)
	if b != nil {
		b.interrupt(s)
	}
	if b != nil && p.twice {
		gap = w.between(0, 100*time.Microsecond)
		if w.chance(0.3) {
			gap = w.between(0, 3*time.Millisecond)
		}
		w.after(gap, func() { b.interrupt(s) })
	}
	w.after(gap+w.between(0, 4*time.Millisecond), eof)
}

// notify tells all listeners of a channel.
func (p *postmaster) notify(channel string) {
	for _, b := range p.backends {
		if b.listener != 0 && strings.EqualFold(b.channel, channel) {
			b.notified()
		}
	}
}
