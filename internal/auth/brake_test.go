package auth

import (
	"testing"
	"time"
)

const ms = time.Millisecond

// asks lets one ask and go at once.
func asks(t *testing.T, b *Brake[string], address string, now, most, want time.Duration) {
	t.Helper()
	wait, ok := b.Ask(address, now, most)
	if !ok || wait != want {
		t.Errorf("at %v %s waits %v (%v), want %v", now, address, wait, ok, want)
	}
	if wait > 0 {
		b.Left(address)
	}
}

func TestBrake(t *testing.T) {
	var b Brake[string]
	const most = 5 * time.Second
	asks(t, &b, "a", 0, most, 0)
	for i, want := range []time.Duration{0, 0, 0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, most, most, most} {
		b.Failed("a", time.Duration(i)*time.Second)
		asks(t, &b, "a", time.Duration(i)*time.Second, most, want)
	}
	now := 11 * time.Second
	asks(t, &b, "b", now, most, 0)                           // somebody else
	asks(t, &b, "a", now+2*time.Second, most, 3*time.Second) // the delay runs from the failure on
	asks(t, &b, "a", now+5*time.Second, most, 0)
	asks(t, &b, "a", now, 0, 0)
	asks(t, &b, "a", now, 50*ms, 50*ms)
	b.Succeeded("a")
	asks(t, &b, "a", now, most, 0)
	if b.Len() != 0 {
		t.Errorf("%d addresses are remembered", b.Len())
	}
	b.Failed("a", now)
	asks(t, &b, "a", now, most, 0) // it begins anew
}

// Long after, an address is as good as new.
func TestBrakeForgets(t *testing.T) {
	var b Brake[string]
	for range 100 {
		b.Failed("a", 0)
	}
	asks(t, &b, "a", forgetAfter-1, forgetAfter, 1)
	b.Failed("a", forgetAfter)
	asks(t, &b, "a", forgetAfter, forgetAfter, 0)
	asks(t, &b, "a", 2*forgetAfter, forgetAfter, 0)
	if b.Len() != 0 {
		t.Errorf("%d addresses are remembered", b.Len())
	}
}

// What it remembers is bounded, and so is how many of one address wait.
func TestBrakeIsBounded(t *testing.T) {
	var b Brake[int]
	for range 10 {
		b.Failed(-1, 0)
	}
	for i := range maxWaiting {
		if wait, ok := b.Ask(-1, 0, time.Minute); !ok || wait == 0 {
			t.Fatalf("number %d: %v, %v", i, wait, ok)
		}
	}
	if _, ok := b.Ask(-1, 0, time.Minute); ok {
		t.Error("one more may wait")
	}
	b.Succeeded(-1)
	if wait, ok := b.Ask(-1, 0, time.Minute); !ok || wait != 0 {
		t.Errorf("after a success: %v, %v", wait, ok)
	}
	if b.Waiting(-1) != maxWaiting {
		t.Errorf("%d wait, want %d: those who do are not told", b.Waiting(-1), maxWaiting)
	}
	for i := range 3 * MaxBraked {
		b.Failed(i, 1)
	}
	if b.Len() != MaxBraked || len(b.byAddress) != MaxBraked {
		t.Errorf("%d and %d addresses, want %d", b.Len(), len(b.byAddress), MaxBraked)
	}
	for range 2 * maxWaiting { // of whom nothing is known any more
		b.Left(-1)
	}
	if b.Waiting(-1) != 0 || b.find(0) != nil || b.find(3*MaxBraked-1) == nil {
		t.Error("the wrong ones are remembered")
	}
}

// Many failures don't overflow.
func TestDelay(t *testing.T) {
	if d := delay(1_000_000, 8760*time.Hour); d <= 0 || d > 8760*time.Hour {
		t.Errorf("%v", d)
	}
}
