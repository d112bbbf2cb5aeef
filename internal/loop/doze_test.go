package loop

import (
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cancello/internal/pgtest/contract"
)

// TestContractKeeping runs the suite with short waits that the scheduler hears nothing of.
func TestContractKeeping(t *testing.T) {
	contract.Run(t, func(t *testing.T) contract.World { return newWorld(t, (*Loop).KeepProcessor) })
}

// TestDozeIsEnded: who stops the world gets it stopped while a loop waits without a word to the scheduler. The timeout is
// longer than the test waits for anything: only a signal can end the wait before.
func TestDozeIsEnded(t *testing.T) {
	var e epoll
	if err := e.open(); err != nil {
		t.Fatal(err)
	}
	defer e.close()
	type end struct {
		n    int
		err  error
		took time.Duration
	}
	over, tid := make(chan end, 1), make(chan int, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tid <- unix.Gettid()
		began := time.Now()
		n, err := e.poll(60_000)
		over <- end{n, err, time.Since(began)}
	}()
	<-tid
	for {
		runtime.GC()
		select {
		case got := <-over:
			if got.n != 0 || got.err != nil || got.took > 30*time.Second {
				t.Errorf("the wait brought %d events after %v (%v), want none after a signal", got.n, got.took, got.err)
			}
			return
		default:
		}
	}
}

// TestLongWaitIsTold: after a wait that was not short the scheduler is told of the next one, and there is a poll before it.
func TestLongWaitIsTold(t *testing.T) {
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer l.shut()
	l.KeepProcessor()
	l.brisk, l.slept = true, true
	if !l.brief() {
		t.Fatal("a wait that will be short is told to the scheduler")
	}
	for limit := l.Now() + 30*time.Second; l.brief(); { // a signal may come early, from whoever stops the world
		if _, err := l.wait(); err != nil || l.Now() > limit {
			t.Fatalf("every wait is taken for a short one (%v)", err)
		}
	}
}

// TestNoSignals: where the scheduler sends no signals, nothing is kept from it.
func TestNoSignals(t *testing.T) {
	for godebug, keeps := range map[string]bool{"": true, "madvdontneed=1,asyncpreemptoff=1": false} {
		t.Setenv("GODEBUG", godebug)
		var l Loop
		l.KeepProcessor()
		if l.keeps != keeps {
			t.Errorf("with GODEBUG=%q it keeps its processor: %t", os.Getenv("GODEBUG"), l.keeps)
		}
	}
}
