package app

import (
	"context"
	"encoding/binary"
	"net"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/peer"
	"cancello/internal/proxy"
	"cancello/internal/relay"
	"cancello/internal/takeover"
)

// elsewhere is what the proxy sees of other processes.
type elsewhere struct{ a *App }

var _ proxy.Elsewhere = elsewhere{}

func (e elsewhere) Knows(node uint16) bool { return e.a.hub.Knows(node) }
func (e elsewhere) HasKin() bool           { return e.a.hub.HasKin() }

func (e elsewhere) Ask(ctx context.Context, gone <-chan error, t engine.Ticket, r engine.CancelRequest, node uint16) (guess bool) {
	return e.a.hub.Ask(ctx, gone, relay.Ticket(t), relay.Request(r), node)
}

func (e elsewhere) Unknown(t engine.Ticket)  { e.a.hub.Unknown(relay.Ticket(t)) }
func (e elsewhere) Released(t engine.Ticket) { e.a.hub.Released(relay.Ticket(t)) }

func (e elsewhere) Settled(t engine.Ticket, s event.CancelSettled) {
	e.a.hub.Settled(relay.Ticket(t), s)
}

// newHub makes this process's end of all links. It knows nobody before it is configured.
func (a *App) newHub(node int, emit func(event.Event)) (*peer.Hub, error) {
	return peer.New(peer.Settings{
		Node: uint16(node), Incarnation: binary.BigEndian.Uint64(secret(8)),
		Now:    a.proxy.Now,
		Judge:  func(t relay.Ticket, r relay.Request) { a.proxy.Judge(engine.Ticket(t), engine.CancelRequest(r)) },
		Cancel: a.proxy.CancelHere,
		Emit:   emit,
	})
}

// hubConfig is what the hub is told of a configuration.
func hubConfig(c *config.Config, s secrets) peer.Config {
	return peer.Config{Peers: c.Peers, Secrets: s.list(), Timeout: c.Cancel.Timeout}
}

// openCluster opens where other nodes reach this one, and has it known to nobody yet.
func (a *App) openCluster() error {
	alone := hubConfig(&a.config, a.secrets)
	alone.Peers = nil
	a.hub.Configure(alone)
	at := a.config.Cluster.Listen
	if at == "" {
		return nil
	}
	ln, _ := a.succession.sockets.Take(takeover.RolePeers, at, "tcp", at)
	return a.hub.Listen(at, ln)
}

// joinCluster has other nodes reach this one, and this one them.
func (a *App) joinCluster() {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	a.hub.Configure(hubConfig(&a.config, a.secrets))
	a.hub.Serve()
}

// PeerAddr is where other nodes reach this one, with the real port where it was 0; nil: nowhere.
func (a *App) PeerAddr() net.Addr { return a.hub.Addr() }

// peersTime bounds the wait for what the hub tells of the peers.
const peersTime = time.Second

// addPeers puts what is known of other nodes into a snapshot.
func (a *App) addPeers(ctx context.Context, s event.Snapshot) (event.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, peersTime)
	defer cancel()
	var err error
	s.Peers, err = a.hub.States(ctx)
	return s, err
}
