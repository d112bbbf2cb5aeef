package demo

import (
	"context"
	"fmt"
	"slices"

	"cancello/internal/event"
	"cancello/internal/wire"
)

// longKeyLen is the length in bytes of Cancello's keys at protocol 3.2.
const longKeyLen = 32

// longKeys is the fifth scene: the same with a key of 3.2.
func (t *tour) longKeys(ctx context.Context) error {
	t.scene("The same with a key of protocol 3.2")
	modern, err := t.join(ctx, "client 11", wire.V32)
	if err != nil {
		return err
	}
	if modern.version != wire.V32 || len(modern.key) != longKeyLen {
		return fmt.Errorf("%s asked for protocol 3.2 and got %s, with a key of %d bytes", modern.name, modern.version, len(modern.key))
	}
	direct, err := connect(ctx, t.cluster.Addr(), "a direct client", wire.V32)
	if err != nil {
		return err
	}
	// Its server must be gone before those of the pool are counted.
	if err := direct.leave(ctx); err != nil {
		return err
	}
	t.tell("%s speaks 3.2: its key has %d bytes, the ten others' have %d. (PostgreSQL %d by itself: %s, %d bytes.)",
		capital(modern.name), len(modern.key), len(t.clients[0].key), t.cluster.Install().Major, direct.version, len(direct.key))
	if err := t.hitOne(ctx, modern, t.clients[:crew]); err != nil {
		return err
	}
	if err := t.unqueueOne(ctx, t.clients[0], t.clients[1], modern); err != nil {
		return err
	}
	if err := t.tooLate(ctx, t.clients[0], t.clients[1], modern); err != nil {
		return err
	}
	return t.forge(ctx, modern, t.clients[1])
}

// forge cancels with a key that is wrong in one bit, while the client that it names runs a query.
func (t *tour) forge(ctx context.Context, named, other *client) error {
	h, err := t.occupy(ctx, named, other)
	if err != nil {
		return err
	}
	t.tell("Somebody guesses: the pid of %s, and its key with one wrong bit, tried at %d places.", named.name, longKeyLen)
	for i := range longKeyLen {
		key := slices.Clone(named.key)
		key[i] ^= 1
		c, err := t.cancelWith(ctx, named.addr, named.pid, key)
		if err != nil {
			return err
		}
		if err := c.want(event.Forged); err != nil {
			return err
		}
		if c.Sends != 0 {
			return fmt.Errorf("a guessed key was sent to a server %s", times(c.Sends))
		}
	}
	if err := h.release(ctx); err != nil {
		return err
	}
	t.seen("No guess reached a server. %s, at work all the time, had its answer.", capital(named.name))
	return nil
}
