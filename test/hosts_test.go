package test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/postgres"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// twoUpstreams is the DSN of a database at two clusters.
func twoUpstreams(a, b *postgres.Cluster, database, params string) string {
	return fmt.Sprintf("postgres://postgres@%s,%s/%s?%s", a.Addr(), b.Addr(), database, params)
}

// within is a context for one thing that is to happen.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	t.Cleanup(cancel)
	return ctx
}

// join connects by pgx with the simple protocol, which any pool mode takes.
func join(ctx context.Context, t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conf, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conf.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// where is the port of the server that a statement ran on.
func where(ctx context.Context, conn *pgx.Conn) (port int, err error) {
	err = conn.QueryRow(ctx, "SELECT inet_server_port()").Scan(&port)
	return port, err
}

// worker asks where it is, again and again, and notes what goes wrong.
type worker struct {
	dsn  string
	mu   sync.Mutex
	errs []error
	at   map[int]int // answers by port
}

func (w *worker) run(ctx context.Context, t testing.TB) {
	var conn *pgx.Conn
	for ctx.Err() == nil {
		var err error
		if conn == nil || conn.IsClosed() {
			conf, _ := pgx.ParseConfig(w.dsn)
			conf.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
			if conn, err = pgx.ConnectConfig(ctx, conf); err != nil && ctx.Err() == nil {
				w.note(0, fmt.Errorf("connecting: %w", err))
				return
			}
			continue
		}
		port, err := where(ctx, conn)
		if ctx.Err() == nil {
			w.note(port, err)
		}
	}
	if conn != nil {
		conn.Close(context.Background())
	}
}

func (w *worker) note(port int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.errs = append(w.errs, err)
		return
	}
	w.at[port]++
}

// failures are the errors so far.
func (w *worker) failures() []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.errs)
}

// answers is how many answers came from a cluster.
func (w *worker) answers(c *postgres.Cluster) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at[c.Port()]
}

// One of two PostgreSQLs is killed under load and comes back. Whoever it worked for is told so, once, as ADR 4 says; all
// others go on, and nobody is told anything again.
func TestUpstreamDiesAndComesBack(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			a, b := pgtest.Start(t, 18, pgtest.Private()), pgtest.Start(t, 15, pgtest.Private())
			const clients = 6
			g := startGate(t, gateOptions{upstreams: []string{twoUpstreams(a, b, "postgres", "sslmode=disable&load_balance_hosts=random")}, mode: mode, size: 2 * clients, set: []string{"admin_users=postgres"}})
			ctx, stop := context.WithCancel(context.Background())
			var all sync.WaitGroup
			workers := make([]*worker, clients)
			for i := range workers {
				w := &worker{dsn: g.DSN("postgres", "postgres"), at: map[int]int{}}
				workers[i] = w
				all.Go(func() { w.run(ctx, t) })
			}
			defer all.Wait()
			defer stop()
			served := func(c *postgres.Cluster, from []int) func() bool {
				return func() bool {
					for i, w := range workers {
						if w.answers(c) <= from[i] {
							return false
						}
					}
					return true
				}
			}
			total := func(c *postgres.Cluster) (n int) {
				for _, w := range workers {
					n += w.answers(c)
				}
				return n
			}
			until(t, "both serve", func() bool { return total(a) > 0 && total(b) > 0 })

			if err := a.Kill(); err != nil {
				t.Fatal(err)
			}
			until(t, "every server there is closed", func() bool {
				return !strings.Contains(servers(t, g), fmt.Sprintf("|%d|", a.Port()))
			})
			var before []int
			for _, w := range workers {
				before = append(before, w.answers(b))
			}
			until(t, "the other serves everybody", served(b, before))
			g.AwaitLog("upstream left aside.*" + regexpPort(a))
			if got := upstreams(t, g); !strings.Contains(got, fmt.Sprintf("127.0.0.1|%d||postgres|failing|", a.Port())) || !strings.Contains(got, fmt.Sprintf("127.0.0.1|%d||postgres|up||", b.Port())) {
				t.Errorf("SHOW UPSTREAMS says\n%s", got)
			}
			told := 0
			for _, w := range workers {
				for _, err := range w.failures() {
					told++
					var words *pgconn.PgError
					if !errors.As(err, &words) || !slices.Contains([]string{"08006", "08007", "57P01", "57P02"}, words.Code) {
						t.Errorf("a client is told: %v", err)
					}
				}
			}

			if err := a.Restart(ctx); err != nil {
				t.Fatal(err)
			}
			g.AwaitLog("upstream is back.*" + regexpPort(a))
			if mode == "transaction" { // in session mode clients stay where they are
				was := total(a)
				if out := pgtest.PSQL(t, 18, "-d", g.DSN("postgres", "cancello"), "-c", "RECONNECT"); out.Code != 0 {
					t.Errorf("%+v", out)
				}
				until(t, "it serves again", func() bool { return total(a) > was })
			} else {
				var seen []int
				for range 2 {
					port, err := where(ctx, join(ctx, t, g.DSN("postgres", "postgres")))
					if err != nil {
						t.Error(err)
					}
					seen = append(seen, port)
				}
				if !slices.Contains(seen, a.Port()) {
					t.Errorf("new clients are at %v", seen)
				}
			}
			for _, w := range workers {
				told -= len(w.failures())
			}
			if told != 0 {
				t.Errorf("clients were told %d more errors while the other served", -told)
			}
		})
	}
}

func regexpPort(c *postgres.Cluster) string { return fmt.Sprintf(":%d", c.Port()) }

// upstreams is what the console says of them.
func upstreams(t testing.TB, g *gate) string {
	t.Helper()
	return pgtest.PSQL(t, 18, "-At", "-d", g.DSN("postgres", "cancello"), "-c", "SHOW UPSTREAMS").Stdout
}

// servers is what the console says of them.
func servers(t testing.TB, g *gate) string {
	t.Helper()
	out := pgtest.PSQL(t, 18, "-At", "-d", g.DSN("postgres", "cancello"), "-c", "SHOW SERVERS")
	if out.Code != 0 {
		t.Fatalf("%+v", out)
	}
	return out.Stdout
}

// A cancel goes to the server that runs the query, also when the hosts are used in turn (PgBouncer sends each to the next
// host of its list, and half of them get lost), and when the first one has been left aside meanwhile.
func TestCancelWithSeveralHosts(t *testing.T) {
	a, b := pgtest.Start(t, 18), pgtest.Start(t, 15)
	for _, c := range []*postgres.Cluster{a, b} {
		superuser(t, c, "DROP DATABASE IF EXISTS hosts_cancel")
		superuser(t, c, "CREATE DATABASE hosts_cancel")
	}
	sleep := func(ctx context.Context, conn *pgx.Conn, mark string) <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := conn.Exec(ctx, "SELECT pg_sleep(600) AS "+mark)
			done <- err
		}()
		return done
	}
	cancelled := func(t *testing.T, ctx context.Context, conn *pgx.Conn, done <-chan error) {
		t.Helper()
		if err := conn.PgConn().CancelRequest(ctx); err != nil {
			t.Errorf("cancel request: %v", err)
		}
		var told *pgconn.PgError
		if err := <-done; !errors.As(err, &told) || told.Code != "57014" {
			t.Errorf("cancelled: %v", err)
		}
	}
	t.Run("in turn", func(t *testing.T) {
		ctx := within(t)
		g := startGate(t, gateOptions{upstreams: []string{twoUpstreams(a, b, "hosts_cancel", "sslmode=disable&load_balance_hosts=random")}, mode: "transaction"})
		var conns []*pgx.Conn
		var done []<-chan error
		for i := range 6 {
			conns = append(conns, join(ctx, t, g.DSN("postgres", "hosts_cancel")))
			mark := fmt.Sprintf("hosts_turn_%d", i)
			done = append(done, sleep(ctx, conns[i], mark))
			until(t, "it sleeps", func() bool { return sleepers(t, a, mark)+sleepers(t, b, mark) == 1 })
		}
		if n := sleepers(t, a, "hosts_turn"); n != 3 {
			t.Errorf("%d of 6 are at the first host", n)
		}
		for i, conn := range conns {
			cancelled(t, ctx, conn, done[i])
		}
		if n := sleepers(t, a, "hosts_turn") + sleepers(t, b, "hosts_turn"); n != 0 {
			t.Errorf("%d still run", n)
		}
	})
	t.Run("after a failover", func(t *testing.T) {
		ctx := within(t)
		g := startGate(t, gateOptions{upstreams: []string{twoUpstreams(a, b, "hosts_cancel", "sslmode=disable")}, mode: "transaction"})
		first, second := join(ctx, t, g.DSN("postgres", "hosts_cancel")), join(ctx, t, g.DSN("postgres", "hosts_cancel"))
		done := sleep(ctx, first, "hosts_over")
		until(t, "it sleeps at the first host", func() bool { return sleepers(t, a, "hosts_over") == 1 })
		superuser(t, a, "ALTER DATABASE hosts_cancel ALLOW_CONNECTIONS false")
		defer superuser(t, a, "ALTER DATABASE hosts_cancel ALLOW_CONNECTIONS true")
		if port, err := where(ctx, second); err != nil || port != b.Port() {
			t.Errorf("the next one is at %d, %v", port, err)
		}
		cancelled(t, ctx, first, done)
		if n := sleepers(t, a, "hosts_over"); n != 0 {
			t.Errorf("%d still run", n)
		}
	})
}

// sleepers is how many queries with a mark run.
func sleepers(t testing.TB, c *postgres.Cluster, mark string) int {
	t.Helper()
	n := 0
	fmt.Sscan(superuser(t, c, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%AS "+mark+"%' AND pid <> pg_backend_pid()"), &n)
	return n
}

// socketFolder is a folder for Unix sockets: that of a test has too long a name.
func socketFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cancello-sock-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Clients and servers over Unix sockets, cancels too; the socket goes with the gate.
func TestUnixSockets(t *testing.T) {
	c := pgtest.Start(t, 18)
	dir := socketFolder(t)
	abstractName := fmt.Sprintf("@cancello-test-%d", os.Getpid())
	o := gateOptions{upstreams: []string{fmt.Sprintf("postgres://postgres@/postgres?host=%s&port=%d", c.SocketDir(), c.Port())}, mode: "transaction",
		listen: []string{dir + ":6432", abstractName + ":6432"}}
	g := startGate(t, o)
	path := filepath.Join(dir, ".s.PGSQL.6432")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("%v %v", info, err)
	}
	for _, host := range []string{dir, abstractName} {
		out := pgtest.PSQL(t, 18, "-At", "-d", fmt.Sprintf("host=%s port=6432 user=postgres dbname=postgres", host), "-c", "SELECT inet_server_port() IS NULL")
		if out.Code != 0 || out.Stdout != "t\n" {
			t.Errorf("through %s: %+v", host, out)
		}
	}
	ctx := within(t)
	conn := join(ctx, t, fmt.Sprintf("host=%s port=6432 user=postgres dbname=postgres", dir))
	cancelPGX(ctx, t, c, conn, "hosts_unix")

	conn.Close(ctx)
	g.Stop()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after its end the socket: %v", err)
	}
}
