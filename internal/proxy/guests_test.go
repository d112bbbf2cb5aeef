package proxy

import (
	"testing"
)

// A guest's cancel reaches its own console alone, and only with its key; its pid is nobody else's.
func TestGuests(t *testing.T) {
	var g guests
	first, k := g.enter("ann", false)
	second, other := g.enter("eve", true)
	if first == second || len(k.key) != 4 || len(other.key) != 32 {
		t.Fatalf("pids %d and %d, keys of %d and %d bytes", first, second, len(k.key), len(other.key))
	}
	for _, pid := range []uint32{first, second} {
		if pid <= 1<<22 || pid > 1<<31-1 || pid&(1<<30) != 0 {
			t.Errorf("pid %#x may be another's", pid)
		}
	}
	waits := 1
	g.onCancel(k, func() bool { waits--; return waits >= 0 })
	for _, tt := range []struct {
		pid          uint32
		key          []byte
		ended, known bool
	}{
		{first, other.key, false, false}, {first, k.key[:3], false, false}, {first, nil, false, false}, {first + 7, k.key, false, false},
		{second, other.key, false, true}, {first, k.key, true, true}, {first, k.key, false, true},
	} {
		user, ended, known := g.cancel(tt.pid, tt.key)
		if ended != tt.ended || known != tt.known || known && user == "" {
			t.Errorf("cancel of %#x: %q, %v, %v", tt.pid, user, ended, known)
		}
	}
	g.leave(first)
	if _, _, known := g.cancel(first, k.key); known {
		t.Error("a guest that left is still there")
	}
	g.last = lastGuest
	if pid, _ := g.enter("bob", false); pid != firstGuest {
		t.Errorf("behind the last pid comes %#x", pid)
	}
}
