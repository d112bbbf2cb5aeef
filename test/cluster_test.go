package test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

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
	t      *testing.T
	c      *postgres.Cluster
	dir    string
	net    string // of loopback addresses that nobody else uses: the node's number follows
	more   string // of each file, in front
	node   map[int]*gate
	peer   map[int][]int     // of each node
	at     map[[2]int]string // where a node reaches another, if not at its own address
	mode   string            // sslmode of the peers
	auth   map[int]string    // [cluster] of a node beside its number and listener
	set    []string          // for all
	listen map[int][]string  // where a node listens for clients besides
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
	k.node[node] = startGate(k.t, gateOptions{file: k.file(node), mode: "transaction", size: 8, set: k.set, listen: k.listen[node]})
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

// others are the nodes from 1 to most without one.
func others(node, most int) (list []int) {
	for n := 1; n <= most; n++ {
		if n != node {
			list = append(list, n)
		}
	}
	return list
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
