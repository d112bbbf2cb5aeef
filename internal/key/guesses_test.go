package key

import (
	"testing"
	"time"
)

func TestGuesses(t *testing.T) {
	const most = time.Second
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	type step struct {
		at   time.Duration
		from string
		want time.Duration
	}
	fails := func(n int, at time.Duration, from string) (all []step) {
		for range n {
			all = append(all, step{at, from, 0})
		}
		return all
	}
	for name, steps := range map[string][]step{
		"some are free, then each costs twice the one before": append(fails(20, 0, "a"),
			step{0, "a", ms(100)}, step{0, "a", ms(200)}, step{0, "a", ms(400)}, step{0, "a", ms(800)}, step{0, "a", most}, step{0, "a", most}),
		"another address has nothing to do with it": append(fails(20, 0, "a"), step{0, "b", 0}, step{0, "a", ms(100)}),
		"one in a second is none too many":          append(fails(20, 0, "a"), step{ms(1000), "a", 0}, step{ms(2000), "a", 0}, step{ms(2999), "a", ms(100)}),
		"a rest of a second counts on":              append(fails(20, 0, "a"), step{ms(999), "a", ms(100)}, step{ms(1000), "a", ms(100)}),
		"all is forgiven in time":                   append(append(fails(20, 0, "a"), fails(20, ms(20_000), "a")...), step{ms(20_000), "a", ms(100)}),
		"and not more than all":                     append(append(fails(1, 0, "a"), fails(20, time.Hour, "a")...), step{time.Hour, "a", ms(100)}),
	} {
		t.Run(name, func(t *testing.T) {
			var g Guesses[string]
			for i, s := range steps {
				if got := g.Failed(s.from, s.at, most); got != s.want {
					t.Errorf("failure %d, from %s after %v: held for %v, want %v", i, s.from, s.at, got, s.want)
				}
			}
		})
	}
}

// Who guesses one after the other gets no further than one in forgiveAfter, in the long run.
func TestGuessesSlowDown(t *testing.T) {
	var g Guesses[int]
	var now time.Duration
	const n = 1000
	for range n {
		if hold := g.Failed(1, now, time.Second); hold > 0 {
			now += hold
			g.Left(1)
		}
	}
	if least := (n - freeGuesses - 10) * forgiveAfter; now < least {
		t.Errorf("%d guesses took %v, want %v at least", n, now, least)
	}
}

// However many have failed, one that fails a minute later is not held.
func TestGuessesAreForgotten(t *testing.T) {
	var g Guesses[int]
	for range 10_000 {
		g.Failed(1, 0, time.Second)
	}
	for range maxHeld {
		g.Left(1)
	}
	if hold := g.Failed(1, 59*time.Second, time.Second); hold == 0 {
		t.Error("all is forgiven in less than a minute")
	}
	if hold := g.Failed(1, 62*time.Second, time.Second); hold != 0 {
		t.Errorf("a minute later one is held for %v", hold)
	}
}

// Who is held keeps the account until it has left, however many others fail meanwhile.
func TestGuessersAreRememberedWhileHeld(t *testing.T) {
	var g Guesses[int]
	hold := func(address, n int) {
		t.Helper()
		for range n {
			if g.Failed(address, 0, time.Second) == 0 {
				t.Fatalf("address %d is not held", address)
			}
		}
	}
	overdraw := func(address int) {
		for range freeGuesses {
			g.Failed(address, 0, time.Second)
		}
	}
	overdraw(-1)
	hold(-1, maxHeld)
	for i := range 2 * MaxGuessers {
		g.Failed(i, 0, time.Second)
	}
	if n := g.Len(); n != MaxGuessers {
		t.Errorf("%d addresses are remembered", n)
	}
	if g.Failed(-1, 0, time.Second) != 0 {
		t.Error("one more than may be is held")
	}
	for range maxHeld {
		g.Left(-1)
	}
	hold(-1, maxHeld)
	for range maxHeld {
		g.Left(-1)
	}
	for i := range MaxGuessers {
		overdraw(i)
		hold(i, 1)
	}
	if g.Failed(-1, 0, time.Second) != 0 || g.Len() != MaxGuessers || len(g.byAddress) != MaxGuessers {
		t.Errorf("%d and %d addresses are remembered", g.Len(), len(g.byAddress))
	}
	g.Left(7)
	g.Failed(-1, 0, time.Second)
	if g.byAddress[-1] == nil || g.byAddress[7] != nil || g.Len() != MaxGuessers {
		t.Error("who has left makes no room")
	}
}

func TestGuessesAreBounded(t *testing.T) {
	var g Guesses[int]
	for range freeGuesses {
		g.Failed(1, 0, time.Second)
	}
	for range maxHeld {
		if g.Failed(1, 0, time.Second) == 0 {
			t.Fatal("not held")
		}
	}
	if hold := g.Failed(1, 0, time.Second); hold != 0 {
		t.Errorf("one more than may be is held for %v", hold)
	}
	g.Left(1)
	if g.Failed(1, 0, time.Second) == 0 {
		t.Error("not held, where there is room again")
	}
	if g.Failed(1, 0, 0) != 0 {
		t.Error("held where nothing is to be")
	}
	for i := range 2 * MaxGuessers {
		g.Failed(i, 0, time.Second)
	}
	if g.Len() != MaxGuessers || len(g.byAddress) != MaxGuessers {
		t.Errorf("%d and %d addresses are remembered", g.Len(), len(g.byAddress))
	}
	g.Left(0) // forgotten by now, and of no account
	if g.Failed(1, 0, time.Second) != 0 {
		t.Error("an address that failed long ago is remembered rather than one that failed lately")
	}
}
