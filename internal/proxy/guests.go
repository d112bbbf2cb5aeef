package proxy

import (
	"crypto/subtle"
	"sync"
)

// The pids of the console's guests: out of the range of those that the engine gives to clients (key.Minter: bit 30), and
// of a Linux system's.
const (
	firstGuest = 1 << 29
	lastGuest  = firstGuest | 1<<20 - 1
)

// guests are those who speak with the console, by the pid that each was given: a cancel of theirs is for the console.
type guests struct {
	mu   sync.Mutex
	last uint32
	of   map[uint32]*guestKey
}

type guestKey struct {
	user string
	key  []byte      // secret
	end  func() bool // ends what the console makes the guest wait for
}

// enter gives a guest a pid and a key, as long as its protocol allows.
func (g *guests) enter(user string, long bool) (pid uint32, k *guestKey) {
	k = &guestKey{user: user, key: make([]byte, 4)}
	if long {
		k.key = make([]byte, 32)
	}
	random(k.key)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.of == nil {
		g.of = map[uint32]*guestKey{}
	}
	for {
		if g.last++; g.last < firstGuest || g.last > lastGuest {
			g.last = firstGuest
		}
		if g.of[g.last] == nil { // there are at most a few
			g.of[g.last] = k
			return g.last, k
		}
	}
}

func (g *guests) leave(pid uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.of, pid)
}

// onCancel says what a cancel for the guest does.
func (g *guests) onCancel(k *guestKey, end func() bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	k.end = end
}

// cancel ends what the guest with that key waits for, if anything. known is false where there is no such guest.
func (g *guests) cancel(pid uint32, key []byte) (user string, ended, known bool) {
	if pid < firstGuest || pid > lastGuest {
		return "", false, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.of[pid]
	if k == nil || subtle.ConstantTimeCompare(k.key, key) != 1 {
		return "", false, false
	}
	return k.user, k.end != nil && k.end(), true
}
