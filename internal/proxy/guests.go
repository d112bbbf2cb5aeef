package proxy

import (
	"sync"

	"cancello/internal/key"
	"cancello/internal/wire"
)

// guests are those who speak with the console, by their slots: a cancel of theirs is for the console. They have keys as all
// clients do, so that another process knows whose they are.
type guests struct {
	mu   sync.Mutex
	last uint32
	of   map[uint32]*guestKey
}

type guestKey struct {
	user string
	pid  uint32
	key  []byte      // secret
	end  func() bool // ends what the console makes the guest wait for
}

// enter gives a guest a pid and a key, as long as its protocol allows.
func (g *guests) enter(m *key.Minter, user string, v wire.Version) *guestKey {
	var fresh [12]byte
	random(fresh[:])
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == nil {
		g.of = map[uint32]*guestKey{}
	}
	for {
		if g.last++; g.last < key.FirstGuest || g.last >= key.Slots {
			g.last = key.FirstGuest
		}
		if g.of[g.last] == nil { // there are at most a few
			k := &guestKey{user: user}
			k.pid, k.key = m.Mint(v, g.last, fresh)
			g.of[g.last] = k
			return k
		}
	}
}

func (g *guests) leave(k *guestKey) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, slot, _ := key.Split(k.pid)
	delete(g.of, slot)
}

// onCancel says what a cancel for the guest does.
func (g *guests) onCancel(k *guestKey, end func() bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	k.end = end
}

// cancel ends what the guest with that key waits for, if anything. known is false where there is no such guest.
func (g *guests) cancel(pid uint32, bears []byte) (user string, ended, known bool) {
	_, slot, ok := key.Split(pid)
	if !ok || slot < key.FirstGuest {
		return "", false, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.of[slot]
	if k == nil || k.pid != pid || !key.Equal(k.key, bears) {
		return "", false, false
	}
	return k.user, k.end != nil && k.end(), true
}
