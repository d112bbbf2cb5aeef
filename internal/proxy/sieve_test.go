package proxy

import (
	"testing"
	"time"

	"cancello/internal/engine"
	"cancello/internal/key"
	"cancello/internal/pgtest/fake"
	"cancello/internal/wire"
)

// Whose a request is, before anybody is asked: what the sieve keeps back must be nobody's, whatever the engine knows.
func TestSort(t *testing.T) {
	const node = 5
	secret, incarnation := []byte("the secret of the whole cluster!"), [4]byte{1, 2, 3, 4}
	mint := func(node uint16, incarnation [4]byte, slot uint32) (uint32, []byte) {
		return key.NewMinter(node, incarnation, secret).Mint(wire.V32, slot, [12]byte{7})
	}
	pid, long := mint(node, incarnation, 3)
	farPID, far := mint(6, incarnation, 3)
	_, gone := mint(node, [4]byte{4}, 3)
	short := []byte{0, 0, 0, 0} // as likely as any other

	p := &Proxy{}
	p.keys.Store(key.NewMinter(node, incarnation, secret))
	p.shortKeys.admit(key.PID(node, 9), short)
	p.shortKeys.admit(key.PID(node, key.Slots-1), []byte{1, 2, 3, 4})
	p.shortKeys.admit(key.PID(node, 10), short)
	p.shortKeys.admit(key.PID(node, 10), long) // the slot's next client speaks 3.2
	p.shortKeys.admit(key.PID(node, 11), short)
	p.shortKeys.admit(key.PID(node, 11), nil) // the slot's next client is given none
	for _, tt := range []struct {
		name string
		pid  uint32
		key  []byte
		want whose
	}{
		{"of 3.2", pid, long, oursPerhaps},
		{"of 3.0", key.PID(node, 9), short, oursPerhaps},
		{"of the last slot", key.PID(node, key.Slots-1), []byte{1, 2, 3, 4}, oursPerhaps},
		{"another key", key.PID(node, 9), []byte{0, 0, 0, 1}, unknown},
		{"another slot", key.PID(node, 8), short, unknown},
		{"a slot that had a key of 3.0", key.PID(node, 10), short, unknown},
		{"a slot that has no key any more", key.PID(node, 11), short, unknown},
		{"a slot far away", key.PID(node, 700_000), short, unknown},
		{"no pid of anybody", 4711, short, unknown},
		{"zeros", 0, short, unknown},
		{"bit 31", 1<<31 | key.PID(node, 9), short, unknown},
		{"of a former process", pid, gone, former},
		{"of another node, 3.0", key.PID(6, 9), short, elsewhere},
		{"of another node, 3.2", farPID, far, elsewhere},
		{"another node's pid", farPID, long, forged},
		{"another's long key", key.PID(node, 4), long, forged},
		{"five bytes", pid, make([]byte, 5), malformed},
		{"none", pid, nil, malformed},
	} {
		if w := p.sort(tt.pid, tt.key); w != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, w, tt.want)
		}
	}
}

// A key counts from before its client is told it.
func TestKeyIsKnownBeforeItIsTold(t *testing.T) {
	s := newScript()
	w := start(t, s)
	for i := range uint32(100) {
		v := admitted()
		v.PID = key.PID(0, 5000+i)
		s.login = func(s *script, _ time.Duration, l engine.Login, _ engine.Request) {
			s.out.Admit(l, v)
			if w := w.sort(v.PID, v.Key); w != oursPerhaps {
				t.Errorf("client %d: it may know its key, and a cancel with it would be taken for nobody's (%d)", i, w)
			}
		}
		fake.Dial(t, w.addr()).Login(fake.V30, "user", "u")
		fake.SendCancel(t, w.addr(), v.PID, v.Key)
		next(t, w.cancels, "the cancel")
	}
}

// When the cluster's secret changes, keys are judged under the new one at once, and under those that it leaves good.
func TestSortFollowsTheSecrets(t *testing.T) {
	w := newWorld(t, newScript())
	next := testMinter.Under([]byte("another secret of the same tests"), []byte("the secret of a test's own keys!"))
	last := testMinter.Under([]byte("another secret of the same tests"))
	oldPID, old := testMinter.Mint(wire.V32, 3, [12]byte{7})
	newPID, fresh := next.Mint(wire.V32, 4, [12]byte{7})
	for i, step := range []struct {
		m          *key.Minter
		old, fresh whose
	}{{testMinter, oursPerhaps, forged}, {next, oursPerhaps, oursPerhaps}, {last, forged, oursPerhaps}} {
		w.Proxy.UseKeys(step.m)
		if a, b := w.sort(oldPID, old), w.sort(newPID, fresh); a != step.old || b != step.fresh {
			t.Errorf("step %d: the old key is %d, the new one %d; want %d and %d", i, a, b, step.old, step.fresh)
		}
	}
}
