package app

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/key"
	"cancello/internal/pgtest/fake"
	"cancello/internal/takeover"
)

// A process without clients that drains has what it read for another node reach an outcome before it ends.
func TestDrainWithCancelOfAnotherNode(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	out := &outcomes{make(chan event.Outcome, 10)}
	o := options(t, s)
	o.Watch = out.watch
	o.Config.Cluster = config.Cluster{Node: 1, Listen: "127.0.0.1:0", Secret: oneSecret}
	o.Config.Peers = []config.Peer{{Node: config.Give(7), Address: "127.0.0.1:1"}} // nobody: it is waited for
	a := started(t, o)
	pid, k := key.NewMinter(7, [4]byte{1}, []byte(oneSecret)).Mint(fake.V32, 3, [12]byte{1})
	c := fake.Dial(t, a.Addrs()[0].String())
	c.Put(fake.Cancel(pid, k))
	awaitSnapshot(t, a, "it is asked for", func(s event.Snapshot) bool { return len(s.Peers) == 1 && s.Peers[0].Open == 1 })
	a.Drain()
	awaitDrained(t, a)
	select {
	case got := <-out.seen:
		if got != event.Failed {
			t.Errorf("outcome %v", got)
		}
	default:
		t.Error("drained before it has an outcome")
	}
	a.Stop()
}

// Why there is no link is logged when it changes, and not each time that it is tried.
func TestNoLinkLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	a := &App{log: slog.New(slog.NewTextHandler(&log, nil))}
	for _, err := range []error{errors.New("one"), errors.New("one"), errors.New("two"), errors.New("two"), nil, errors.New("two")} {
		a.linkEnded(takeover.Identity{PID: 5}, err)
	}
	if n := strings.Count(log.String(), "\n"); n != 3 {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
}
