package pgtest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"cancello/internal/postgres"
)

// Option asks for a cluster of one's own that differs from the shared one.
type Option func(*postgres.Options)

// Private asks for a cluster of one's own, the same otherwise: to kill it, or to count what is in it.
func Private() Option { return func(*postgres.Options) {} }

// Settings are set in the cluster's postgresql.conf.
func Settings(settings map[string]string) Option {
	return func(o *postgres.Options) {
		if o.Settings == nil {
			o.Settings = map[string]string{}
		}
		maps.Copy(o.Settings, settings)
	}
}

// Auth is how clients prove over TCP who they are; over the Unix socket they are trusted.
func Auth(auth postgres.Auth) Option { return func(o *postgres.Options) { o.Auth = auth } }

// Files are put into the cluster's data folder, as certificates that its settings name.
func Files(files map[string][]byte) Option {
	return func(o *postgres.Options) { o.Files = files }
}

// HBA is the cluster's whole pg_hba.conf.
func HBA(rules string) Option { return func(o *postgres.Options) { o.HBA = rules } }

// clusters are those that the tests of one binary share.
type clusters struct {
	mu      sync.Mutex
	open    bool // TestMain runs, so that somebody will stop them
	byMajor map[int]*entry
}

type entry struct {
	once    sync.Once
	cluster *postgres.Cluster
	err     error
}

// shared is the one piece of state outside a test: what is to outlive a test has no other place.
var shared = &clusters{byMajor: map[int]*entry{}}

// Start gives a running PostgreSQL of the major version. Without options it is shared by all tests of the binary:
// leave its settings alone and take names of your own in it. With options it is the test's own and stops with it.
// The superuser is postgres, the database postgres. Where the version is missing the test is skipped, or fails
// under CI.
func Start(t testing.TB, major int, opts ...Option) *postgres.Cluster {
	t.Helper()
	in := find(t, major)
	if len(opts) == 0 {
		c, err := shared.get(in)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	o := postgres.Options{Install: in, Template: true}
	for _, opt := range opts {
		opt(&o)
	}
	c, err := postgres.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of PostgreSQL %d's log:\n%s", major, End(c.Log()))
		}
		if err := c.Stop(); err != nil {
			t.Errorf("stop PostgreSQL %d: %v", major, err)
		}
	})
	return c
}

// End is the end of a log, as much of it as helps who reads of a failed test, and does not hide what failed.
func End(log string) string {
	const enough = 30
	lines := strings.SplitAfter(log, "\n")
	return strings.Join(lines[max(0, len(lines)-enough):], "")
}

func find(t testing.TB, major int) postgres.Install {
	t.Helper()
	in, err := postgres.Find(major)
	if err != nil {
		Missing(t, err.Error())
	}
	return in
}

// Missing ends a test that lacks a piece: it is skipped, or fails where CI is set.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("missing, and CI is set: %s", what)
	}
	t.Skipf("missing: %s", what)
}

func (s *clusters) get(in postgres.Install) (*postgres.Cluster, error) {
	s.mu.Lock()
	if !s.open {
		s.mu.Unlock()
		return nil, errors.New("a shared PostgreSQL needs func TestMain(m *testing.M) { pgtest.Main(m) } in this package, or it would never be removed")
	}
	e := s.byMajor[in.Major]
	if e == nil {
		e = &entry{}
		s.byMajor[in.Major] = e
	}
	s.mu.Unlock()
	// Not under the mutex: the versions start side by side. Not under a test's context: it outlives the test.
	e.once.Do(func() {
		e.cluster, e.err = postgres.New(context.Background(), postgres.Options{Install: in, Template: true})
	})
	return e.cluster, e.err
}

func (s *clusters) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = false
	var err error
	for major, e := range s.byMajor {
		if e.cluster != nil {
			err = errors.Join(err, e.cluster.Stop())
		}
		delete(s.byMajor, major)
	}
	return err
}

// Runner is what a TestMain runs: *testing.M, and what Around makes of it.
type Runner interface{ Run() int }

type around struct{ inner Runner }

// Around makes a Runner that stops the shared clusters after the tests. goleak.VerifyTestMain takes it, and then
// finds no goroutine that waits for a server.
func Around(m Runner) Runner { return around{m} }

// Run runs the tests and then stops the shared clusters.
func (a around) Run() int {
	shared.mu.Lock()
	shared.open = true
	shared.mu.Unlock()
	code := a.inner.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the shared PostgreSQL:", err)
		code = max(code, 1)
	}
	return code
}

// Beside lets n parallel tests run at a time, unless -parallel says how many: for tests that wait most of the time, so
// that the number of cores says little. It is called before Main.
func Beside(n int) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
			panic(err)
		}
	}
}

// Main is the whole of a TestMain.
func Main(m *testing.M) { os.Exit(Around(m).Run()) }
