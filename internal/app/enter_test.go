package app

import (
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/pgtest/fake"
	"cancello/internal/takeover"
)

// Whoever is accepted may cancel by a key of any node at once: the peers are known before, and what was opened for them is
// closed where accepting fails.
func TestPeersAreKnownFirst(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	o := options(t, fake.NewServer(t, fake.Config{}))
	o.Config.Listen = []string{taken.Addr().String()}
	o.Config.Cluster = config.Cluster{Node: 1, Listen: "127.0.0.1:0", Secret: oneSecret}
	o.Config.Peers = []config.Peer{{Node: config.Give(7), Address: "127.0.0.1:1"}}
	a, err := build(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Stop)
	if err := a.openCluster(); err != nil {
		t.Fatal(err)
	}
	if a.hub.Knows(7) {
		t.Error("the peer is known before anything is ready")
	}
	if err := a.enter(""); err == nil { // the proxy was not prepared, and can't be
		t.Fatal("it listens where another one does")
	}
	if !a.hub.Knows(7) {
		t.Error("it was about to accept without knowing its peers")
	}
	at := a.PeerAddr().String()
	a.Stop()
	if c, err := net.DialTimeout("tcp", at, fake.Patience); err == nil {
		c.Close()
		t.Error("other nodes are still listened for")
	}
}

// A process that is told to stop does not go back into service while it ends, whatever becomes of one that takes over.
func TestStopDuringTakeover(t *testing.T) {
	var log lockedBuffer
	o := options(t, fake.NewServer(t, fake.Config{}))
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	o.Config.Takeover = filepath.Join(t.TempDir(), "takeover")
	old := started(t, o)
	var sockets takeover.Sockets
	defer sockets.Close()
	next, err := takeover.Claim(t.Context(), o.Config.Takeover, takeover.Identity{PID: 2, Incarnation: "00000002"}, &sockets)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Go(t.Context()); err != nil {
		t.Fatal(err)
	}
	held, stopped := make(chan struct{}), make(chan struct{})
	old.sampling.Go(func() { <-held }) // what Stop waits for
	go func() { old.Stop(); close(stopped) }()
	<-old.life.Done()
	next.Close()
	told := func(what string) bool { return strings.Contains(log.String(), what) }
	for end := time.Now().Add(fake.Patience); !told("this process stops while another one takes over"); <-time.After(time.Millisecond) {
		if told("this one goes on") || time.Now().After(end) {
			t.Errorf("it goes back into service:\n%s", log.String())
			break
		}
	}
	close(held)
	<-stopped
}
