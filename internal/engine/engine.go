package engine

import (
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/key"
)

// Engine is the pooler of one loop. See the package comment.
type Engine struct {
	cfg    config.Config
	out    Outside
	minter *key.Minter
	now    time.Duration

	peers     []peer // by Conn.Index
	slots     []*client
	freeSlots []uint32
	clients   int // with a connection: let in or about to be
	present   int // those, and the ones of whom something is left to do

	pools     map[poolName]*pool
	upstreams map[string]*upstream
	servers   map[Server]*server
	quotas    quotas
	census    census
	orders    map[Order]*order
	sides     map[sidePlace]*side
	tallies   map[string]*event.Tally // by the name of the configured database
	paused    map[string]bool         // by the name that clients ask for
	pausedAll bool
	disabled  map[string]bool // by the name that clients ask for

	spare      spare
	lastServer Server
	lastOrder  Order
	lastSide   Side
	timers     timers
	ending     []*client // whose units have ended, and who have not been told
	alarms     alarms
	draining   bool
	gathering  bool // several pools are being changed
	drained    bool
	bug        Bug
	lastHeld   map[*client]*server // for BugKeyOutlivesClient
}

// peer is what a Conn belongs to: a client or a server.
type peer struct {
	conn   Conn
	client *client
	server *server
}

// New makes an engine. The configuration must be valid; m mints the keys of its clients.
func New(cfg config.Config, out Outside, m *key.Minter) *Engine {
	return &Engine{
		cfg: cfg, out: out, minter: m,
		pools: map[poolName]*pool{}, upstreams: map[string]*upstream{},
		quotas: newQuotas(), census: newCensus(),
		servers: map[Server]*server{}, orders: map[Order]*order{}, tallies: map[string]*event.Tally{}, paused: map[string]bool{},
		disabled: map[string]bool{}, sides: map[sidePlace]*side{}, lastHeld: map[*client]*server{},
	}
}

// Data: bytes arrived on c.
func (e *Engine) Data(now time.Duration, c Conn, b Buf) {
	e.now = now
	switch p := e.peer(c); {
	case p.client != nil:
		e.clientData(p.client, b)
	case p.server != nil:
		e.serverData(p.server, b)
	}
}

// Sent: n bytes of what was queued on c have left; n may be 0 after a write that the peer would not take.
func (e *Engine) Sent(now time.Duration, c Conn, n int) {
	e.now = now
	switch p := e.peer(c); {
	case p.client != nil:
		p.client.queued -= int32(n)
		p.client.pool.tally.Sent += uint64(n)
		if s := p.client.srv; s != nil {
			e.balance(&p.client.link, &s.link)
		}
	case p.server != nil:
		p.server.queued -= int32(n)
		if cl := p.server.cl; cl != nil {
			e.balance(&p.server.link, &cl.link)
		}
	}
}

// Closed: c is gone, by our doing (err is nil), by the peer's FIN (io.EOF), or broken. It is the last that is heard of it.
func (e *Engine) Closed(now time.Duration, c Conn, err error) {
	e.now = now
	p := e.peer(c)
	if p.conn == 0 {
		return
	}
	e.peers[c.Index()] = peer{}
	switch {
	case p.client != nil:
		e.clientClosed(p.client, err)
	case p.server != nil:
		e.serverClosed(p.server, err)
	}
}

func (e *Engine) peer(c Conn) peer {
	if i := c.Index(); int(i) < len(e.peers) && e.peers[i].conn == c {
		return e.peers[i]
	}
	return peer{}
}

func (e *Engine) setPeer(c Conn, cl *client, s *server) {
	for int(c.Index()) >= len(e.peers) {
		e.peers = append(e.peers, peer{})
	}
	e.peers[c.Index()] = peer{conn: c, client: cl, server: s}
}
