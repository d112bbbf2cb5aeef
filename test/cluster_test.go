package test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
	"cancello/internal/postgres"
)

const (
	clusterSecret  = "hunter2 hunter2 hunter2 one"
	clusterSecret2 = "hunter2 hunter2 hunter2 two"
)

// cluster is some nodes of Cancello before one PostgreSQL, each with a file of its own.
type cluster struct {
	t    *testing.T
	c    *postgres.Cluster
	dir  string
	net  string // of loopback addresses that nobody else uses: the node's number follows
	more string // of each file, in front
	node map[int]*gate
	peer map[int][]int     // of each node
	at   map[[2]int]string // where a node reaches another, if not at its own address
	mode string            // sslmode of the peers
	auth map[int]string    // [cluster] of a node beside its number and listener
	set  []string          // for all
}

func newCluster(t *testing.T) *cluster {
	return &cluster{
		t: t, c: pgtest.Start(t, 18), dir: t.TempDir(), net: fmt.Sprintf("127.%d.%d", 16+rand.N(200), rand.N(256)), mode: "require",
		node: map[int]*gate{}, peer: map[int][]int{}, at: map[[2]int]string{}, auth: map[int]string{},
	}
}

// address is where a node listens for its peers.
func (k *cluster) address(node int) string { return fmt.Sprintf("%s.%d:7432", k.net, node) }

func (k *cluster) file(node int) string {
	return filepath.Join(k.dir, fmt.Sprintf("node%d.toml", node))
}

// write makes a node's file anew.
func (k *cluster) write(node int) {
	k.t.Helper()
	secret := k.auth[node]
	if secret == "" {
		secret = fmt.Sprintf("cluster_secret = %q", clusterSecret)
	}
	text := fmt.Sprintf("%s\n[cluster]\nnode = %d\npeer_listen = %q\n%s\n[databases.postgres]\nhost = %q\nport = %d\nuser = \"postgres\"\n",
		k.more, node, k.address(node), secret, k.c.Host(), k.c.Port())
	for _, peer := range k.peer[node] {
		at := k.at[[2]int{node, peer}]
		if at == "" {
			at = k.address(peer)
		}
		text += fmt.Sprintf("[[peers]]\nnode = %d\naddress = %q\nsslmode = %q\n", peer, at, k.mode)
	}
	if err := os.WriteFile(k.file(node), []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

// start starts a node that knows these.
func (k *cluster) start(node int, peers ...int) {
	k.t.Helper()
	k.peer[node] = peers
	k.write(node)
	k.node[node] = startGate(k.t, gateOptions{file: k.file(node), mode: "transaction", size: 8, set: k.set})
}

// reload has a node read its file, and waits for the line.
func (k *cluster) reload(node int, line string) {
	k.t.Helper()
	k.write(node)
	if err := k.node[node].cmd.Process.Signal(syscall.SIGHUP); err != nil {
		k.t.Fatal(err)
	}
	k.node[node].AwaitLog(line)
}

// linked waits until a node has had links to others.
func (k *cluster) linked(node int, peers ...int) {
	k.t.Helper()
	for _, p := range peers {
		k.node[node].AwaitLog(fmt.Sprintf(`msg="peer linked" node=%d `, p))
	}
}

// sleeper is a client of a node whose query runs until it is cancelled.
func (k *cluster) sleeper(node int, version uint32) *rider {
	k.t.Helper()
	r, err := ride(k.node[node].Addr(), version, "postgres", "postgres")
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { r.Close() })
	k.sleep(r)
	return r
}

func (k *cluster) sleep(r *rider) {
	k.t.Helper()
	if err := r.put(fake.Query("SELECT pg_sleep(600)")); err != nil {
		k.t.Fatal(err)
	}
}

// cancel sends r's CancelRequest to a node and waits for the end of its connection.
func (k *cluster) cancel(node int, r *rider) {
	k.t.Helper()
	nc, err := net.Dial("tcp", k.node[node].Addr())
	if err != nil {
		k.t.Fatal(err)
	}
	defer nc.Close()
	if err := knock(nc, r.pid, r.key); err != nil {
		k.t.Fatal(err)
	}
}

// ended waits for r's query to be cancelled.
func (k *cluster) ended(r *rider) {
	k.t.Helper()
	if a, err := r.until('Z'); err != nil || a.code != "57014" {
		k.t.Fatalf("a query that was cancelled ended with %q, %v", a.code, err)
	}
}

// works has a client of one node cancel by another, at both protocols.
func (k *cluster) works(of, by int) {
	k.t.Helper()
	for _, version := range []uint32{fake.V30, fake.V32} {
		r := k.sleeper(of, version)
		k.cancel(by, r)
		k.ended(r)
		r.Close()
	}
}

// balancer is haproxy in front of all nodes, each connection to the next one.
func (k *cluster) balancer() string {
	k.t.Helper()
	program, err := exec.LookPath("haproxy")
	if err != nil {
		if program = "/usr/sbin/haproxy"; exec.Command(program, "-v").Run() != nil {
			pgtest.Missing(k.t, "haproxy")
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		k.t.Fatal(err)
	}
	defer ln.Close()
	socket, err := ln.(*net.TCPListener).File()
	if err != nil {
		k.t.Fatal(err)
	}
	defer socket.Close()
	text := "global\n  maxconn 1000\ndefaults\n  mode tcp\n  timeout connect 30s\n  timeout client 1h\n  timeout server 1h\n" +
		"frontend clients\n  bind fd@3\n  default_backend nodes\nbackend nodes\n  balance roundrobin\n"
	for number, g := range k.node {
		text += fmt.Sprintf("  server node%d %s\n", number, g.Addr())
	}
	file := filepath.Join(k.dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
	cmd := exec.Command(program, "-db", "-f", file)
	cmd.ExtraFiles = []*os.File{socket}
	said := newTranscript()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	go said.fill(stderr)
	k.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if k.t.Failed() {
			k.t.Logf("haproxy said:\n%s", said)
		}
	})
	return ln.Addr().String()
}

// Wherever a cancel lands behind a balancer, it ends the query that it means, and no other: clients in clear and over TLS,
// of 3.0 and 3.2, and beside them some that nobody cancels.
func TestClusterBehindBalancer(t *testing.T) {
	t.Parallel()
	k := newCluster(t)
	a := fake.NewAuthority(t)
	_, k.set = front(a, "allow")
	for node := 1; node <= 3; node++ {
		k.start(node, others(node, 3)...)
	}
	for node := 1; node <= 3; node++ {
		k.linked(node, others(node, 3)...)
	}
	addr := k.balancer()
	var bystanders []*rider
	for node := 1; node <= 3; node++ {
		bystanders = append(bystanders, k.sleeper(node, fake.V32))
	}
	const clients, cancels = 12, 20
	var running sync.WaitGroup
	failed := make(chan error, clients)
	for i := range clients {
		running.Go(func() { failed <- cancelOften(addr, a, i, cancels) })
	}
	running.Wait()
	for range clients {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	for node, r := range bystanders {
		if err := stillRuns(r); err != nil {
			t.Errorf("node %d: %v", node+1, err)
		}
		k.cancel(node%3+1, r)
		k.ended(r)
	}
	wanted := clients*cancels + len(bystanders)
	until(t, "an outcome in the log for each", func() bool {
		n := 0
		for _, g := range k.node {
			outcomes, _ := outcomesIn(g.Log())
			n += outcomes["cancelled"]
		}
		return n >= wanted
	})
	var ended, there int
	for node := 1; node <= 3; node++ {
		outcomes, _ := outcomesIn(k.node[node].Log())
		ended += outcomes["cancelled"]
		there += len(regexp.MustCompile(` owner=[123] there=cancelled`).FindAllString(k.node[node].Log(), -1))
		for _, name := range []string{"failed", "unknown_key", "forged", "malformed", "throttled", "disconnected"} {
			if n := outcomes[name]; n > 0 {
				t.Errorf("node %d: %d cancels were %s", node, n, name)
			}
		}
	}
	if ended != wanted {
		t.Errorf("%d queries were cancelled, and %d outcomes say so", wanted, ended)
	}
	if there < clients*cancels/3 {
		t.Errorf("only %d of %d were passed on: the balancer balances nothing", there, clients*cancels)
	}
	seen := pgtest.PSQL(t, 18, "-X", "-At", "-d", k.node[1].DSN("postgres", "cancello"), "-c", "SHOW PEERS", "-c", "SHOW CANCELS")
	for _, want := range []string{"2|" + k.net + ".2|7432||require|up|", "|forwarded|", "|cancelled|"} {
		if !strings.Contains(seen.Stdout, want) {
			t.Errorf("no %q in\n%s%s", want, seen.Stdout, seen.Stderr)
		}
	}
}

// others are the nodes from 1 to most without one.
func others(node, most int) (list []int) {
	for n := 1; n <= most; n++ {
		if n != node {
			list = append(list, n)
		}
	}
	return list
}

// cancelOften is a client that cancels its own queries, each of a length of its own, and finds its next one unharmed. The
// number says whether it speaks TLS, and which protocol.
func cancelOften(addr string, a *fake.Authority, number, times int) error {
	version := []uint32{fake.V30, fake.V32}[number%2]
	encrypted := number/2%2 == 1
	r, err := rideBalanced(addr, a, encrypted)
	if err != nil {
		return err
	}
	defer r.Close()
	if r, err = r.login(version, "postgres", "postgres"); err != nil {
		return err
	}
	for n := range times {
		if err := r.put(fake.Query(fmt.Sprintf("DO $$BEGIN PERFORM pg_sleep(0.1); RAISE NOTICE 'begun'; PERFORM pg_sleep(%d.%d); END$$", 300+number, n))); err != nil {
			return err
		}
		if m, err := r.next(); err != nil || m.Type != 'N' {
			return fmt.Errorf("client %d, cancel %d: %c instead of a NOTICE, %w", number, n, m.Type, err)
		}
		if err := untilCancelled(addr, a, encrypted && n%2 == 0, r); err != nil {
			return fmt.Errorf("client %d, cancel %d: %w", number, n, err)
		}
		if got, err := r.query(fmt.Sprintf("SELECT %d", n)); err != nil || got.code != "" || len(got.rows) != 1 || got.rows[0] != fmt.Sprint(n) {
			return fmt.Errorf("client %d, the query behind cancel %d: %+v, %v", number, n, got, err)
		}
	}
	return nil
}

// untilCancelled cancels r's query, and again every other second as long as it runs: one that was read within a round trip of
// the end of the query before, as the slowest of machines has it, may be taken for a cancel of that one.
func untilCancelled(addr string, a *fake.Authority, encrypted bool, r *rider) error {
	over, knocked := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			c, err := rideBalanced(addr, a, encrypted)
			if err == nil {
				err = c.over(knock(c.Conn, r.pid, r.key))
			}
			select {
			case <-over:
			case <-time.After(2 * time.Second):
				if err == nil {
					continue
				}
			}
			knocked <- err
			return
		}
	}()
	got, err := r.until('Z')
	close(over)
	if err := <-knocked; err != nil { // its end is awaited: it must not be read behind the next query
		return err
	}
	if err != nil || got.code != "57014" {
		return fmt.Errorf("%q, %w", got.code, err)
	}
	return nil
}

// rideBalanced connects, and begins TLS if need be.
func rideBalanced(addr string, a *fake.Authority, encrypted bool) (*rider, error) {
	c, err := dialRider(addr)
	if err != nil || !encrypted {
		return c, err
	}
	if err := c.put(fake.Msg(0, uint32(fake.SSLCode))); err != nil {
		return nil, c.over(err)
	}
	if b, err := c.r.ReadByte(); err != nil || b != 'S' {
		return nil, c.over(fmt.Errorf("SSLRequest was answered %q, %w", b, err))
	}
	nc := tls.Client(c.Conn, &tls.Config{RootCAs: a.Pool, ServerName: "127.0.0.1"})
	return &rider{Conn: nc, r: bufio.NewReader(nc)}, nil
}

// stillRuns is an error if a sleeper's query has ended. The socket itself is looked at: a read of Go's with a deadline that
// has passed is none.
func stillRuns(r *rider) error {
	if n := r.r.Buffered(); n > 0 {
		return fmt.Errorf("a query that nobody cancelled has ended: %d bytes were read", n)
	}
	socket, err := r.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	n, peekErr := 0, error(nil)
	if err := socket.Control(func(fd uintptr) {
		n, _, peekErr = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	}); err != nil {
		return err
	}
	if !errors.Is(peekErr, syscall.EAGAIN) {
		return fmt.Errorf("a query that nobody cancelled has ended: %d bytes are there, error %v", n, peekErr)
	}
	return nil
}
