package peer

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/relay"
)

// Settings are what a Hub is made of. All fields are needed.
type Settings struct {
	Node        uint16
	Incarnation uint64 // random, of this process
	// Now is the clock that the engine's moments are of.
	Now func() time.Duration
	// Judge gives a request that came over a link to our own engine. It must not block; Unknown, or Released and Settled,
	// answer it.
	Judge func(relay.Ticket, relay.Request)
	// Cancel judges a plain CancelRequest that came to the peers' listener, here alone, and returns when its connection may be
	// closed or ctx ends.
	Cancel func(ctx context.Context, remote string, pid uint32, key []byte)
	// Emit takes events. It is called from any goroutine and must not block.
	Emit func(event.Event)
}

// Config is what a reload may change.
type Config struct {
	Peers   []config.Peer
	Secrets [][]byte      // the cluster's, the present one first; empty: there can be no links
	Timeout time.Duration // cancel_timeout
}

const (
	// maxAsks is how many requests for one peer may be carried at a time, and how many more may wait for that.
	maxAsks = 100
	// perPeer is the descriptors for each: of clients whose requests are carried, or wait, and of as many as are carried in
	// clear; of the link, and those that take its place or had it.
	perPeer = 3*maxAsks + maxSessions
)

// Descriptors is how many open files these peers need at most: for each, and for those that have not proved to be a node's.
func Descriptors(peers []config.Peer) uint64 {
	if len(peers) == 0 {
		return 0
	}
	return uint64(len(peers))*perPeer + maxUnproven + 1
}

// Hub is this process's end of all links. Create it with New; Configure and Listen may follow; end it with Stop.
type Hub struct {
	set   Settings
	mail  *mailbox
	tls   *tls.Config
	relay *relay.Relay // on the hub's goroutine

	ctx      context.Context // ends with Stop
	cancel   context.CancelFunc
	running  sync.WaitGroup // every goroutine but the hub's
	ended    chan struct{}  // the hub's goroutine has
	listener net.Listener   // nil: none
	unproven unproven

	live  atomic.Pointer[Config]
	known atomic.Pointer[map[uint16]bool] // the peers' nodes
	kin   atomic.Bool                     // there is another process of this node

	// own belongs to the hub's goroutine.
	own struct {
		lastLink relay.Link
		sessions map[relay.Link]*session
		peers    map[uint16]*node
		tickets  map[relay.Ticket]chan<- bool // takes one: whether it was a guess
		wake     *time.Timer
		yielded  bool            // another process has our place
		kin      map[uint64]bool // other processes of this node whose end is waited for, by incarnation
	}
}

// New builds a Hub without peers, and starts its goroutine.
func New(s Settings) (*Hub, error) {
	h := &Hub{set: s, mail: newMailbox(), ended: make(chan struct{})}
	var err error
	if h.tls, err = selfSigned(); err != nil {
		return nil, err
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.live.Store(&Config{})
	h.known.Store(&map[uint16]bool{})
	h.own.sessions, h.own.peers = map[relay.Link]*session{}, map[uint16]*node{}
	h.own.tickets = map[relay.Ticket]chan<- bool{}
	h.own.kin = map[uint64]bool{}
	h.own.wake = time.NewTimer(time.Hour)
	h.relay = relay.New(outside{h})
	h.relay.Configure(s.Now(), relay.Config{Node: s.Node, Timeout: time.Minute})
	go h.run()
	return h, nil
}

// run is the hub's goroutine.
func (h *Hub) run() {
	defer close(h.ended)
	defer h.own.wake.Stop()
	for {
		select {
		case <-h.mail.ready:
			for _, f := range h.mail.take() {
				f(h.set.Now())
			}
		case <-h.own.wake.C:
			h.relay.Tick(h.set.Now())
		case <-h.ctx.Done():
			for _, f := range h.mail.close() {
				f(h.set.Now())
			}
			return
		}
		h.kin.Store(h.relay.HasKin())
	}
}

// do runs f on the hub's goroutine and waits for its end; false: the hub has ended, and f has not run.
func (h *Hub) do(f func(now time.Duration)) bool {
	done := make(chan struct{})
	if !h.mail.post(func(now time.Duration) { f(now); close(done) }) {
		return false
	}
	<-done // what was posted is run, also while the hub ends
	return true
}

// Configure puts a configuration in force, which is valid. Links to who is no peer any more are closed.
func (h *Hub) Configure(c Config) {
	nodes := map[uint16]bool{}
	rc := relay.Config{Node: h.set.Node, Timeout: c.Timeout}
	for _, p := range c.Peers {
		nodes[p.Number()] = true
		rc.MaxAsks = maxAsks // without peers they are of this node's processes alone, for which the proxy has descriptors
		rc.Peers = append(rc.Peers, relay.Peer{Node: p.Number(), Plain: fallback(p.Mode)})
	}
	h.live.Store(&c)
	h.known.Store(&nodes)
	h.mail.post(func(now time.Duration) {
		h.relay.Configure(now, rc)
		h.follow(c.Peers)
	})
}

func fallback(m config.PeerMode) relay.Fallback {
	switch m {
	case config.PeerPrefer:
		return relay.WithoutIt
	case config.PeerDisable:
		return relay.Always
	}
	return relay.Never
}

// Knows tells whether a node is one of the peers.
func (h *Hub) Knows(node uint16) bool { return (*h.known.Load())[node] }

// HasKin tells whether there is another process of this node, which may have minted a key that this one does not know.
func (h *Hub) HasKin() bool { return h.kin.Load() }

// Ask has another process carry a CancelRequest out, and returns when its connection may be closed: node's, or where that is
// our own another one of it. t is nobody else's. Its outcome is an event; guess tells that its key, of four bytes, is
// nobody's. gone may tell that its sender has gone: it is carried out all the same, unless others need its place.
func (h *Hub) Ask(ctx context.Context, gone <-chan error, t relay.Ticket, q relay.Request, node uint16) (guess bool) {
	released := make(chan bool, 1)
	if !h.mail.post(func(now time.Duration) {
		h.own.tickets[t] = released
		if node == h.set.Node {
			h.relay.AskedHere(now, t, q)
		} else {
			h.relay.Asked(now, t, q, node)
		}
	}) {
		return false
	}
	for {
		select {
		case guess := <-released:
			return guess
		case <-gone:
			gone = nil
			h.abandoned(t)
		case <-ctx.Done():
			h.abandoned(t)
			return false
		case <-h.ended:
			return false
		}
	}
}

// abandoned notes that nobody waits for a request any more.
func (h *Hub) abandoned(t relay.Ticket) { h.mail.post(func(time.Duration) { h.relay.Gone(t) }) }

// Kin speaks with another process of this node on a connection that nobody else can have, and returns when that has ended.
// dialed tells whether this process dialed it. gone is closed when the process has ended: until then requests that it alone
// may know wait for a link to it that broke. The error says why nothing was spoken.
func (h *Hub) Kin(nc net.Conn, dialed bool, gone <-chan struct{}) error {
	defer nc.Close()
	s, err := h.greetKin(nc, dialed)
	if err != nil {
		return err
	}
	h.outlive(s, gone)
	s.run()
	s.hangUp()
	return nil
}

// greetKin is what is said before a session, which has to end by itself from then on: its last word is our farewell.
func (h *Hub) greetKin(nc net.Conn, dialed bool) (*session, error) {
	nc.SetDeadline(time.Now().Add(helloTime))
	defer context.AfterFunc(h.ctx, func() { nc.SetDeadline(longAgo) })()
	if !dialed {
		return h.hear(nc, nil, true)
	}
	far, err := h.say(nc, nil)
	if err != nil {
		return nil, err
	}
	s := newSession(h, nc, far.far(true), true)
	return s, h.admit(s)
}

// outlive tells the Relay when the process at the other end has ended: it is told once for each, however many links there
// are to it one after the other.
func (h *Hub) outlive(s *session, gone <-chan struct{}) {
	of := s.far.Incarnation
	h.do(func(time.Duration) {
		if h.own.kin[of] {
			return
		}
		h.own.kin[of] = true
		h.running.Go(func() {
			select {
			case <-gone:
				h.mail.post(func(now time.Duration) {
					delete(h.own.kin, of)
					h.relay.KinGone(now, of)
				})
			case <-h.ctx.Done():
			}
		})
	})
}

// Unknown answers Judge: our engine does not know the key.
func (h *Hub) Unknown(t relay.Ticket) {
	h.mail.post(func(now time.Duration) { h.relay.Unknown(now, t) })
}

// Released answers Judge: nothing of the request is on the wire any more.
func (h *Hub) Released(t relay.Ticket) {
	h.mail.post(func(now time.Duration) { h.relay.Released(now, t) })
}

// Settled answers Judge: the outcome at our engine. The Hub tells it, with the node that the request came by.
func (h *Hub) Settled(t relay.Ticket, e event.CancelSettled) {
	h.mail.post(func(now time.Duration) { h.relay.Settled(now, t, e) })
}

// Stop says farewell to the other processes of this node, closes everything at once and waits until all goroutines have
// ended.
func (h *Hub) Stop() {
	h.do(h.relay.Leave)
	h.cancel()
	if h.listener != nil {
		h.listener.Close()
	}
	<-h.ended
	h.running.Wait()
}
