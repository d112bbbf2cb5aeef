package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"cancello/internal/engine"
	"cancello/internal/wire"
)

// order is one cancel on its way to a server.
type order struct {
	server  *backend
	decided chan bool // from Go: write, or drop. Holds one
	timeout time.Duration
	packet  []byte  // the CancelRequest; secret
	sql     string  // the statement in its place; empty: none
	errand  *errand // nil: it has a goroutine

	side       *side // of a statement, with what follows
	sideClosed int   // the side's, when this began
	fit        sideFit
	conn       *sideConn // nil: none is open yet
}

// carry starts an order. On the loop, inside a call of the engine: the answer comes later, whatever it is.
func (p *Proxy) carry(id engine.Order, s engine.Server, over engine.Side) {
	b := p.own.servers[s]
	if b == nil { // gone, and its pid may already be another session's
		p.refuse(id, engine.NotSent)
		return
	}
	if over != 0 {
		p.carrySQL(id, s, b, over)
		return
	}
	if p.shared(b) {
		p.refuse(id, engine.KeyShared)
		return
	}
	ord := &order{server: b, timeout: p.config.Load().Cancel.Timeout, packet: wire.AppendCancelRequest(nil, b.pid, b.key)}
	if p.sendErrand(id, s, ord) {
		return
	}
	b.orders++
	ord.decided = make(chan bool, 1)
	p.own.orders[id] = ord
	p.running.Go(func() {
		p.deliver(id, ord)
		p.loop.Post(func(time.Duration) {
			b.orders--
			p.forgetServer(s)
		})
	})
}

// refuse answers an order of which nothing was written. On the loop, inside a call of the engine.
func (p *Proxy) refuse(id engine.Order, r engine.Result) {
	p.loop.Post(func(now time.Duration) { p.engine.CancelDone(now, id, r) })
}

// deliver is the goroutine of one order: dial, say that it is ready, wait for the word, write, read to EOF.
func (p *Proxy) deliver(id engine.Order, ord *order) {
	ctx, cancel := context.WithTimeout(p.ctx, ord.timeout)
	o, err := p.openOrder(ctx, ord.server)
	cancel()
	if err != nil {
		p.orderDone(id, engine.NotSent)
		return
	}
	defer o.hangUp()
	if p.mayWrite(id, ord) {
		p.orderDone(id, ord.send(o.nc))
	}
}

// mayWrite tells the engine that an order is ready to be written, and waits for its word. Where that is no, or nobody is
// left to say it, the engine wants to hear no more of the order.
func (p *Proxy) mayWrite(id engine.Order, ord *order) bool {
	p.loop.Post(func(now time.Duration) { p.engine.CancelReady(now, id) })
	select {
	case write := <-ord.decided:
		return write
	case <-p.ctx.Done():
		return false
	}
}

// orderDone tells the engine how an order ended.
func (p *Proxy) orderDone(id engine.Order, r engine.Result) {
	p.loop.Post(func(now time.Duration) {
		delete(p.own.orders, id)
		p.engine.CancelDone(now, id, r)
	})
}

// send writes the request and reads to EOF, which says that the server has sent its signal: a server closes the
// connection after that, and not before. Anything else it could do proves nothing.
func (ord *order) send(nc net.Conn) engine.Result {
	nc.SetDeadline(time.Now().Add(ord.timeout))
	n, err := nc.Write(ord.packet)
	switch {
	case err != nil && n == 0:
		return engine.NotSent
	case err != nil:
		return engine.Broken
	}
	var b [1]byte
	if n, err := nc.Read(b[:]); n == 0 && errors.Is(err, io.EOF) {
		return engine.Delivered
	}
	return engine.Broken
}

// opened is a connection that was opened for an order.
type opened struct {
	nc     net.Conn
	raw    net.Conn // under its TLS
	hangUp func()   // is due
}

// openOrder connects to where the session of b is connected, and encrypts as it does. Its certificates may have been
// replaced since it began: if the server's can't be verified with what the session was verified with, what holds now
// is tried.
func (p *Proxy) openOrder(ctx context.Context, b *backend) (opened, error) {
	o, err := p.openSame(ctx, b, b.tls)
	var u *unverified
	if now, _ := p.tls.Load().server(b.name); errors.As(err, &u) && now != nil && now.config != nil && now != b.tls {
		return p.openSame(ctx, b, now)
	}
	return o, err
}

// openSame dials the address of b, and no other that its name or its database may have, and begins TLS, unless secrets is nil.
func (p *Proxy) openSame(ctx context.Context, b *backend, secrets *serverTLS) (opened, error) {
	d := dialer(b.network)
	raw, err := d.DialContext(ctx, b.addr.Network(), b.addr.String())
	if err != nil {
		return opened{}, err
	}
	unbind := p.bind(raw)
	hangUp := func() { unbind(); raw.Close() }
	if secrets == nil {
		return opened{raw, raw, hangUp}, nil
	}
	if deadline, ok := ctx.Deadline(); ok && ctx.Err() == nil {
		raw.SetDeadline(deadline)
	}
	t, err := p.encrypt(ctx, raw, secrets, b.host, withTLS, ofOrders)
	if err != nil {
		hangUp()
		return opened{}, err
	}
	return opened{t, raw, hangUp}, nil
}
