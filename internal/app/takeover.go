package app

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"cancello/internal/config"
	"cancello/internal/peer"
	"cancello/internal/takeover"
)

// takeoverTime bounds each wait of this process for the one that it takes over from.
const takeoverTime = 30 * time.Second

// succession is what comes before this process and after it.
type succession struct {
	who     takeover.Identity
	sockets *takeover.Sockets      // given to this process, by systemd or its predecessor
	claim   *takeover.Session      // with the process to be taken over from; nil: there is none
	place   *takeover.Place        // where the next one finds this; nil: nowhere
	to      chan takeover.Identity // holds one: who took over

	mu     sync.Mutex
	before []*takeover.Session // with those that came before and still have clients, the latest first
	ending sync.WaitGroup
	noLink map[takeover.Identity]string // to those that come after: why, as it was logged last

	clients atomic.Int64 // as the successor was told
}

// claim asks the running process for what it has, where that is wanted and one is running. Nothing changes there yet.
func (a *App) claim(o Options, incarnation [4]byte) error {
	s := &a.succession
	s.sockets, s.to = o.Sockets, make(chan takeover.Identity, 1)
	if s.sockets == nil {
		s.sockets = &takeover.Sockets{}
	}
	s.who = takeover.Identity{PID: os.Getpid(), Node: uint16(o.Config.Cluster.Node), Incarnation: hex.EncodeToString(incarnation[:])}
	if o.Getenv != nil {
		s.who.Invocation = o.Getenv("INVOCATION_ID")
	}
	at := o.Config.Takeover
	switch {
	case at == "" && o.Takeover:
		return errors.New("--takeover needs takeover_socket, in the running process, too: without it no process can be found")
	case at == "":
		return nil
	case !o.Takeover:
		return takeover.Free(at)
	}
	ctx, cancel := context.WithTimeout(context.Background(), takeoverTime)
	defer cancel()
	claim, err := takeover.Claim(ctx, at, s.who, s.sockets)
	if errors.Is(err, takeover.ErrNobody) {
		a.log.Info("takeover: no process is in service there; starting as usual", "takeover_socket", at)
		return takeover.Free(at)
	}
	if err != nil {
		return fmt.Errorf("cannot take over from the process at takeover_socket = %q: %w", at, err)
	}
	s.claim = claim
	s.before = append(s.before, claim)
	if running := claim.Offer.Who.Node; running != s.who.Node {
		return fmt.Errorf("cannot take over: the running process is node %d, this one would be node %d, and the keys of its clients would be another node's; restart it, or give this one another takeover_socket", running, s.who.Node)
	}
	if n := len(claim.Offer.Predecessors) + 1; n >= peer.MaxProcesses {
		return fmt.Errorf("cannot take over: %d processes of this node have clients yet, and with this one there may be %d; try again when the clients of one have left (the running process shows in its log which have ended), or let shutdown_timeout end them", n, peer.MaxProcesses)
	}
	if len(claim.Offer.Mock) > 0 {
		a.mock = claim.Offer.Mock
	}
	if len(claim.Offer.Own) > 0 {
		a.own = claim.Offer.Own
	}
	return a.meet(ctx)
}

// secrets are those given, after those of the process that was taken over from: its clients' keys stay good, as by a
// reload.
func (s *succession) secrets(given secrets) secrets {
	if s.claim == nil || len(s.claim.Offer.Secrets) == 0 {
		return given
	}
	was := secrets{current: s.claim.Offer.Secrets[0]}
	if len(s.claim.Offer.Secrets) > 1 {
		was.previous = s.claim.Offer.Secrets[1]
	}
	next, _ := given.after(was)
	s.claim.Forget(next.list()...)
	return next
}

// meet begins sessions with those that came before the running process and still have clients.
func (a *App) meet(ctx context.Context) error {
	s := &a.succession
	for _, path := range s.claim.Offer.Predecessors {
		earlier, err := takeover.Follow(ctx, path, s.who)
		if errors.Is(err, takeover.ErrNobody) {
			continue // its last client has left meanwhile
		}
		if err != nil {
			return fmt.Errorf("cannot reach a process that was taken over from before, at %s: %w", path, err)
		}
		s.before = append(s.before, earlier)
	}
	return nil
}

// inherited gives the proxy a listening socket that another process opened.
func (a *App) inherited(l config.Listener) (net.Listener, bool) {
	return a.succession.sockets.Take(takeover.RoleListen, l.Name(), l.Network, l.Address)
}

// enter begins to serve, in the place of the running process where there is one. All that can fail has been done before,
// or is done first; after an error the other one goes on as if nothing had been.
func (a *App) enter(at string) error {
	s := &a.succession
	unknown, left := s.sockets.Unclaimed()
	if len(unknown) > 0 {
		return fmt.Errorf("systemd passed sockets that no setting names: %s; put their addresses into listen, http or peer_listen, or take them out of the socket unit", strings.Join(unknown, ", "))
	}
	if at != "" {
		place, err := takeover.Open(at, s.who, host{a}, a.log)
		if err != nil {
			return err
		}
		s.place = place
	}
	ctx, cancel := context.WithTimeout(context.Background(), takeoverTime)
	defer cancel()
	if err := a.linkKin(ctx); err != nil {
		return err
	}
	if s.claim != nil {
		if err := s.claim.Go(ctx); err != nil {
			return fmt.Errorf("cannot take over: %w", err)
		}
		if err := s.claim.Take(); err != nil {
			return fmt.Errorf("cannot take over: %w", err)
		}
	}
	if s.place != nil {
		if err := s.place.Point(); err != nil && s.claim == nil {
			return err
		} else if err != nil { // there is no way back
			a.log.Error("takeover: no process will be able to take over from this one", "error", err.Error())
		}
	}
	a.joinCluster() // first: who cancels by a key of another node's must not be told that nobody has it
	if err := a.proxy.Start(); err != nil {
		return err
	}
	if a.http != nil {
		a.http.Serve()
	}
	if s.claim != nil {
		if err := s.claim.Serving(a.proxy.Receive); err != nil {
			a.log.Warn("took over from another process, which ended meanwhile", "process", s.claim.Offer.Who.PID, "error", err.Error())
		} else {
			a.log.Info("took over from another process, which drains", "process", s.claim.Offer.Who.PID)
		}
		for _, addr := range left {
			a.log.Warn("takeover: this was listened on, and is not in the configuration any more: closed", "listen", addr)
		}
	}
	s.sockets.Own()
	s.sockets.Close()
	a.attend()
	return nil
}

// attend says when those that came before end.
func (a *App) attend() {
	s := &a.succession
	for _, session := range s.before {
		s.ending.Go(func() {
			<-session.Ended()
			session.Close() // it is kept as long as this process is, to tell from whom it took over
			s.mu.Lock()
			defer s.mu.Unlock()
			for i, other := range s.before {
				if other == session {
					s.before = append(s.before[:i:i], s.before[i+1:]...)
					a.log.Info("takeover: a process that was taken over from has ended", "process", session.Offer.Who.PID)
				}
			}
		})
	}
}

// close ends what goes on with other processes.
func (s *succession) close() {
	if s.place != nil {
		s.place.Close()
	}
	s.mu.Lock()
	before := s.before
	s.before = nil
	s.mu.Unlock()
	for _, session := range before {
		session.Close()
	}
	s.ending.Wait()
	s.sockets.Close()
}

// TakenOver tells, once, that another process is in service in place of this one, which drains.
func (a *App) TakenOver() <-chan takeover.Identity { return a.succession.to }

// Identity is this process among those of its node.
func (a *App) Identity() takeover.Identity { return a.succession.who }

// TookOver is the process that this one took over from; the zero value: none.
func (a *App) TookOver() takeover.Identity {
	if a.succession.claim == nil {
		return takeover.Identity{}
	}
	return a.succession.claim.Offer.Who
}

// host is this process for one that takes over from it.
type host struct{ a *App }

var _ takeover.Host = host{}

// Offer is all that a successor needs.
func (h host) Offer() (takeover.Offer, []syscall.Conn) {
	a := h.a
	a.reloading.Lock()
	config := a.config
	o := takeover.Offer{Mock: a.mock, Own: a.own, Secrets: a.secrets.list()}
	a.reloading.Unlock()
	var sockets []syscall.Conn
	places := config.Listeners()
	for i, ln := range a.proxy.Listeners() {
		o.Sockets = append(o.Sockets, takeover.Socket{Role: takeover.RoleListen, Said: places[i].Name(), Kept: a.succession.sockets.Kept(ln)})
		sockets = append(sockets, ln.(syscall.Conn))
	}
	if a.http != nil {
		o.Sockets = append(o.Sockets, takeover.Socket{Role: takeover.RoleHTTP, Said: config.HTTP})
		sockets = append(sockets, a.http.Listener().(syscall.Conn))
	}
	if ln := a.hub.Listener(); ln != nil {
		o.Sockets = append(o.Sockets, takeover.Socket{Role: takeover.RolePeers, Said: config.Cluster.Listen})
		sockets = append(sockets, ln.(syscall.Conn))
	}
	a.succession.mu.Lock()
	defer a.succession.mu.Unlock()
	for _, session := range a.succession.before {
		o.Predecessors = append(o.Predecessors, session.Path)
	}
	return o, sockets
}

// Pause stops accepting.
func (h host) Pause() { h.a.proxy.Pause() }

// Resume undoes Pause.
func (h host) Resume() { h.a.proxy.Resume() }

// Yield gives up what is listened on, and drains.
func (h host) Yield(to takeover.Identity, taken []bool, pass func(socket int, nc syscall.Conn) bool) {
	a := h.a
	place := map[net.Listener]int{}
	for i, ln := range a.proxy.Listeners() {
		place[ln] = i
	}
	a.proxy.Yield(func(ln net.Listener) bool { return taken[place[ln]] }, func(ln net.Listener, nc net.Conn) bool {
		c, ok := nc.(syscall.Conn)
		return ok && pass(place[ln], c)
	})
	if a.http != nil {
		a.succession.ending.Go(a.http.Yield)
	}
	a.hub.Yield()
	a.succession.to <- to
}

// Clients is how many are left; where that cannot be had, how many there were the last time.
func (h host) Clients() int {
	ctx, cancel := context.WithTimeout(context.Background(), takeoverTime)
	defer cancel()
	clients := &h.a.succession.clients
	if n, err := ask(ctx, h.a, h.a.engine.ClientCount); err == nil {
		clients.Store(int64(n))
	}
	return int(clients.Load())
}
