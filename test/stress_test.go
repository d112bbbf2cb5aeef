package test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cancello/internal/engine"
	"cancello/internal/event"
	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

// The stress: so many clients cancel their own short queries near the end, and so many that never cancel work beside
// them, on fewer servers than there are of either.
const (
	stressCancellers = 4
	stressBystanders = 6
	stressPool       = 3
	stressCancels    = 2000
)

// stressLimit ends a stress that hangs or crawls.
const stressLimit = 90 * time.Second

// How long a unit may run on behind the EOF of its cancel (F4). What runs for longer than slowAfter was perhaps held up by what
// else the machine does, of which there is to be little (one in slowShare); the cancel of what runs for longer than
// lostAfter, as one in ten would if nobody ended it, was lost.
const (
	slowAfter = 50 * time.Millisecond
	slowShare = 500
	lostAfter = time.Second
)

// The stress at scale: nobody but the one who is meant is ever hit, and who is meant is.
func TestStress(t *testing.T) {
	n := stressCancels
	if s := os.Getenv("CANCELLO_STRESS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1 {
			t.Fatalf("CANCELLO_STRESS=%q is not a number of cancels", s)
		}
	} else if testing.Short() {
		n /= 10
	}
	for _, major := range majors {
		t.Run(strconv.Itoa(major), func(t *testing.T) {
			t.Parallel()
			c := pgtest.Start(t, major)
			database := fmt.Sprintf("stress_%d", major)
			superuser(t, c, "CREATE DATABASE "+database)
			g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "")}, mode: "transaction", size: stressPool})
			s := newStress(g.Addr(), database, uint64(major))
			s.run(t, n, stressLimit*time.Duration(1+n/(2*stressCancels)))

			until(t, "an outcome in the log for each cancel", func() bool {
				_, total := outcomesIn(g.Log())
				return total >= s.cancels
			})
			outcomes, total := outcomesIn(g.Log())
			s.report(t, fmt.Sprintf("PostgreSQL %d", major), outcomes)
			if total != s.cancels {
				t.Errorf("%d cancels, %d outcomes", s.cancels, total)
			}
			if outcomes["cancelled"] != s.hits {
				t.Errorf("%d units ended by a cancel, and %d outcomes say so", s.hits, outcomes["cancelled"])
			}
			if s.cancels < n || s.hits == 0 || s.hits == s.cancels {
				t.Errorf("no stress: %d cancels of %d, %d hits", s.cancels, n, s.hits)
			}
			for _, x := range s.strays {
				t.Errorf("stray: %s", x)
			}
			for _, x := range s.lost {
				t.Errorf("lost: %s", x)
			}
			if len(s.slow) > 1+s.cancels/slowShare {
				t.Errorf("%d units of %d ran on behind the EOF of their cancel: %v", len(s.slow), s.cancels, s.slow)
			}
			if got := superuser(t, c, "SELECT current_setting('server_version_num')::int / 10000"); got != strconv.Itoa(major) {
				t.Errorf("stressed PostgreSQL %s, not %d", got, major)
			}
		})
	}
}

// The control: the same stress on a gate that does not await the EOF of its cancels, or has no fence at all, has to hit
// somebody on PostgreSQL 15, which signals twice. If it can't, the zero above means nothing (F3).
func TestStressFindsBugs(t *testing.T) {
	const most = 3000
	for name, bug := range map[string]engine.Bug{"EOF not awaited": engine.BugIgnoreEOF, "no fence": engine.BugNoFence} {
		t.Run(name, func(t *testing.T) {
			c := pgtest.Start(t, 15)
			database := fmt.Sprintf("stress_bug_%d", bug)
			superuser(t, c, "CREATE DATABASE "+database)
			g := startInProcess(t, gateOptions{upstreams: []string{upstream(c, "postgres", "")}, mode: "transaction", size: stressPool}, bug)
			s := newStress(g.Addr(), database, uint64(bug))
			s.enough = func() bool { return len(s.strays) > 0 }
			s.run(t, most, stressLimit)
			outcomes := map[string]int{}
			for o, n := range g.Counts() {
				outcomes[event.Outcome(o).String()] = int(n)
			}
			s.report(t, name, outcomes)
			if len(s.strays) == 0 {
				t.Errorf("%d cancels with a deliberate bug hit nobody: the stress can't find what it is for", s.cancels)
			}
		})
	}
}

// outcomeLine is the line that Cancello writes for each cancel.
var outcomeLine = regexp.MustCompile(`msg=cancel outcome=(\w+)`)

// outcomesIn counts the outcomes in a log.
func outcomesIn(log string) (outcomes map[string]int, total int) {
	outcomes = map[string]int{}
	for _, m := range outcomeLine.FindAllStringSubmatch(log, -1) {
		outcomes[m[1]]++
		total++
	}
	return outcomes, total
}

// stress is one run of it.
type stress struct {
	addr, database string
	seed           uint64
	enough         func() bool // ends it early; called with mu held; nil: it goes to its end

	left atomic.Int64  // cancels still to be sent
	stop chan struct{} // closed when bystanders may go

	mu       sync.Mutex
	cancels  int
	hits     int // cancels that ended what they were meant for
	probes   int // own next units, none of which was cancelled
	bystands int // units of those who never cancel
	commits  int // transactions of theirs that were committed
	strays   []string
	lost     []string
	slow     []string // how long behind
	errs     []error
}

func newStress(addr, database string, seed uint64) *stress {
	return &stress{addr: addr, database: database, seed: seed, stop: make(chan struct{})}
}

// run sends n cancels, unless it has enough before, and waits for all clients to finish.
func (s *stress) run(t *testing.T, n int, limit time.Duration) {
	t.Helper()
	setup, err := ride(s.addr, fake.V30, "postgres", s.database)
	if err != nil {
		t.Fatal(err)
	}
	defer setup.Close()
	if a, err := setup.query("CREATE TABLE ledger (n int)"); err != nil || a.code != "" {
		t.Fatal(a, err)
	}
	s.left.Store(int64(n))
	began := time.Now()
	var cancellers, bystanders sync.WaitGroup
	for i := range stressCancellers {
		cancellers.Go(func() { s.note(s.canceller(i)) })
	}
	for i := range stressBystanders {
		bystanders.Go(func() { s.note(s.bystander(i)) })
	}
	end := time.AfterFunc(limit, func() {
		s.note(fmt.Errorf("%d cancels were still to be sent after %s", s.left.Swap(0), limit))
	})
	cancellers.Wait()
	end.Stop()
	close(s.stop)
	bystanders.Wait()
	t.Logf("%.1f s", time.Since(began).Seconds())
	if err := errors.Join(s.errs...); err != nil {
		t.Fatal(err)
	}
	if len(s.strays) > 0 {
		return // one that hits a BEGIN leaves the INSERT behind it alone
	}
	a, err := setup.query("SELECT count(*) FROM ledger")
	if err != nil || len(a.rows) != 1 || a.rows[0] != strconv.Itoa(s.commits) {
		t.Errorf("%d transactions were acknowledged as committed, the table has %q: %v", s.commits, a.rows, err)
	}
}

// report prints what a reader wants to quote.
func (s *stress) report(t *testing.T, what string, outcomes map[string]int) {
	t.Helper()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(outcomes)) {
		if outcomes[name] > 0 {
			fmt.Fprintf(&b, " %s %d", name, outcomes[name])
		}
	}
	t.Logf("%s: cancels %d, hits %d, strays %d, lost %d, slow %d; own next units %d, bystanders' units %d, commits %d; outcomes:%s",
		what, s.cancels, s.hits, len(s.strays), len(s.lost), len(s.slow), s.probes, s.bystands, s.commits, &b)
}

// note keeps an error, which ends the run.
func (s *stress) note(err error) {
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
	s.left.Store(0)
}

// count changes the figures.
func (s *stress) count(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	if s.enough != nil && s.enough() {
		s.left.Store(0)
	}
}

// aim is a unit that is to be cancelled, and when: counted from the moment it has visibly begun.
type aim struct {
	unit  []byte
	after time.Duration
}

// takeAim chooses a unit. Most cancels come around the end, where they can miss to either side; some in the middle,
// and some for a unit so long that it ends by its cancel or not at all.
func takeAim(r *rand.Rand) aim {
	length := 4*time.Millisecond + time.Duration(r.Int64N(int64(9*time.Millisecond)))
	after := length - 3*time.Millisecond + time.Duration(r.Int64N(int64(5*time.Millisecond)))
	work := fmt.Sprintf("PERFORM pg_sleep(%.6f)", length.Seconds())
	switch r.IntN(10) {
	case 0: // of which the end is not known
		work = fmt.Sprintf("PERFORM count(*) FROM generate_series(1, %d)", 10000+r.IntN(40000))
		after = time.Duration(r.Int64N(int64(8 * time.Millisecond)))
	case 1, 2:
		after = time.Duration(r.Int64N(int64(length)))
	case 3:
		work = "PERFORM pg_sleep(3)"
	}
	sql := "DO $$ BEGIN RAISE NOTICE 'begun'; " + work + "; END $$"
	if r.IntN(2) == 0 {
		return aim{fake.Query(sql), after}
	}
	return aim{batch(sql), after}
}

// canceller cancels units of its own, and sends a next one that must not be hit.
func (s *stress) canceller(i int) error {
	r := rand.New(rand.NewPCG(s.seed, uint64(i)))
	version := uint32(fake.V30)
	if i%2 == 1 {
		version = fake.V32
	}
	c, err := ride(s.addr, version, "postgres", s.database)
	if err != nil {
		return err
	}
	defer c.Close()
	for s.left.Add(-1) >= 0 {
		if err := s.cancelOne(c, takeAim(r)); err != nil {
			return fmt.Errorf("canceller %d: %w", i, err)
		}
	}
	return c.put(fake.Msg('X'))
}

// cancelOne cancels one unit and then sends its next.
func (s *stress) cancelOne(c *rider, a aim) error {
	nc, err := net.Dial("tcp", s.addr) // ahead, so that the request itself goes out when it should
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := c.put(a.unit); err != nil {
		return err
	}
	if before, err := c.until('N'); err != nil || strings.ContainsAny(before.types, "ECZ") {
		return fmt.Errorf("a unit did not begin: %q %s: %w", before.types, before.text, err)
	}
	type heard struct {
		at  time.Time
		err error
	}
	eof := make(chan heard, 1)
	time.AfterFunc(a.after, func() {
		err := knock(nc, c.pid, c.key)
		eof <- heard{time.Now(), err}
	})
	got, err := c.until('Z')
	if err != nil {
		return err
	}
	hit := got.code == "57014"
	if got.code != "" && !hit {
		return fmt.Errorf("a unit ended with %s %s", got.code, got.text)
	}
	// Where the unit was hit its one cancel is used up, and the next unit goes out at once, EOF or not. Where it was
	// not, the cancel may still be on its way to the gate, and then it would mean the next.
	if hit {
		err = s.probe(c)
	}
	h := <-eof
	if err = errors.Join(err, h.err); err != nil {
		return err
	}
	if !hit {
		err = s.probe(c)
	}
	s.count(func() {
		s.cancels++
		switch {
		case hit:
			s.hits++
		case got.ended.Sub(h.at) > lostAfter:
			s.lost = append(s.lost, fmt.Sprintf("client pid %d: the unit ran for %s behind the EOF of its cancel", c.pid, got.ended.Sub(h.at)))
		case got.ended.Sub(h.at) > slowAfter:
			s.slow = append(s.slow, fmt.Sprint(got.ended.Sub(h.at)))
		}
	})
	return err
}

// probe is the next unit of one who has cancelled: nothing was sent that could mean it.
func (s *stress) probe(c *rider) error {
	a, err := c.query("SELECT 'next' FROM pg_sleep(0.003)")
	if err != nil {
		return err
	}
	if a.code != "" && a.code != "57014" || a.code == "" && !slices.Equal(a.rows, []string{"next"}) {
		return fmt.Errorf("the next unit was answered %q %s %s", a.types, a.code, a.text)
	}
	s.count(func() {
		s.probes++
		if a.code == "57014" {
			s.strays = append(s.strays, fmt.Sprintf("the next unit of the client with pid %d", c.pid))
		}
	})
	return nil
}

// bystander works and never cancels.
func (s *stress) bystander(i int) error {
	r := rand.New(rand.NewPCG(s.seed, 1000+uint64(i)))
	c, err := ride(s.addr, fake.V30, "postgres", s.database)
	if err != nil {
		return err
	}
	defer c.Close()
	for n := 0; ; n++ {
		select {
		case <-s.stop:
			return c.put(fake.Msg('X'))
		default:
		}
		if err := s.work(c, r.IntN(4), fmt.Sprintf("%d/%d", i, n)); err != nil {
			return fmt.Errorf("bystander %d: %w", i, err)
		}
	}
}

// work is one piece of a bystander's: in it nothing may fail, and the answer is to be its own.
func (s *stress) work(c *rider, kind int, tag string) error {
	sql := "SELECT '" + tag + "' FROM pg_sleep(0.002)"
	units, err := [][]byte{fake.Query(sql)}, error(nil)
	switch kind {
	case 0:
		units = [][]byte{batch(sql)}
	case 1:
		units = [][]byte{fake.Query("SELECT '" + tag + "', count(*) FROM generate_series(1, 5000)")}
	case 2:
		units = [][]byte{fake.Query("BEGIN"), fake.Query("INSERT INTO ledger VALUES (1)"), fake.Query(sql), fake.Query("COMMIT")}
	}
	if err = c.put(units...); err != nil {
		return err
	}
	var rows []string
	var failed reply
	for range units {
		a, err := c.until('Z')
		if err != nil {
			return err
		}
		if a.code != "" && failed.code == "" {
			failed = a
		}
		rows = append(rows, a.rows...)
	}
	switch {
	case failed.code != "" && failed.code != "57014":
		return fmt.Errorf("%s %s", failed.code, failed.text)
	case failed.code == "" && !slices.Equal(rows, []string{tag}):
		return fmt.Errorf("somebody else's answer: %q to %q", rows, tag)
	}
	s.count(func() {
		s.bystands += len(units)
		switch {
		case failed.code != "":
			s.strays = append(s.strays, "bystander "+tag)
		case kind == 2:
			s.commits++
		}
	})
	return nil
}
