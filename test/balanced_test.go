package test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cancello/internal/key"
	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

// balancer is haproxy in front of all nodes that listen somewhere besides, each connection to the next one that is there.
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
	text := "global\n  maxconn 1000\ndefaults\n  mode tcp\n  retries 3\n  option redispatch 1\n  timeout connect 30s\n  timeout client 1h\n  timeout server 1h\n" +
		"frontend clients\n  bind fd@3\n  default_backend nodes\nbackend nodes\n  balance roundrobin\n"
	for number, at := range k.listen {
		text += fmt.Sprintf("  server node%d %s check inter 200ms fall 1 rise 1\n", number, at[0])
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

// balanced is clients of a cluster behind a balancer, each of which cancels its own queries.
type balanced struct {
	k    *cluster
	addr string
	a    *fake.Authority
	stop chan struct{}

	// quiet is held for reading while a cancel for a client of node 3 is under way: when that is killed, no node can help it.
	quiet   sync.RWMutex
	leaving [4]atomic.Bool // by node: it may lose its clients
	killed  atomic.Int64   // one more before node 3 is killed, and one more when it is gone
	born    sync.Map       // by rider: what that was when it logged in
	repeats atomic.Int64   // cancels sent again, since the query went on
	cancels []atomic.Int64 // that ended what they were meant for, by client
	failed  atomic.Bool    // a client has
	lost    []error        // by client
}

// staysFor is how many of its queries a client has cancelled before it logs in anew, so that a new process gets some.
const staysFor = 10

// maxRepeats is how many cancels may have to be sent again, of some hundreds: a machine that stands still for 50 ms can make one
// idle. On one with four busy loops for its two cores none was, in a dozen runs.
const maxRepeats = 5

// unlinked is a cancel that a node gave up for lack of a link, which it does after two seconds: 2000 milliseconds or more.
var unlinked = regexp.MustCompile(`outcome=failed [^\n]* ms=([2-9]|\d\d)\d{3}(\.\d+)? [^\n]*reason="there is no link to node`)

// Wherever a cancel lands behind a balancer, it ends the query that it means at once, and no other: clients in clear and over TLS,
// of 3.0 and 3.2, and beside them some that nobody cancels; while the secret is changed node by node, one node is killed and
// started anew, and one drains.
func TestClusterBehindBalancer(t *testing.T) {
	t.Parallel()
	k := newCluster(t)
	a := fake.NewAuthority(t)
	_, k.set = front(a, "allow")
	k.listen = map[int][]string{}
	for node := 1; node <= 3; node++ {
		k.listen[node] = []string{fmt.Sprintf("%s.%d:6432", k.net, node)}
		k.start(node, others(node, 3)...)
	}
	for node := 1; node <= 3; node++ {
		k.linked(node, others(node, 3)...)
	}
	b := &balanced{k: k, addr: k.balancer(), a: a, stop: make(chan struct{}), cancels: make([]atomic.Int64, 8), lost: make([]error, 8)}
	bystanders := map[int]*rider{1: k.sleeper(1, fake.V32), 2: k.sleeper(2, fake.V32)}
	var running sync.WaitGroup
	for i := range b.cancels {
		running.Go(func() {
			if b.lost[i] = b.client(i); b.lost[i] != nil {
				b.failed.Store(true)
			}
		})
	}
	all := []*gate{k.node[1], k.node[2], k.node[3]}
	all = append(all, b.upheavals(t)...)
	close(b.stop)
	running.Wait()
	if err := errors.Join(b.lost...); err != nil {
		t.Fatal(err)
	}
	for node, r := range bystanders {
		if err := stillRuns(r); err != nil {
			t.Errorf("node %d: %v", node, err)
		}
		k.shown(node, 3, r)
	}
	<-k.node[2].done
	b.judge(t, all)
}

// shown has a cancel of r, a client of one node, come by another, and looks at both for what they show of it.
func (k *cluster) shown(of, by int, r *rider) {
	k.t.Helper()
	nc, err := net.Dial("tcp", k.node[by].Addr())
	if err != nil {
		k.t.Fatal(err)
	}
	defer nc.Close()
	if err := knock(nc, r.pid, r.key); err != nil {
		k.t.Fatal(err)
	}
	k.ended(r)
	_, port, _ := net.SplitHostPort(nc.LocalAddr().String())
	row := func(at int) (found []string) {
		until(k.t, fmt.Sprintf("node %d shows it", at), func() bool {
			out := pgtest.PSQL(k.t, 18, "-X", "-At", "-d", k.node[at].DSN("postgres", "cancello"), "-c", "SHOW CANCELS")
			for line := range strings.Lines(out.Stdout) {
				if f := strings.Split(strings.TrimSuffix(line, "\n"), "|"); len(f) == 16 && f[6] == fmt.Sprint(r.pid) {
					found = f
					return true
				}
			}
			return false
		})
		return found
	}
	// time, addr, port, node, database, user, client, unit, kind, outcome, sends, ms, reason, cause, via, there
	there := row(by)
	here := there
	if of == 1 { // the other one drains, and ends with its last client
		here = row(of)
		if here[9] != "cancelled" || here[14] != fmt.Sprint(by) || here[15] != "" {
			k.t.Errorf("node %d, whose client it was, shows %q", of, here)
		}
	}
	if there[9] != "forwarded" || there[14] != "" || there[15] != "cancelled" || there[7] == "" || there[10] != "1" {
		k.t.Errorf("node %d, which read it, shows %q", by, there)
	}
	for i, want := range map[int]string{1: "127.0.0.1", 2: port, 3: fmt.Sprint(of), 4: "postgres", 5: "postgres", 7: there[7], 8: "query", 10: "1", 12: "", 13: ""} {
		if here[i] != want || there[i] != want {
			k.t.Errorf("column %d is %q at node %d and %q at node %d, want %q", i, here[i], of, there[i], by, want)
		}
	}
}

// upheavals are what becomes of the cluster, each while everybody goes on. The gates are those that were started meanwhile.
func (b *balanced) upheavals(t *testing.T) []*gate {
	t.Helper()
	k := b.k
	b.goesOn(t)
	// Every node learns the new secret as one that is good before any mints under it.
	for node := 1; node <= 3; node++ {
		k.auth[node] = fmt.Sprintf("cluster_secret = %q\ncluster_secret_previous = %q", clusterSecret, clusterSecret2)
		k.reload(node, `setting=cluster_secret_previous`)
	}
	b.goesOn(t)
	for node := 1; node <= 3; node++ {
		k.auth[node] = fmt.Sprintf("cluster_secret = %q", clusterSecret2)
		k.reload(node, `the cluster's secret is another one`)
		b.goesOn(t)
	}

	b.leaving[3].Store(true)
	b.kill(t)
	b.goesOn(t)

	// A cancel that comes to the new process before its links do waits for them, and so does one of its clients elsewhere.
	b.leaving[3].Store(false)
	k.auth[3] = fmt.Sprintf("cluster_secret = %q\ncluster_secret_previous = %q", clusterSecret2, clusterSecret) // for the keys that the others gave out before
	k.start(3, 1, 2)
	for _, node := range []int{1, 2} {
		k.node[node].AwaitLog(`(?s)msg="peer not linked: [^\n]* node=3 .*msg="peer linked" node=3 `)
	}
	b.goesOn(t)
	for _, line := range []string{
		`outcome=cancelled [^\n]* remote=\S+\n`,      // its own client's, by itself
		`outcome=cancelled [^\n]* via=[12]\n`,        // by another node
		`outcome=forwarded [^\n]* there=cancelled\n`, // another node's client's
	} {
		k.node[3].AwaitLog(line)
	}

	b.leaving[2].Store(true)
	if err := k.node[2].cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	k.node[2].AwaitLog(`msg="draining: `)
	b.goesOn(t)
	return []*gate{k.node[3]}
}

// kill kills node 3, while no cancel for a client of its is under way.
func (b *balanced) kill(t *testing.T) {
	t.Helper()
	k := b.k
	b.quiet.Lock() // everybody else's cancels go on
	for _, node := range []int{1, 2} {
		until(t, fmt.Sprintf("node %d has the outcome of all that it passed on to node 3", node), func() bool {
			out := pgtest.PSQL(t, 18, "-X", "-At", "-d", k.node[node].DSN("postgres", "cancello"), "-c", "SHOW PEERS")
			for line := range strings.Lines(out.Stdout) { // node, ..., under way, in all, failed, by it, error
				if f := strings.Split(line, "|"); f[0] == "3" && len(f) == 13 {
					return f[8] == "0"
				}
			}
			return false
		})
	}
	b.killed.Add(1)
	k.node[3].killed = true
	if err := k.node[3].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-k.node[3].done
	b.killed.Add(1)
	b.quiet.Unlock()
}

// judge looks at what the nodes say of it all.
func (b *balanced) judge(t *testing.T, all []*gate) {
	t.Helper()
	passed, none := 0, 0
	for i, g := range all {
		outcomes, _ := outcomesIn(g.Log())
		passed += len(regexp.MustCompile(` owner=[123] there=cancelled`).FindAllString(g.Log(), -1))
		waited := len(unlinked.FindAllString(g.Log(), -1)) // on the slowest of machines, for a process that was just started
		outcomes["failed"] -= waited
		none += outcomes["late"] + outcomes["idle"] + outcomes["finished"] + waited
		for _, name := range []string{"failed", "unknown_key", "forged", "malformed", "throttled", "disconnected"} {
			if n := outcomes[name]; n > 0 {
				t.Errorf("process %d: %d cancels were %s, such as this one: %s", i+1, n, name, regexp.MustCompile(`.*msg=cancel outcome=`+name+` .*`).FindString(g.Log()))
			}
		}
		if strings.Contains(g.Log(), "hunter2") {
			t.Errorf("the secret is in the log of process %d", i+1)
		}
	}
	var total int64
	for i := range b.cancels {
		total += b.cancels[i].Load()
	}
	t.Logf("%d cancels, %d of them passed on, %d sent again, %d that ended nothing", total, passed, b.repeats.Load(), none)
	if passed < int(total)/4 {
		t.Errorf("only %d of %d were passed on: the balancer balances nothing", passed, total)
	}
	// One that was read within a round trip of the end of the query before, as the slowest of machines has it, may be taken for
	// that one's, which a node says. For another reason none has to be sent again.
	if n := b.repeats.Load(); n > min(int64(none), maxRepeats) {
		t.Errorf("%d of %d cancels were sent again, and the nodes know of %d that ended nothing", n, total, none)
	}
}

// goesOn waits until each client has had some queries cancelled.
func (b *balanced) goesOn(t *testing.T) {
	t.Helper()
	for i := range b.cancels {
		before := b.cancels[i].Load()
		until(t, fmt.Sprintf("client %d goes on", i), func() bool { return b.cancels[i].Load() >= before+2 || b.failed.Load() })
	}
}

// client comes, and has its queries cancelled, until all end. Its number says whether it speaks TLS, and which protocol.
func (b *balanced) client(number int) error {
	var r *rider
	for n := 0; ; n++ {
		select {
		case <-b.stop:
			if r != nil {
				r.Close()
			}
			return nil
		default:
		}
		if r != nil && n%staysFor == 0 {
			_ = r.put(fake.Msg('X'))
			r.Close()
			r = nil
		}
		if r == nil {
			var err error
			if r, err = b.login(number); err != nil {
				if b.leaving[3].Load() || strings.Contains(err.Error(), "login refused: 57P03") && b.leaving[2].Load() {
					continue // where nobody gets in, no client goes on
				}
				return fmt.Errorf("client %d: %w", number, err)
			}
		}
		err := b.cancelOnce(number, n, r)
		switch node := owner(r); {
		case err == nil:
		case b.leaving[node].Load(), b.dead(r):
			r.Close()
			r = nil
		default:
			return fmt.Errorf("client %d of node %d, cancel %d: %w", number, node, n, r.over(err))
		}
	}
}

// owner is the node that gave r its key.
func owner(r *rider) uint16 {
	node, _, _ := key.Split(r.pid)
	return node
}

func (b *balanced) login(number int) (*rider, error) {
	r, err := rideBalanced(b.addr, b.a, number/2%2 == 1)
	if err != nil {
		return nil, err
	}
	born := b.killed.Load()
	if r, err = r.login([]uint32{fake.V30, fake.V32}[number%2], "postgres", "postgres"); err == nil {
		b.born.Store(r, born)
	}
	return r, err
}

// dead tells whether the process that r logged in to was killed, or perhaps was, or is being.
func (b *balanced) dead(r *rider) bool {
	born, _ := b.born.Load(r)
	return owner(r) == 3 && born != b.killed.Load()
}

// cancelOnce has a query of a length of its own cancelled, and finds the next one unharmed.
func (b *balanced) cancelOnce(number, n int, r *rider) error {
	if err := r.put(fake.Query(fmt.Sprintf("DO $$BEGIN PERFORM pg_sleep(0.1); RAISE NOTICE 'begun'; PERFORM pg_sleep(%d.%d); END$$", 300+number, n))); err != nil {
		return err
	}
	if m, err := r.next(); err != nil || m.Type != 'N' {
		return fmt.Errorf("%c %s instead of a NOTICE, %w", m.Type, m.Field('C'), err)
	}
	if err := b.untilCancelled(number/2%2 == 1 && n%2 == 0, r); err != nil {
		return err
	}
	b.cancels[number].Add(1)
	if got, err := r.query(fmt.Sprintf("SELECT %d", n)); err != nil || got.code != "" || len(got.rows) != 1 || got.rows[0] != fmt.Sprint(n) {
		return fmt.Errorf("the query behind it: %+v, %w", got, err)
	}
	return nil
}

// settled waits until a process that is being killed is gone, so that the next cancel is not in it as well, and tells whether
// the query is over by then.
func (b *balanced) settled(over <-chan struct{}) bool {
	b.quiet.RLock()
	defer b.quiet.RUnlock()
	select {
	case <-over:
		return true
	default:
		return false
	}
}

// untilCancelled cancels r's query, and again every 5 seconds as long as it runs, which is counted. One that may have been in
// a process that was killed is sent again at once, which is not.
func (b *balanced) untilCancelled(encrypted bool, r *rider) error {
	over, knocked := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			before := b.killed.Load()
			err := b.knock(encrypted, r)
			if before%2 != 0 || b.killed.Load() != before {
				if !b.settled(over) {
					continue
				}
				err = nil // however that ended
			}
			select {
			case <-over:
			case <-time.After(5 * time.Second):
				if err == nil {
					if b.repeats.Add(1) > maxRepeats {
						b.failed.Store(true) // it need not go on
					}
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

// knock sends one CancelRequest, unless who would be meant may be gone.
func (b *balanced) knock(encrypted bool, r *rider) error {
	if owner(r) == 3 {
		b.quiet.RLock()
		defer b.quiet.RUnlock()
		if b.leaving[3].Load() || b.dead(r) {
			return nil
		}
	}
	c, err := rideBalanced(b.addr, b.a, encrypted)
	if err != nil {
		return err
	}
	return c.over(knock(c.Conn, r.pid, r.key))
}
