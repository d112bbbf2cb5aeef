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
	addr    net.Addr
	packet  []byte // the CancelRequest; secret
}

// carry starts an order. On the loop, inside a call of the engine: the answer comes later, whatever it is.
func (p *Proxy) carry(id engine.Order, s engine.Server) {
	b := p.own.servers[s]
	if b == nil { // gone, and its pid may already be another session's
		p.refuse(id, engine.NotSent)
		return
	}
	if p.shared(b) {
		p.refuse(id, engine.KeyShared)
		return
	}
	b.orders++
	ord := &order{
		server:  b,
		decided: make(chan bool, 1),
		timeout: p.config.Load().Cancel.Timeout,
		addr:    b.addr,
		packet:  wire.AppendCancelRequest(nil, b.pid, b.key),
	}
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
	var d net.Dialer
	nc, err := d.DialContext(ctx, ord.addr.Network(), ord.addr.String())
	cancel()
	if err != nil {
		p.orderDone(id, engine.NotSent)
		return
	}
	defer nc.Close()
	unbind := p.bind(nc)
	defer unbind()
	p.loop.Post(func(now time.Duration) {
		if p.own.orders[id] == ord { // else it was dropped while it was dialed
			p.engine.CancelReady(now, id)
		}
	})
	select {
	case write := <-ord.decided:
		if write {
			p.orderDone(id, ord.send(nc))
		}
	case <-p.ctx.Done():
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
