package proxy

import (
	"context"
	"errors"
	"slices"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/wire"
)

// carrySQL starts an order that goes by a statement: over a connection of its side, to where the session of b is connected.
// On the loop, inside a call of the engine.
func (p *Proxy) carrySQL(id engine.Order, s engine.Server, b *backend, over engine.Side) {
	t := b.target
	for _, d := range p.config.Load().Databases { // who logs in, and what is said, may have changed since
		if d.Name == t.Entry.Name {
			t.Entry.Cancel = d.Cancel
		}
	}
	sql, ok := b.who.fill(cancelStatement(t.Entry.Cancel))
	if !ok {
		p.refuse(id, engine.Refused)
		return
	}
	if c := t.Entry.Cancel; c.User != "" && c.User != t.User {
		t.User, t.Entry.Password = c.User, ""
	}
	if c := t.Entry.Cancel; c.Password != "" {
		t.Entry.Password = c.Password
	}
	t.Entry.Cancel.Protocol = config.Give(config.Protocol30)
	d := p.sideOf(over, t)
	ord := &order{
		server: b, sql: sql, decided: make(chan bool, 1), timeout: p.config.Load().Cancel.Timeout,
		side: d, sideClosed: d.closed, fit: sideFit{b.addr.String(), b.tls, t.Entry.Name, t.Database, t.User},
	}
	ord.conn = p.take(d, ord.fit)
	b.orders++
	p.own.orders[id] = ord
	p.running.Go(func() {
		p.tell(id, ord, t)
		p.loop.Post(func(time.Duration) {
			b.orders--
			p.forgetServer(s)
		})
	})
}

// tell is the goroutine of such an order: find a connection, say that it is ready, wait for the word, say the statement,
// read its reply, which says that the signal has been sent.
func (p *Proxy) tell(id engine.Order, ord *order, t engine.Target) {
	ctx, cancel := context.WithTimeout(p.ctx, ord.timeout)
	defer cancel()
	if ord.conn != nil && !p.still(ord.conn, ord.timeout) {
		ord.conn.end()
		ord.conn = nil
	}
	if ord.conn == nil {
		var err error
		if ord.conn, err = p.openSide(ctx, ord, t); err != nil {
			p.sideDone(id, ord, notLetIn(err), false)
			return
		}
	}
	if !p.mayWrite(id, ord) {
		if p.ctx.Err() != nil { // else the loop has let it rest
			ord.conn.end()
		}
		return
	}
	r, clean := p.say(ord)
	if !clean {
		ord.conn.end()
	}
	p.sideDone(id, ord, r, clean)
}

// sideDone tells the engine how an order ended. Its connection comes to rest first, where it is clean, so that the next
// order can have it.
func (p *Proxy) sideDone(id engine.Order, ord *order, r engine.Result, clean bool) {
	told := p.loop.Post(func(now time.Duration) {
		if clean {
			p.letRest(ord.side, ord.conn, ord.sideClosed)
		} else {
			ord.side.open--
		}
		delete(p.own.orders, id)
		p.engine.CancelDone(now, id, r)
	})
	if clean && !told {
		ord.conn.end()
	}
}

// notLetIn is the result of a login that failed: it makes sense to try again only where the server didn't answer, or says
// that it is full or starting.
func notLetIn(err error) engine.Result {
	var no *refusal
	var cannot *unableError
	if errors.As(err, &no) && !slices.Contains([]string{"53", "57"}, no.code[:min(2, len(no.code))]) || errors.As(err, &cannot) {
		return engine.Refused
	}
	return engine.NotSent
}

// say says the statement and reads what it did; clean: the connection is as it was before.
func (p *Proxy) say(ord *order) (r engine.Result, clean bool) {
	c := ord.conn
	p.until(c, time.Now().Add(ord.timeout))
	n, err := c.nc.Write(wire.AppendQuery(nil, ord.sql))
	switch {
	case err != nil && n == 0:
		return engine.NotSent, false
	case err != nil:
		return engine.Broken, false
	}
	a, err := c.answer()
	switch {
	case err != nil && a.unread():
		return engine.NotSent, false
	case err != nil:
		return engine.Broken, false
	case !a.did():
		return engine.Refused, c.clean(a)
	}
	return engine.Delivered, c.clean(a)
}
