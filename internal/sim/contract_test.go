package sim

import (
	"errors"
	"io"
	"testing"
	"time"

	"cancello/internal/engine"
	"cancello/internal/pgtest/contract"
)

// TestContract runs the suite of engine.Outside against the sim's connections. The suite takes it for granted that what
// is written at once arrives at once, so the paths don't cut the stream here; pauses are heeded at once, or late.
func TestContract(t *testing.T) {
	for name, late := range map[string]float64{"pauses heeded": 0, "pauses heeded late": 0.5} {
		t.Run(name, func(t *testing.T) {
			k := Knobs{readBuffer: contract.MaxData, minDelay: 20 * time.Microsecond, maxDelay: time.Millisecond, latePause: late}
			contract.Run(t, func(t *testing.T) contract.World { return newContractWorld(t, k) })
		})
	}
}

// contractWorld is a world without clients and servers.
type contractWorld struct {
	t *testing.T
	w *World
}

func newContractWorld(t *testing.T, k Knobs) *contractWorld {
	w := newWorld(1, k, nil)
	w.gate = &gate{w: w, servers: make(map[engine.Server]*conn), orders: make(map[engine.Order]*order)}
	t.Cleanup(func() {
		for _, v := range w.violations {
			t.Errorf("%s %s", v.Rule, v.Text)
		}
	})
	return &contractWorld{t, w}
}

// deaf is a Machine that hears of connections and nothing else.
type deaf struct {
	contract.Handler
	Machine
}

func (d deaf) Data(now time.Duration, c engine.Conn, b engine.Buf) { d.Handler.Data(now, c, b) }
func (d deaf) Sent(now time.Duration, c engine.Conn, n int)        { d.Handler.Sent(now, c, n) }
func (d deaf) Closed(now time.Duration, c engine.Conn, err error)  { d.Handler.Closed(now, c, err) }
func (d deaf) Tick(now time.Duration)                              { d.Handler.Tick(now) }
func (c *contractWorld) Start(h contract.Handler)                  { c.w.gate.m = deaf{Handler: h} }
func (c *contractWorld) Outside() contract.Outside                 { return c.w.gate }
func (c *contractWorld) Do(f func(now time.Duration))              { c.w.gate.enter(func() { f(c.w.now) }) }
func (c *contractWorld) Reserve() engine.Conn                      { return c.w.gate.reserve().id }
func (c *contractWorld) Abandon(id engine.Conn, err error) {
	if k := c.w.gate.find(id); k != nil {
		k.abandon(err)
	}
}

// Step passes at most a few milliseconds: what is due later is not due yet.
func (c *contractWorld) Step() bool {
	limit := c.w.now + 5*time.Millisecond
	if c.w.step(limit) {
		return true
	}
	c.w.now = limit
	return false
}

func (c *contractWorld) Adopt(id engine.Conn, first []byte) contract.Peer {
	p := &contractPeer{}
	near, far := c.w.connect(nobody{}, p)
	p.end = far
	c.w.gate.find(id).adopt(near, first)
	return p
}

// contractPeer is a far end.
type contractPeer struct{ end *end }

func (*contractPeer) arrived() {}
func (*contractPeer) room()    {}

var errGone = errors.New("connection reset")

func (p *contractPeer) Write(b []byte) (int, error) {
	if p.end.rst || p.end.closed {
		return 0, errGone
	}
	return p.end.write(b), nil
}

func (p *contractPeer) Read(b []byte) (int, error) {
	n := copy(b, p.end.read(len(b)))
	switch {
	case n > 0:
		return n, nil
	case p.end.rst:
		return 0, errGone
	case p.end.eof:
		return 0, io.EOF
	}
	return 0, nil
}

func (p *contractPeer) FIN() { p.end.shutdown() }
func (p *contractPeer) RST() { p.end.abort() }

// Ending: nothing ever does.
func (deaf) Ending(engine.Conn) bool { return false }
