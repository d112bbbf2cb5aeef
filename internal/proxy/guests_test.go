package proxy

import (
	"fmt"
	"testing"

	"cancello/internal/config"
	"cancello/internal/key"
	"cancello/internal/pgtest/fake"
	"cancello/internal/wire"
)

// A guest's cancel reaches its own console alone, and only with its key.
func TestGuests(t *testing.T) {
	var g guests
	a, b := g.enter(testMinter, "ann", fake.V30), g.enter(testMinter, "eve", fake.V32)
	if a.pid == b.pid || len(a.key) != 4 || len(b.key) != 32 {
		t.Fatalf("pids %d and %d, keys of %d and %d bytes", a.pid, b.pid, len(a.key), len(b.key))
	}
	waits := 1
	g.onCancel(a, func() bool { waits--; return waits >= 0 })
	for _, tt := range []struct {
		pid          uint32
		key          []byte
		ended, known bool
	}{
		{a.pid, b.key, false, false}, {a.pid, a.key[:3], false, false}, {a.pid, nil, false, false}, {a.pid + 7, a.key, false, false},
		{a.pid + 1<<20, a.key, false, false}, // another node's
		{b.pid, b.key, false, true}, {a.pid, a.key, true, true}, {a.pid, a.key, false, true},
	} {
		user, ended, known := g.cancel(tt.pid, tt.key)
		if ended != tt.ended || known != tt.known || known && user == "" {
			t.Errorf("cancel of %#x: %q, %v, %v", tt.pid, user, ended, known)
		}
	}
	g.leave(a)
	if _, _, known := g.cancel(a.pid, a.key); known {
		t.Error("a guest that left is still there")
	}
	g.last = key.Slots - 1
	if c := g.enter(testMinter, "bob", fake.V30); c.pid != key.PID(testMinter.Node(), key.FirstGuest) {
		t.Errorf("behind the last pid comes %#x", c.pid)
	}
}

// The slots of guests are none that a client can have, however many there may be.
func TestGuestsSlotsAreTheirOwn(t *testing.T) {
	text := func(clients int) []byte {
		return fmt.Appendf(nil, "[pool]\nmax_client_conn = %d\n[databases.\"*\"]\nhost = \"127.0.0.1\"\n", clients)
	}
	if _, err := config.Parse("test", text(1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Parse("test", text(key.FirstGuest+1)); err == nil {
		t.Errorf("there may be %d clients", key.FirstGuest+1)
	}
}

// Whoever reads a guest's cancel knows whose it is, as of any client: another node, another process of this one, or this one,
// where it has left.
func TestGuestsKeyTellsWhose(t *testing.T) {
	secret := []byte("the secret of a test's own keys!")
	for _, v := range []struct {
		name                    string
		protocol                wire.Version
		node, process, departed whose
	}{
		{"3.2", fake.V32, elsewhere, former, oursPerhaps},
		{"3.0", fake.V30, elsewhere, unknown, unknown},
	} {
		w := start(t, newScript())
		k := w.guests.enter(key.NewMinter(7, [4]byte{1}, secret), "ann", v.protocol)
		if got := w.sort(k.pid, k.key); got != v.node {
			t.Errorf("%s, another node's: %d, want %d", v.name, got, v.node)
		}
		k = w.guests.enter(key.NewMinter(testMinter.Node(), [4]byte{77}, secret), "ann", v.protocol)
		if got := w.sort(k.pid, k.key); got != v.process {
			t.Errorf("%s, another process': %d, want %d", v.name, got, v.process)
		}
		k = w.guests.enter(testMinter, "ann", v.protocol)
		w.guests.leave(k)
		if got := w.sort(k.pid, k.key); got != v.departed {
			t.Errorf("%s, one that left: %d, want %d", v.name, got, v.departed)
		}
	}
}
