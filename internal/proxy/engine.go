package proxy

import (
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/key"
	"cancello/internal/sqlstate"
)

// Engine is what the proxy drives, on the loop's goroutine only: *engine.Engine, or a scripted one in tests. It has
// as many methods as there are events in the contract of engine.Outside; cutting it up would hide that they are one.
type Engine interface {
	LoginAsked(now time.Duration, l engine.Login, r engine.Request)
	Passage(now time.Duration, r engine.Request) (engine.Target, sqlstate.Error)
	PassageFailed(now time.Duration, r engine.Request, t engine.Target, f engine.Failure)
	Passed(now time.Duration, l engine.Login, r engine.Request, t engine.Target, c engine.Conn, info engine.ServerInfo, keyed bool)
	Data(now time.Duration, c engine.Conn, b engine.Buf)
	Sent(now time.Duration, c engine.Conn, n int)
	Closed(now time.Duration, c engine.Conn, err error)
	Dialed(now time.Duration, s engine.Server, c engine.Conn, info engine.ServerInfo)
	DialFailed(now time.Duration, s engine.Server, f engine.Failure)
	CancelTarget(pid uint32, key []byte) (engine.Conn, bool)
	Unknown(pid uint32, key []byte) bool
	CancelRequested(now time.Duration, t engine.Ticket, r engine.CancelRequest)
	CancelReady(now time.Duration, o engine.Order)
	CancelDone(now time.Duration, o engine.Order, r engine.Result)
	Tick(now time.Duration)
	Reconfigure(now time.Duration, c config.Config)
	UseKeys(now time.Duration, m *key.Minter)
	Resolved(now time.Duration, host string, addrs []string)
	Drain(now time.Duration)
	Ending(c engine.Conn) bool
	Told(now time.Duration, c engine.Conn)
}

// handler stands between loop and engine: it only overhears the end of server connections.
type handler struct {
	Engine
	p *Proxy
}

// Closed forgets what was kept of a server connection, then tells the engine.
func (h handler) Closed(now time.Duration, c engine.Conn, err error) {
	h.p.serverClosed(c)
	h.Engine.Closed(now, c, err)
}
