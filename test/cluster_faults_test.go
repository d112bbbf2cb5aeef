package test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"cancello/internal/pgtest/fake"
)

// A node that was killed costs its own clients' cancels, which end clearly and in bounded time; those of others go on. One
// that drains is reached for its clients' cancels to the end. One that is added by a reload is reached, one that is removed is not any more.
func TestClusterChanges(t *testing.T) {
	t.Parallel()
	k := newCluster(t)
	k.more = "cancel.cancel_timeout = \"20s\"" // also for those that must work, on a slow machine
	for node := 1; node <= 3; node++ {
		k.start(node, others(node, 3)...)
	}
	k.linked(1, 2, 3)
	k.linked(2, 1, 3)

	lost := k.sleeper(3, fake.V32)
	held := k.sleeper(2, fake.V32)
	k.node[3].killed = true
	if err := k.node[3].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-k.node[3].done
	k.node[1].AwaitLog(`(?s)msg="peer linked" node=3 .*msg="peer not linked: [^\n]* node=3 `)
	k.cancel(1, lost) // returns: the connection is closed
	k.node[1].AwaitLog(`outcome=failed .* owner=3 reason="(there is no|the) link to node 3`)
	k.cancel(1, held)
	k.ended(held)
	k.works(2, 1)

	// Node 2 drains while one of its clients is at something.
	last := k.sleeper(2, fake.V30)
	until(t, "the client is at something", func() bool { return active(t, k.c, "pid <> pg_backend_pid()", "pg_sleep(600)") })
	if err := k.node[2].cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	k.node[2].AwaitLog(`msg="draining: `)
	k.cancel(1, last)
	k.ended(last)
	<-k.node[2].done

	// Node 4 comes.
	k.start(4, 1)
	k.peer[1] = []int{4}
	k.reload(1, `setting="peer 4"`)
	k.linked(1, 4)
	k.works(4, 1)
	k.works(1, 4)

	// And goes, for node 1.
	left := k.sleeper(4, fake.V32)
	k.peer[1] = nil
	k.reload(1, `setting="peer 4" old="node=4 `)
	k.cancel(1, left)
	k.node[1].AwaitLog(`outcome=unknown_key .*reason="node 4 is no peer`)
	if err := stillRuns(left); err != nil {
		t.Error(err)
	}
	k.cancel(4, left)
	k.ended(left)
}

// The secret is changed node by node, and keys that clients got under the former one hold at every step, wherever the
// cancel lands.
func TestClusterSecretIsChanged(t *testing.T) {
	t.Parallel()
	k := newCluster(t)
	secret := filepath.Join(k.dir, "secret")
	for node, text := range map[int]string{1: clusterSecret, 2: clusterSecret} {
		path := fmt.Sprintf("%s%d", secret, node)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		k.auth[node] = fmt.Sprintf("cluster_secret_file = %q", filepath.Base(path))
	}
	k.start(1, 2)
	k.start(2, 1)
	k.linked(1, 2)
	k.linked(2, 1)
	first, second := k.sleeper(1, fake.V32), k.sleeper(2, fake.V32)
	step := func() {
		t.Helper()
		k.cancel(2, first)
		k.ended(first)
		k.sleep(first)
		k.cancel(1, second)
		k.ended(second)
		k.sleep(second)
		k.works(1, 2)
		k.works(2, 1)
	}
	step()
	// Every node learns the new one as one that is good before any mints under it.
	k.auth[1] += fmt.Sprintf("\ncluster_secret_previous = %q", clusterSecret2)
	k.auth[2] += fmt.Sprintf("\ncluster_secret_previous = %q", clusterSecret2)
	k.reload(1, `setting=cluster_secret_previous`)
	k.reload(2, `setting=cluster_secret_previous`)
	step()
	for _, node := range []int{1, 2} {
		k.auth[node] = fmt.Sprintf("cluster_secret_file = \"secret%d\"", node)
		if err := os.WriteFile(fmt.Sprintf("%s%d", secret, node), []byte(clusterSecret2+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		k.reload(node, `the cluster's secret is another one`)
		step()
	}
	for _, node := range []int{1, 2} {
		if text := k.node[node].Log(); strings.Contains(text, "hunter2") {
			t.Errorf("the secret is in the log of node %d", node)
		}
	}
}

// Without links, a cancel goes on as clients send it, in clear.
func TestClusterInClear(t *testing.T) {
	t.Parallel()
	k := newCluster(t)
	k.mode = "disable"
	k.start(1, 2)
	k.start(2, 1)
	k.works(1, 2)
	k.works(2, 1)
	k.node[1].AwaitLog(`outcome=forwarded .* owner=2 there=forwarded`)
}

// A link that is cut again and again, with requests on it, loses none. Each other time the wire lets the request through and
// no answer back, so that it is certain that the cut met it.
func TestClusterLinkIsCut(t *testing.T) {
	t.Parallel()
	k := newCluster(t)
	w := newCutWire(t, k.address(2))
	k.at[[2]int{1, 2}] = w.ln.Addr().String()
	k.at[[2]int{2, 1}] = "127.0.0.1:1" // one end dials, through the wire
	k.start(2, 1)
	k.start(1, 2)
	k.linked(1, 2)
	for n := range 20 {
		r := k.sleeper(2, []uint32{fake.V30, fake.V32}[n%2])
		until(t, "it runs", func() bool { return active(t, k.c, "pid <> pg_backend_pid()", "pg_sleep(600)") })
		done := make(chan struct{})
		answered := n%2 == 1
		if !answered {
			w.holdAnswers()
		}
		go func() { k.cancelQuietly(1, r); close(done) }()
		if !answered {
			k.ended(r)
			select {
			case <-done:
				t.Error("the connection was closed before there could be an answer")
			default:
			}
		}
		w.cut()
		if answered {
			k.ended(r)
		}
		<-done
		r.Close()
	}
	var outcomes map[string]int
	until(t, "an outcome in the log for each", func() bool {
		outcomes, _ = outcomesIn(k.node[1].Log())
		return outcomes["forwarded"]+outcomes["failed"] >= 20
	})
	if outcomes["failed"] > 0 {
		t.Errorf("outcomes %v", outcomes)
	}
}

// cancelQuietly is cancel for a goroutine.
func (k *cluster) cancelQuietly(node int, r *rider) {
	nc, err := net.Dial("tcp", k.node[node].Addr())
	if err != nil {
		return // the query goes on, which is seen
	}
	defer nc.Close()
	_ = knock(nc, r.pid, r.key)
}

// cutWire is a way to an address, whose connections can be cut.
type cutWire struct {
	ln    net.Listener
	mu    sync.Mutex
	cond  sync.Cond
	conns []net.Conn
	held  bool // nothing passes back
}

func newCutWire(t *testing.T, to string) *cutWire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &cutWire{ln: ln}
	w.cond.L = &w.mu
	go func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			w.mu.Lock()
			w.conns = append(w.conns, near, far)
			w.mu.Unlock()
			go func() {
				_, _ = io.Copy(far, near)
				far.Close()
			}()
			go func() {
				_, _ = io.Copy(answers{w, near}, far)
				near.Close()
			}()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		w.cut()
	})
	return w
}

// answers is what goes back over a wire.
type answers struct {
	w *cutWire
	net.Conn
}

// Write waits while answers are held.
func (a answers) Write(p []byte) (int, error) {
	a.w.mu.Lock()
	for a.w.held {
		a.w.cond.Wait()
	}
	a.w.mu.Unlock()
	return a.Conn.Write(p)
}

// holdAnswers has nothing pass back until the next cut, which loses it.
func (w *cutWire) holdAnswers() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = true
}

func (w *cutWire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, nc := range w.conns {
		nc.Close()
	}
	w.conns, w.held = nil, false
	w.cond.Broadcast()
}
