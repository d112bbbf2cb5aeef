package proxy

import (
	"bufio"
	"context"
	"errors"
	"slices"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/loop"
	"cancello/internal/wire"
)

// carrySQL starts an order that goes by a statement: on a connection of its own, opened for it and closed behind it, to
// where the session of b is connected. On the loop, inside a call of the engine.
func (p *Proxy) carrySQL(id engine.Order, s engine.Server, b *backend) {
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
	b.orders++
	ord := &order{server: b, sql: sql, decided: make(chan bool, 1), timeout: p.config.Load().Cancel.Timeout}
	p.own.orders[id] = ord
	p.running.Go(func() {
		p.tell(id, ord, t)
		p.loop.Post(func(time.Duration) {
			b.orders--
			p.forgetServer(s)
		})
	})
}

// tell is the goroutine of such an order: dial, log in, say that it is ready, wait for the word, say the statement, read
// its reply, which says that the signal has been sent.
func (p *Proxy) tell(id engine.Order, ord *order, t engine.Target) {
	ctx, cancel := context.WithTimeout(p.ctx, ord.timeout)
	nc, hangUp, err := p.openOrder(ctx, ord.server)
	if err != nil {
		cancel()
		p.orderDone(id, engine.NotSent)
		return
	}
	defer hangUp()
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil {
		nc.SetDeadline(deadline)
	}
	l := &serverLogin{p: p, ctx: ctx, nc: nc, r: bufio.NewReader(nc), target: t, secrets: ord.server.tls}
	l.encrypted, _ = nc.(*loop.TLS)
	err = l.run(asking{bare: true})
	cancel()
	if err != nil {
		p.orderDone(id, notLetIn(err))
		return
	}
	if p.mayWrite(id, ord) {
		p.orderDone(id, ord.say(l))
	}
	_, _ = nc.Write(wire.AppendTerminate(nil))
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

// say says the statement and reads what it did.
func (ord *order) say(l *serverLogin) engine.Result {
	l.nc.SetDeadline(time.Now().Add(ord.timeout))
	n, err := l.nc.Write(wire.AppendQuery(nil, ord.sql))
	switch {
	case err != nil && n == 0:
		return engine.NotSent
	case err != nil:
		return engine.Broken
	}
	a, err := l.answer()
	switch {
	case err != nil:
		return engine.Broken
	case !a.did():
		return engine.Refused
	}
	return engine.Delivered
}
