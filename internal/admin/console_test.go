package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cancello/internal/config"
	"cancello/internal/event"

	"github.com/cockroachdb/datadriven"
	"github.com/jackc/pgx/v5/pgproto3"
)

// model is a Gate that always shows the same.
type model struct {
	config config.Config

	mu      sync.Mutex
	told    []string // what it was told
	pausing []event.Pausing
	closing int // how often a server is still to be closed
}

func (m *model) tell(what string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, what)
	return !strings.HasSuffix(what, "nowhere"), nil
}

func (m *model) Pause(_ context.Context, db string) (bool, error) { return m.tell("pause " + db) }
func (m *model) Reconnect(_ context.Context, db string) (bool, error) {
	return m.tell("reconnect " + db)
}
func (m *model) Kill(_ context.Context, db string) (bool, error)    { return m.tell("kill " + db) }
func (m *model) Resume(_ context.Context, db string) (bool, error)  { return m.tell("resume " + db) }
func (m *model) Disable(_ context.Context, db string) (bool, error) { return m.tell("disable " + db) }
func (m *model) Enable(_ context.Context, db string) (bool, error)  { return m.tell("enable " + db) }
func (m *model) Drain()                                             { m.tell("drain") }
func (m *model) Stop()                                              { m.tell("stop") }

func (m *model) CancelClient(_ context.Context, pid uint32) (event.Asked, error) {
	switch pid {
	case 1073741825:
		return event.AskedDone, nil
	case 1073741826:
		return event.AskedIdle, nil
	case 1073741827:
		return event.AskedAtCommit, nil
	}
	return event.AskedNobody, nil
}

func (m *model) KillClient(_ context.Context, pid uint32) (bool, error) {
	m.tell(fmt.Sprint("kill client ", pid))
	return pid == 1073741825, nil
}

func (m *model) Set(key, value string) error {
	m.tell("set " + key + " to " + value)
	if key == "listen" {
		return errors.New("listen cannot be changed without a restart\nand so on")
	}
	return nil
}

func (m *model) Reload() error {
	m.tell("reload")
	return errors.New("cancello.toml:1:1: unknown setting")
}

// Pausing tells what it was given to tell, one after the other, then that the pause holds.
func (m *model) Pausing(context.Context, string) (event.Pausing, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.pausing) == 0 {
		return event.PauseHolds, nil
	}
	p := m.pausing[0]
	if len(m.pausing) > 1 || p != event.PauseWaits {
		m.pausing = m.pausing[1:]
	}
	return p, nil
}

func newModel() *model {
	c := config.Default()
	c.Databases = []config.Database{
		{Name: "shop", Host: "db.example.com", Port: 5432, DBName: "shop_live", User: "app", PoolSize: config.Give(7), Password: "never shown"},
		{Name: "*", Host: "/run/postgresql", Port: 5433, Mode: config.Give(config.Transaction)},
	}
	c.Auth.AdminUsers, c.Auth.StatsUsers = []string{"root"}, []string{"eve"}
	return &model{config: c}
}

func (m *model) Config() config.Config { return m.config }

func (m *model) Snapshot(context.Context) (event.Snapshot, error) {
	t := event.Tally{Entry: "shop", Logins: 4, Received: 1000, Sent: 50_000, ClientParses: 5, ServerParses: 7, Binds: 6}
	t.Wait.Observe(0)
	t.Wait.Observe(30 * time.Millisecond)
	for range 4 {
		t.Query.Observe(2 * time.Millisecond)
	}
	t.Transaction.Observe(9 * time.Millisecond)
	return event.Snapshot{
		Predecessors: []event.Predecessor{{Process: 77, Clients: 3}},
		Now:          100 * time.Second, Paused: []string{"other"}, Disabled: []string{"shop"},
		Pools: []event.PoolState{
			{Database: "shop", User: "ann", Entry: "shop", Mode: "session", Limit: 7, ClientsActive: 1, ClientsIdle: 2, ClientsWaiting: 3,
				OldestWait: 1_500_250 * time.Microsecond, ServersActive: 4, ServersIdle: 5, ServersUsed: 2, ServersCleaning: 6, ServersFenced: 2,
				ServersDialing: 7, ServersGhost: 8, CancelsGoing: 9, CancelsWaiting: 10},
			{Database: "other", User: "bob", Entry: "*", Mode: "transaction", Limit: 20, ServersIdle: 1, Paused: true},
		},
		Upstreams: []event.UpstreamState{
			{Host: "db.example.com", Port: 5432, Addrs: []string{"10.0.0.1", "10.0.0.2"}, Entries: []string{"shop", "*"}, State: "up",
				Servers: 3, Dialing: 1, Sides: 2, Opened: 5, Fails: 1, TLS: "TLSv1.3/TLS_AES_128_GCM_SHA256", Version: "18.4"},
			{Host: "/run/postgresql", Port: 5433, Entries: []string{"*"}, State: "failing", FailingAt: 40 * time.Second, LastError: "connection refused", Fails: 9, Key: "none"},
			{Host: "new", Port: 1, Entries: []string{"other"}, State: "new"},
		},
		Tallies: []event.Tally{t},
	}, nil
}

func (m *model) Clients(context.Context) ([]event.ClientState, error) {
	return []event.ClientState{
		{PID: 1073741825, User: "ann", Database: "shop", Remote: "192.0.2.7:40001", State: "active", ConnectedAt: 40 * time.Second,
			RequestAt: 99 * time.Second, Server: 5, ApplicationName: "psql", TLS: "TLSv1.3/TLS_AES_128_GCM_SHA256", Statements: 3, Local: "192.0.2.1:6432", Replication: "logical"},
		{PID: 1073741826, User: "ann", Database: "shop", Remote: "[2001:db8::1]:40002", State: "waiting", ConnectedAt: 50 * time.Second,
			Wait: 1_500_250 * time.Microsecond},
	}, nil
}

func (m *model) Servers(context.Context) ([]event.ServerState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	closing := m.closing > 0
	m.closing--
	return []event.ServerState{
		{Server: 5, User: "ann", Database: "shop", Remote: "db.example.com:5432", State: "active", DialedAt: 41 * time.Second,
			RequestAt: 99 * time.Second, PID: 4711, Client: 1073741825, ApplicationName: "psql", Statements: 2, CloseNeeded: closing,
			Local: "192.0.2.1:40010", Replication: "logical"},
		{Server: 6, User: "bob", Database: "other", Remote: "/run/postgresql:5433", State: "new", DialedAt: 98 * time.Second},
		{Server: 7, User: "bob", Database: "other", Remote: "/run/postgresql:5433", State: "idle", DialedAt: 97 * time.Second},
	}, nil
}

// What the process holds is more than nothing, and what is used of it is not more than all.
func TestShowMem(t *testing.T) {
	a, err := newTestConsole().show(t.Context(), []word{{text: "mem"}})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, row := range a.table.rows {
		names[row[0].(string)] = true
		used, free, total := row[2].(int64), row[3].(int64), row[4].(int64)
		if used <= 0 || free < 0 || total != used+free {
			t.Errorf("%v", row)
		}
	}
	if !names["heap"] || !names["stacks"] || !names["runtime"] {
		t.Errorf("shown: %v", names)
	}
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// newTestConsole is a console before the model, at noon.
func newTestConsole() *Console {
	cancels := &Cancels{}
	cancels.Add(noon.Add(-2*time.Minute), event.CancelSettled{Outcome: event.Cancelled, Ticket: 1, Remote: "192.0.2.7:40009", User: "ann",
		Database: "shop", PID: 1073741825, Unit: 17, Kind: "query", Sends: 1, Took: 4200 * time.Microsecond})
	cancels.Add(noon.Add(-time.Minute), event.CancelSettled{Outcome: event.Failed, User: "ann", Database: "shop", PID: 1073741826, Unit: 3,
		Kind: "batch", Cause: "query_timeout", Took: 10 * time.Second, Reason: "could not be delivered"})
	cancels.Add(noon.Add(-time.Second), event.CancelSettled{Outcome: event.UnknownKey, Ticket: 2, Remote: "192.0.2.8:1", PID: 9})
	cancels.Add(noon.Add(-500*time.Millisecond), event.CancelSettled{Outcome: event.Forwarded, Ticket: 3, Remote: "192.0.2.7:40010", User: "ann",
		Database: "shop", PID: 1<<30 | 5<<20 | 7, Unit: 2, Kind: "query", Sends: 1, Took: 6 * time.Millisecond, Owner: event.PeerOf(5), There: event.Cancelled})
	cancels.Add(noon.Add(-400*time.Millisecond), event.CancelSettled{Outcome: event.Late, Ticket: 1<<63 | 1, Remote: "192.0.2.7:40011", User: "ann",
		Database: "shop", PID: 1073741827, Unit: 4, Kind: "query", Sends: 1, Took: 3 * time.Millisecond, Via: event.PeerOf(0)})
	c := NewConsole(newModel(), cancels, "1.2.3", slog.New(slog.NewTextHandler(io.Discard, nil)))
	c.now = func() time.Time { return noon }
	return c
}

// dial connects a guest to the console.
func dial(t *testing.T, c *Console, g Guest) *pgproto3.Frontend {
	t.Helper()
	near, far := net.Pipe()
	near.SetDeadline(time.Now().Add(20 * time.Second))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer far.Close()
		c.Serve(ctx, far, g)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		near.Close()
	})
	return pgproto3.NewFrontend(near, near)
}

// TestConsole runs testdata. The commands:
//
//	guest NAME [remote] [proven]   a new connection; prints the answer to its login, without the parameters
//	query [cancel]                 a Query with the input; cancel: what it makes wait is cancelled
//	closing [N]                    how often the gate tells that a server of shop is to be closed
//	told                           what the gate was told to do
//	pausing STATE...               what the gate tells of a pause: not, waits or holds, the last again and again
//	extended                       lines: parse NAME TEXT, bind [binary] PORTAL NAME, describe S|P NAME, execute PORTAL [N], close S|P NAME, sync
func TestConsole(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		c := newTestConsole()
		c.sample(t.Context())
		var f *pgproto3.Frontend
		var end func() bool
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			switch td.Cmd {
			case "guest":
				f = dial(t, c, Guest{User: td.CmdArgs[0].Key, Remote: "192.0.2.1:1", Local: !td.HasArg("remote"), Proven: td.HasArg("proven"),
					PID: 1 << 29, Key: []byte("key!"), OnCancel: func(f func() bool) { end = f }})
			case "query":
				f.Send(&pgproto3.Query{String: td.Input})
			case "told":
				m := c.gate.(*model)
				told := strings.Join(m.told, "\n") + "\n"
				m.told = nil
				return told
			case "pausing":
				for _, a := range td.CmdArgs {
					m := c.gate.(*model)
					m.pausing = append(m.pausing, map[string]event.Pausing{"not": event.NotPaused, "waits": event.PauseWaits, "holds": event.PauseHolds}[a.Key])
				}
				return "ok\n"
			case "extended":
				for line := range strings.SplitSeq(td.Input, "\n") {
					sendLine(t, f, line)
				}
			case "closing":
				m := c.gate.(*model)
				td.ScanArgs(t, "n", &m.closing)
				return "ok\n"
			default:
				t.Fatalf("%s: no command %q", td.Pos, td.Cmd)
			}
			if err := f.Flush(); err != nil {
				return err.Error() + "\n"
			}
			for limit := time.Now().Add(time.Minute); td.HasArg("cancel") && !end(); {
				if time.Now().After(limit) {
					t.Fatalf("%s: it does not wait", td.Pos)
				}
			}
			return hear(t, f)
		})
	})
}

func sendLine(t *testing.T, f *pgproto3.Frontend, line string) {
	w := append(strings.SplitN(line, " ", 3), "", "")
	switch w[0] {
	case "parse":
		f.Send(&pgproto3.Parse{Name: strings.Trim(w[1], "-"), Query: w[2]})
	case "bind", "bind-binary", "bind-value":
		b := &pgproto3.Bind{DestinationPortal: strings.Trim(w[1], "-"), PreparedStatement: strings.Trim(w[2], "-")}
		switch w[0] {
		case "bind-binary":
			b.ResultFormatCodes = []int16{1}
		case "bind-value":
			b.Parameters = [][]byte{[]byte("1")}
		}
		f.Send(b)
	case "describe":
		f.Send(&pgproto3.Describe{ObjectType: w[1][0], Name: strings.Trim(w[2], "-")})
	case "execute":
		var n uint32
		fmt.Sscan(w[2], &n)
		f.Send(&pgproto3.Execute{Portal: strings.Trim(w[1], "-"), MaxRows: n})
	case "close":
		f.Send(&pgproto3.Close{ObjectType: w[1][0], Name: strings.Trim(w[2], "-")})
	case "sync":
		f.Send(&pgproto3.Sync{})
	default:
		t.Fatalf("no message %q", line)
	}
}

// hear words what comes up to ReadyForQuery or the end.
func hear(t *testing.T, f *pgproto3.Frontend) string {
	var b strings.Builder
	var fields []pgproto3.FieldDescription
	for {
		m, err := f.Receive()
		if err != nil {
			fmt.Fprintln(&b, "closed")
			return b.String()
		}
		switch m := m.(type) {
		case *pgproto3.ReadyForQuery:
			fmt.Fprintf(&b, "ready %c\n", m.TxStatus)
			return b.String()
		case *pgproto3.ParameterStatus:
		case *pgproto3.BackendKeyData:
			fmt.Fprintf(&b, "key of %d bytes\n", len(m.SecretKey))
		case *pgproto3.RowDescription:
			fields = nil
			for _, d := range m.Fields {
				d.Name = append([]byte(nil), d.Name...)
				fields = append(fields, d)
				fmt.Fprintf(&b, "%s:%d%s ", d.Name, d.DataTypeOID, map[int16]string{1: " binary"}[d.Format])
			}
			b.WriteString("\n")
		case *pgproto3.DataRow:
			for i, v := range m.Values {
				if i > 0 {
					b.WriteString(" | ")
				}
				switch {
				case v == nil:
					b.WriteString("NULL")
				case i < len(fields) && fields[i].Format == 1 && fields[i].DataTypeOID != 25:
					fmt.Fprintf(&b, "%x", v)
				default:
					fmt.Fprintf(&b, "%s", v)
				}
			}
			b.WriteString("\n")
		case *pgproto3.CommandComplete:
			fmt.Fprintf(&b, "%s\n", m.CommandTag)
		case *pgproto3.ErrorResponse:
			fmt.Fprintf(&b, "%s %s %s\n", m.Severity, m.Code, m.Message)
			if m.Detail != "" {
				fmt.Fprintf(&b, "detail: %s\n", m.Detail)
			}
			if m.Hint != "" {
				fmt.Fprintf(&b, "hint: %s\n", m.Hint)
			}
		case *pgproto3.NoticeResponse:
			fmt.Fprintf(&b, "%s %s\n", m.Severity, m.Message)
		default:
			fmt.Fprintf(&b, "%s\n", strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3."))
		}
	}
}

// The ring keeps the last ones, the latest first.
func TestCancelsForgetTheOldest(t *testing.T) {
	var c Cancels
	for i := range keptCancels + 5 {
		c.Add(noon, event.CancelSettled{Unit: uint64(i)})
	}
	list := c.list()
	if len(list) != keptCancels || list[0].Unit != keptCancels+4 || list[keptCancels-1].Unit != 5 {
		t.Errorf("%d kept, from %d to %d", len(list), list[0].Unit, list[len(list)-1].Unit)
	}
}

// A flood of cancels that mean nobody drives out its own kind only, and all are told in the order of their time.
func TestNobodysCancelsDriveOutNoOthers(t *testing.T) {
	var c Cancels
	c.Add(noon, event.CancelSettled{Outcome: event.Cancelled, Unit: 1})
	for i := range 2 * keptCancels {
		c.Add(noon.Add(time.Duration(i+1)*time.Second), event.CancelSettled{Outcome: []event.Outcome{event.Forged, event.UnknownKey, event.Malformed, event.Throttled}[i%4], Ticket: uint64(i)})
	}
	c.Add(noon.Add(time.Hour), event.CancelSettled{Outcome: event.Idle, Unit: 2})
	list := c.list()
	if len(list) != keptNobodys+2 || list[keptNobodys+1].Unit != 1 || !slices.IsSortedFunc(list, func(a, b settled) int { return b.at.Compare(a.at) }) {
		t.Errorf("%d kept, the last one %+v", len(list), list[len(list)-1])
	}
	if !slices.ContainsFunc(list, func(s settled) bool { return s.Unit == 2 }) || !slices.ContainsFunc(list, func(s settled) bool { return s.Ticket == 2*keptCancels-1 }) {
		t.Error("the latest are missing")
	}
}

// Averages are over the time between two samples: times by what took them, all else by the second.
func TestAverages(t *testing.T) {
	var old, now event.Tally
	old.Query.Observe(time.Millisecond)
	now = old
	now.Received, now.Logins, now.ClientParses = 6000, 120, 120
	for range 60 {
		now.Query.Observe(3 * time.Millisecond)
	}
	got := averages(counts(old), counts(now), time.Minute)
	if got[2] != int64(1) || got[3] != int64(100) || got[6] != int64(3000) || got[7] != int64(0) || got[8] != int64(2) || got[11] != int64(2) {
		t.Errorf("averages %v", got)
	}
}

// More than the limit of consoles are turned away, and a place that is left is free again.
func TestConsolesAreBounded(t *testing.T) {
	c := newTestConsole()
	root := Guest{User: "root", Local: true, Proven: true}
	var first *pgproto3.Frontend
	for i := range maxConsoles {
		f := dial(t, c, root)
		if got := hear(t, f); got != "AuthenticationOk\nready I\n" {
			t.Fatalf("console %d: %s", i, got)
		}
		if i == 0 {
			first = f
		}
	}
	if got := hear(t, dial(t, c, root)); !strings.Contains(got, "FATAL 53300") {
		t.Errorf("one more: %s", got)
	}
	first.Send(&pgproto3.Terminate{})
	if err := first.Flush(); err != nil {
		t.Fatal(err)
	}
	hear(t, first)
	for range 100 {
		if got := hear(t, dial(t, c, root)); strings.Contains(got, "ready") {
			return
		}
	}
	t.Error("a place that was left is not free")
}

// A PAUSE that waits does not outlive the guest who gave it, nor a Stop.
func TestPauseEndsWithItsGuest(t *testing.T) {
	for _, how := range []string{"the guest goes", "Cancello stops"} {
		c := newTestConsole()
		c.gate.(*model).pausing = []event.Pausing{event.PauseWaits, event.PauseWaits}
		near, far := net.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.Serve(ctx, far, Guest{User: "root", Local: true, Proven: true})
		}()
		f := pgproto3.NewFrontend(near, near)
		hear(t, f)
		f.Send(&pgproto3.Query{String: "PAUSE"})
		if err := f.Flush(); err != nil {
			t.Fatal(err)
		}
		if how == "the guest goes" {
			near.Close()
		} else {
			cancel()
		}
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s, and the command waits on", how)
		}
		cancel()
		near.Close()
		far.Close()
	}
}
