package test

import (
	"bufio"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

// takeovers is how often a new process takes the place of the one before while the load goes on.
const takeovers = 20

// succession is a gate that is replaced again and again, under one address.
type succession struct {
	t     *testing.T
	o     gateOptions
	first *gate
	all   []*gate
	at    string // takeover_socket
	unix  string // the socket beside its TCP address
	tls   *tls.Config
	marks []string // of each process, by which its keys of protocol 3.2 are told
}

// newSuccession starts the first process.
func newSuccession(t *testing.T, major int) *succession {
	t.Helper()
	c := pgtest.Start(t, major)
	a := fake.NewAuthority(t)
	dir := t.TempDir()
	_, set := front(a, "allow")
	s := &succession{t: t, at: filepath.Join(dir, "takeover"), unix: filepath.Join(dir, ".s.PGSQL.6432"), tls: &tls.Config{RootCAs: a.Pool, ServerName: "127.0.0.1"}}
	s.o = gateOptions{
		upstreams: []string{upstream(c, "postgres", "postgres") + "?sslmode=disable"}, mode: "transaction", size: 5,
		set: append(set, "takeover_socket="+s.at), listen: []string{dir + ":6432"},
	}
	s.first = startGate(t, s.o)
	s.all, s.marks = []*gate{s.first}, []string{s.mark()}
	s.o.flags = []string{"--takeover"}
	return s
}

// mark is the incarnation of the process in service: where its takeover_socket leads.
func (s *succession) mark() string {
	s.t.Helper()
	to, err := os.Readlink(s.at)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimPrefix(filepath.Ext(to), ".")
}

// next starts another process in the place of the last one.
func (s *succession) next() {
	s.t.Helper()
	g := startGate(s.t, s.o)
	if g.address != s.first.address {
		s.t.Fatalf("it listens on %s, and not on %s", g.Addr(), s.first.Addr())
	}
	s.all = append(s.all, g)
}

// ways are how a client may come.
const (
	byTCP = iota
	byTLS
	byUnix
	ways
)

// dial opens a connection in one of the ways.
func (s *succession) dial(way int) (net.Conn, error) {
	if way == byUnix {
		return net.DialTimeout("unix", s.unix, patience)
	}
	nc, err := net.DialTimeout("tcp", s.first.Addr(), patience)
	if err != nil || way == byTCP {
		return nc, err
	}
	nc.SetDeadline(time.Now().Add(patience))
	answer := make([]byte, 1)
	if _, err = nc.Write(fake.Msg(0, uint32(sslCode))); err == nil {
		_, err = io.ReadFull(nc, answer)
	}
	if err == nil && answer[0] != 'S' {
		err = fmt.Errorf("SSLRequest is answered %q", answer)
	}
	c := tls.Client(nc, s.tls)
	if err == nil {
		err = c.Handshake()
	}
	if err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	return c, nil
}

// sslCode is SSLRequest's.
const sslCode = 80877103

// enter logs in by one of the ways.
func (s *succession) enter(way int, version uint32) (*rider, error) {
	nc, err := s.dial(way)
	if err != nil {
		return nil, err
	}
	c := &rider{Conn: nc, r: bufio.NewReader(nc)}
	return c.login(version, "postgres", "postgres")
}

// errLeave: the process that a client is in drains, and has told it to go. It was at nothing.
var errLeave = errors.New("57P01")

// leaving makes errLeave of an answer, or of what there was instead of one.
func leaving(a reply, err error) error {
	if a.code == "57P01" && err != nil {
		return errLeave
	}
	return err
}

// traffic is the load.
type traffic struct {
	*succession
	stop chan struct{}

	mu      sync.Mutex
	errs    []error
	begun   int       // takeovers
	settled [ways]int // clients that came and were served while no takeover was going on
	logins  [ways]int
	cancels int // that hit
	across  int // of these, to clients of a process that had been replaced
	told    int // clients told to go
	queries int
	strays  []string
}

func (s *traffic) note(err error) {
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}

func (s *traffic) count(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// until repeats work until the load ends or it fails.
func (s *traffic) until(what string, i int, work func(r *rand.Rand) error) {
	r := rand.New(rand.NewPCG(uint64(len(what)), uint64(i)))
	for {
		select {
		case <-s.stop:
			return
		default:
		}
		if err := work(r); errors.Is(err, errLeave) {
			s.count(func() { s.told++ })
		} else if err != nil {
			s.note(fmt.Errorf("%s %d: %w", what, i, err))
			return
		}
	}
}

// goesOn waits until everybody has got something done.
func (s *traffic) goesOn(t *testing.T) {
	t.Helper()
	var cancels, queries int
	var logins [ways]int
	s.count(func() { cancels, queries, logins = s.cancels, s.queries, s.logins })
	until(t, "the load goes on", func() (ok bool) {
		s.count(func() {
			ok = len(s.errs) > 0 || s.cancels > cancels && s.queries > queries+10
			for way := range ways {
				ok = ok && (len(s.errs) > 0 || s.logins[way] > logins[way])
			}
		})
		return ok
	})
}

// state is how many takeovers have begun and how many processes have said that they serve.
func (s *traffic) state() (begun, served int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun, len(s.all)
}

// open is a client that comes, asks once, and leaves. Where it comes when a process has said that it serves, it is that one's,
// or a later one's, and told to go only if there is a later one.
func (s *traffic) open(way int, r *rand.Rand) error {
	before, served := s.state()
	err := s.visit(way, version(r), served)
	after, _ := s.state()
	if before != served-1 || after != before {
		return err
	}
	if errors.Is(err, errLeave) {
		return fmt.Errorf("a client (way %d) that came when process %d served was told to go, and no other one had begun to take over: %w", way, served-1, errLost)
	}
	if err == nil {
		s.count(func() { s.settled[way]++ })
	}
	return err
}

// errLost: a client was an old process's that could not be.
var errLost = errors.New("it was let in by a process that had been taken over from")

// visit is what it does. So many processes had said that they serve.
func (s *traffic) visit(way int, version uint32, served int) error {
	c, err := s.enter(way, version)
	if err != nil {
		return fmt.Errorf("a new connection (way %d): %w", way, err)
	}
	defer c.Close()
	s.count(func() { s.logins[way]++ })
	if version == fake.V32 {
		var is int
		s.count(func() { is = slices.Index(s.marks, hex.EncodeToString(c.key[4:8])) })
		if is >= 0 && is < served-1 { // not there: it is not known yet that it serves
			return fmt.Errorf("a new connection (way %d) that came when process %d served is of process %d: %w", way, served-1, is, errLost)
		}
	}
	return s.ask(c, "opened")
}

// ask sends a query that nobody cancels.
func (s *traffic) ask(c *rider, tag string) error {
	sent := c.put(fake.Query("SELECT '" + tag + "' FROM pg_sleep(0.01)"))
	a, err := c.until('Z') // where it could not be sent, what had come before says why
	if err = leaving(a, err); err != nil {
		return errors.Join(sent, err)
	}
	switch {
	case a.code == "57014":
		s.count(func() { s.strays = append(s.strays, tag) })
	case a.code != "" || !slices.Equal(a.rows, []string{tag}):
		return fmt.Errorf("the query %q is answered %q %s %s %q", tag, a.types, a.code, a.text, a.rows)
	}
	s.count(func() { s.queries++ })
	return nil
}

func version(r *rand.Rand) uint32 {
	if r.IntN(2) == 0 {
		return fake.V30
	}
	return fake.V32
}

// cancel is a client that has a query of its own cancelled that ends no other way, now or some takeovers later.
func (s *traffic) cancel(i int, r *rand.Rand) error {
	c, err := s.enter(r.IntN(ways), version(r))
	if err != nil {
		return fmt.Errorf("a new connection: %w", err)
	}
	defer c.Close()
	for n := range 3 {
		sent := c.put(fake.Query("DO $$ BEGIN RAISE NOTICE 'begun'; PERFORM pg_sleep(3600); END $$"))
		begun, err := c.until('N')
		if err = leaving(begun, err); err != nil {
			return errors.Join(sent, err)
		}
		before := s.served()
		select {
		case <-time.After(time.Duration(r.IntN(300)) * time.Millisecond):
		case <-s.stop:
		}
		nc, err := s.dial(r.IntN(ways))
		if err != nil {
			return fmt.Errorf("a cancel's connection: %w", err)
		}
		if err := errors.Join(knock(nc, c.pid, c.key), nc.Close()); err != nil {
			return err
		}
		a, err := c.until('Z')
		if err != nil || a.code != "57014" {
			return fmt.Errorf("the cancel of a query that had begun is lost, or late: %q %s %s: %w", a.types, a.code, a.text, err)
		}
		s.count(func() {
			s.cancels++
			if s.servedNow() != before {
				s.across++
			}
		})
		if err := s.ask(c, fmt.Sprintf("canceller %d/%d", i, n)); err != nil {
			return err
		}
	}
	return nil
}

// served is how many processes have begun to serve.
func (s *traffic) served() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.servedNow()
}

func (s *traffic) servedNow() int { return len(s.all) }

// stand is a client that works for a while and cancels nothing.
func (s *traffic) stand(i int, r *rand.Rand) error {
	c, err := s.enter(r.IntN(ways), version(r))
	if err != nil {
		return fmt.Errorf("a new connection: %w", err)
	}
	defer c.Close()
	for n := range 100 {
		if err := s.ask(c, fmt.Sprintf("bystander %d/%d", i, n)); err != nil {
			return err
		}
	}
	return nil
}

// Under a load of new connections, queries and cancels one process after the other takes the place of the one before:
// no connection is refused or reset, every cancel of a query that had begun ends it wherever it lands, and no other query.
func TestTakeovers(t *testing.T) {
	s := &traffic{succession: newSuccession(t, 18), stop: make(chan struct{})}
	var load sync.WaitGroup
	for way := range ways {
		load.Go(func() { s.until("opener", way, func(r *rand.Rand) error { return s.open(way, r) }) })
	}
	for i := range 4 {
		load.Go(func() { s.until("canceller", i, func(r *rand.Rand) error { return s.cancel(i, r) }) })
	}
	for i := range 2 {
		load.Go(func() { s.until("bystander", i, func(r *rand.Rand) error { return s.stand(i, r) }) })
	}
	for n := range takeovers {
		if n%2 == 0 { // the next one comes at once
			s.goesOn(t)
		}
		s.count(func() { s.begun++ })
		g := startGate(t, s.o)
		if g.address != s.first.address {
			t.Errorf("it listens on %s, and not on %s", g.Addr(), s.first.Addr())
		}
		mark := s.mark()
		s.count(func() { s.all, s.marks = append(s.all, g), append(s.marks, mark) })
	}
	s.goesOn(t)
	close(s.stop)
	load.Wait()
	if err := errors.Join(s.errs...); err != nil {
		t.Error(err)
	}
	if len(s.strays) > 0 {
		t.Errorf("hit by somebody's cancel: %q", s.strays)
	}
	for i, g := range s.all[:len(s.all)-1] {
		select {
		case <-g.done:
		case <-time.After(patience):
			t.Errorf("process %d has not ended, and its last client has left", i)
		}
	}
	if s.cancels == 0 || s.across == 0 || s.queries == 0 || slices.Contains(s.logins[:], 0) || slices.Contains(s.settled[:], 0) {
		t.Errorf("too little was tried: %d cancels, %d of them across a takeover, %d queries, logins %v, %v between takeovers", s.cancels, s.across, s.queries, s.logins, s.settled)
	}
	t.Logf("%d takeovers: logins in clear, over TLS and Unix %v, between takeovers %v, %d queries, %d cancels, %d of them across a takeover; %d clients told to go",
		takeovers, s.logins, s.settled, s.queries, s.cancels, s.across, s.told)
	left, err := filepath.Glob(filepath.Dir(s.unix) + "/takeover.*")
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A new process that cannot start leaves the one that runs as it was.
func TestTakeoverThatFails(t *testing.T) {
	s := newSuccession(t, 18)
	c, err := s.enter(byTCP, fake.V32)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	broken := filepath.Join(t.TempDir(), "broken.toml")
	if err := os.WriteFile(broken, []byte("listen = 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for name, edit := range map[string]func(*gateOptions){
		"a broken file":  func(o *gateOptions) { o.file = broken },
		"a port in use":  func(o *gateOptions) { o.listen = append(slices.Clone(o.listen), busy.Addr().String()) },
		"another node":   func(o *gateOptions) { o.set = append(slices.Clone(o.set), "node=3") },
		"no permissions": func(o *gateOptions) { o.set = append(slices.Clone(o.set), "unix_socket_group=no such group") },
	} {
		o := s.o
		edit(&o)
		if out, err := o.command(t).CombinedOutput(); err == nil {
			t.Errorf("%s: it started: %s", name, out)
		}
		for way := range ways {
			n, err := s.enter(way, fake.V30)
			if err != nil {
				t.Fatalf("after %s: %v", name, err)
			}
			n.Close()
		}
		if a, err := c.query("SELECT 1"); err != nil || a.code != "" {
			t.Errorf("after %s a client that was in is answered %+v, %v", name, a, err)
		}
	}
	s.next()
	s.first.AwaitLog("takeover: another process is in service now")
}
