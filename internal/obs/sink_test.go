package obs

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"cancello/internal/event"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plain writes lines without the time, so that tests can compare them.
func plain(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		},
	}))
}

func TestLines(t *testing.T) {
	tests := []struct {
		event event.Event
		want  string
	}{
		{event.CancelSettled{Outcome: event.Cancelled, Ticket: 3, Remote: "127.0.0.1:5", User: "ann", Database: "shop", PID: 1073741825, Unit: 7, Kind: "query", Sends: 2, Took: 12500 * time.Microsecond},
			`level=INFO msg=cancel outcome=cancelled pid=1073741825 user=ann database=shop unit=7 kind=query sends=2 ms=12.5 remote=127.0.0.1:5`},
		{event.CancelSettled{Outcome: event.UnknownKey, Ticket: 4, Remote: "10.0.0.1:9", PID: 12},
			`level=INFO msg=cancel outcome=unknown_key pid=12 sends=0 ms=0 remote=10.0.0.1:9`},
		{event.CancelSettled{Outcome: event.Failed, User: "ann", Database: "shop", PID: 2, Unit: 1, Kind: "batch", Reason: "connection refused", Cause: "query_timeout"},
			`level=WARN msg=cancel outcome=failed pid=2 user=ann database=shop unit=1 kind=batch sends=0 ms=0 origin=cancello cause=query_timeout reason="connection refused"`},
		{event.CancelSettled{Outcome: event.Forwarded, Ticket: 5, Remote: "10.0.0.1:9", User: "ann", Database: "shop", PID: 1<<30 | 5<<20, Unit: 2, Kind: "query", Sends: 1, Owner: event.PeerOf(5), There: event.Late},
			`level=INFO msg=cancel outcome=forwarded pid=1078984704 user=ann database=shop unit=2 kind=query sends=1 ms=0 remote=10.0.0.1:9 owner=5 there=late`},
		{event.CancelSettled{Outcome: event.Cancelled, Ticket: 1<<63 | 1, Remote: "10.0.0.1:9", User: "ann", Database: "shop", PID: 1 << 30, Unit: 2, Kind: "query", Sends: 1, Via: event.PeerOf(0)},
			`level=INFO msg=cancel outcome=cancelled pid=1073741824 user=ann database=shop unit=2 kind=query sends=1 ms=0 remote=10.0.0.1:9 via=0`},
		{event.CancelSettled{Outcome: event.Throttled, Ticket: 6, Remote: "10.0.0.1:9", PID: 1<<30 | 5<<20, Owner: event.PeerOf(5), Reason: "too many"},
			`level=WARN msg=cancel outcome=throttled pid=1078984704 sends=0 ms=0 remote=10.0.0.1:9 owner=5 reason="too many"`},
		{event.ClientJoined{PID: 1, User: "ann", Database: "shop", Remote: "[::1]:2"},
			`level=INFO msg="client joined" pid=1 user=ann database=shop remote=[::1]:2`},
		{event.ClientLeft{PID: 1, User: "ann", Database: "shop", Reason: "terminated"},
			`level=INFO msg="client left" pid=1 user=ann database=shop reason=terminated`},
		{event.ServerOpened{Server: 5, User: "ann", Database: "shop", Remote: "db:5432", PID: 77, HasKey: true, As: "ann"},
			`level=INFO msg="server connected" server=5 pid=77 user=ann database=shop remote=db:5432 cancel_key=true`},
		{event.ServerOpened{Server: 6, User: "ann", Database: "shop", Remote: "db:5432", As: "app"},
			`level=INFO msg="server connected" server=6 pid=0 user=ann database=shop remote=db:5432 cancel_key=false as=app`},
		{event.ServerClosed{Server: 5, User: "ann", Database: "shop", Reason: "idle"},
			`level=INFO msg="server closed" server=5 user=ann database=shop reason=idle`},
		{event.DialFailed{Server: 6, User: "ann", Database: "shop", Remote: "db:5432", Reason: "no route"},
			`level=WARN msg="server connection failed" server=6 user=ann database=shop remote=db:5432 reason="no route"`},
		{event.LoginRefused{User: "ann", Database: "shop", Remote: "h:1", Code: "53300", Reason: "full"},
			`level=WARN msg="login refused" user=ann database=shop remote=h:1 code=53300 reason=full`},
		{event.Drained{}, `level=INFO msg="drained: the last client has left"`},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		s := New(plain(&out))
		s.Emit(tt.event)
		s.Close()
		if diff := cmp.Diff(tt.want+"\n", out.String()); diff != "" {
			t.Errorf("%T (-want +got):\n%s", tt.event, diff)
		}
	}
}

func TestCountsByOutcome(t *testing.T) {
	s := New(plain(io.Discard))
	s.Emit(event.CancelSettled{Outcome: event.Cancelled})
	s.Emit(event.CancelSettled{Outcome: event.Cancelled})
	s.Emit(event.CancelSettled{Outcome: event.Idle})
	s.Emit(event.ClientJoined{})
	s.Close()
	s.Emit(event.CancelSettled{Outcome: event.Failed}) // counted, though nothing is written any more
	var want [event.Outcomes]uint64
	want[event.Cancelled], want[event.Idle], want[event.Failed] = 2, 1, 1
	if got := s.Counts(); got != want {
		t.Errorf("Counts() = %v, want %v", got, want)
	}
	s.Close()
}

// stuck is a log destination that takes nothing until it is let go.
type stuck struct {
	first chan struct{} // closed at the first Write
	open  chan struct{}
	out   bytes.Buffer
	began bool
}

func (w *stuck) Write(p []byte) (int, error) {
	if !w.began {
		w.began = true
		close(w.first)
	}
	<-w.open
	return w.out.Write(p)
}

func TestEmitNeverWaitsForTheLog(t *testing.T) {
	w := &stuck{first: make(chan struct{}), open: make(chan struct{})}
	s := New(plain(w))
	s.Emit(event.CancelSettled{Outcome: event.Idle})
	<-w.first
	const more = queueLen + 10
	for range more { // would hang here if Emit waited
		s.Emit(event.CancelSettled{Outcome: event.Idle})
	}
	close(w.open)
	s.Close()
	if got := s.Counts()[event.Idle]; got != more+1 {
		t.Errorf("counted %d, want %d: a dropped line must not drop its count", got, more+1)
	}
	if !strings.Contains(w.out.String(), "log lines dropped: the log's destination is too slow\" lines=10") {
		t.Errorf("the log does not say that 10 lines are missing")
	}
	if got := strings.Count(w.out.String(), "outcome=idle"); got != queueLen+1 {
		t.Errorf("%d lines written, want %d", got, queueLen+1)
	}
}

// kept is a handler that keeps what it is given.
type kept struct {
	mu      sync.Mutex
	records []slog.Record
}

func (k *kept) Enabled(context.Context, slog.Level) bool { return true }
func (k *kept) WithAttrs([]slog.Attr) slog.Handler       { return k }
func (k *kept) WithGroup(string) slog.Handler            { return k }
func (k *kept) Handle(_ context.Context, r slog.Record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.records = append(k.records, r)
	return nil
}

func (k *kept) len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.records)
}

func (k *kept) reach(t *testing.T, want int) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); k.len() != want; time.Sleep(time.Millisecond) { // sleeps: between two looks
		if time.Now().After(until) {
			t.Fatalf("%d lines were written, want %d", k.len(), want)
		}
	}
}

// A line that was kept back bears the time of its event.
func TestLinesBearTheTimeOfTheirEvent(t *testing.T) {
	k := &kept{}
	s := newSink(slog.New(k), time.Hour)
	s.Emit(event.Drained{})
	k.reach(t, 1)
	before := time.Now()
	s.Emit(event.Drained{})
	after := time.Now()
	s.Close()
	if at := k.records[1].Time; at.Before(before) || at.After(after) {
		t.Errorf("the line bears %v, its event came between %v and %v", at, before, after)
	}
}

// However long lines may gather, a burst that would fill the queue is written before it does.
func TestABurstEndsTheGathering(t *testing.T) {
	k := &kept{}
	s := newSink(slog.New(k), time.Hour)
	defer s.Close()
	s.Emit(event.Drained{})
	k.reach(t, 1)
	for range queueLen/2 + 1 {
		s.Emit(event.Drained{})
	}
	k.reach(t, 2+queueLen/2)
}
