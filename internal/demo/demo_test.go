package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cancello/internal/postgres"
	"cancello/internal/wire"

	"go.uber.org/goleak"
)

// childEnv makes the test binary be `cancello demo`, with the arguments in its value.
const childEnv = "CANCELLO_TEST_DEMO"

func TestMain(m *testing.M) {
	if args, ok := os.LookupEnv(childEnv); ok {
		os.Exit(child(strings.Fields(args)))
	}
	goleak.VerifyTestMain(m)
}

func child(args []string) int {
	cmd := Command()
	cmd.SilenceUsage = true
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(context.Background()); err != nil {
		return 1
	}
	return 0
}

func install(t *testing.T, major int) postgres.Install {
	t.Helper()
	in, err := postgres.Find(major)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("missing, and CI is set: %v", err)
		}
		t.Skipf("missing: %v", err)
	}
	return in
}

// transcript is a screen that can be read, and that does something when a text appears on it.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
	when string
	do   func()
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	s.text.Write(p)
	var do func()
	if s.when != "" && strings.Contains(s.text.String(), s.when) {
		do, s.when = s.do, ""
	}
	s.mu.Unlock()
	if do != nil {
		do()
	}
	return len(p), nil
}

// String is what is on it, in one line.
func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(strings.Fields(s.text.String()), " ")
}

// remains is what a demo may leave behind: the PostgreSQL that a process has started, and its folder.
type remains struct {
	pid    int
	folder string
	port   string
}

// look finds the PostgreSQL of a process while it runs.
func look(t *testing.T, owner int) remains {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, stat := range stats {
		b, err := os.ReadFile(stat)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if fields := strings.Fields(rest); len(fields) < 2 || fields[1] != strconv.Itoa(owner) {
			continue
		}
		args, err := os.ReadFile(filepath.Join(filepath.Dir(stat), "cmdline"))
		if err != nil {
			continue
		}
		words := strings.Split(string(args), "\x00")
		if len(words) < 7 || words[1] != "-D" || words[5] != "-p" {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if err != nil {
			t.Fatal(err)
		}
		return remains{pid: pid, folder: filepath.Dir(words[2]), port: words[6]}
	}
	t.Errorf("process %d runs no PostgreSQL", owner)
	return remains{}
}

func (r remains) wantGone(t *testing.T) {
	t.Helper()
	if r.folder == "" {
		t.Error("there was no PostgreSQL, so it is not known whether it is gone")
		return
	}
	if _, err := os.Stat(r.folder); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder %s is left behind (%v)", r.folder, err)
	}
	if args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", r.pid)); err == nil && strings.Contains(string(args), r.folder) {
		t.Errorf("PostgreSQL, process %d, is left behind", r.pid)
	}
}

// The tour shows what is promised, on a PostgreSQL that signals twice and on one that signals once.
func TestTour(t *testing.T) {
	for major, native := range map[int]string{15: `3\.0, 4 bytes`, 18: `3\.2, 32 bytes`} {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			var left remains
			s := &transcript{when: "3. A waiting", do: func() { left = look(t, os.Getpid()) }}
			err := run(t.Context(), options{install: install(t, major), template: true, out: s})
			if err != nil {
				t.Fatalf("%v\n%s", err, s)
			}
			left.wantGone(t)
			got, pos := s.String(), 0
			for _, want := range []string{
				fmt.Sprintf(`^Starting PostgreSQL %d\S*`, major),
				`on 127\.0\.0\.1:\d+: transaction mode, a pool of 2 servers`,
				`1\. Ten clients on two servers .* ✓ 100 answers in \d+ ms, each to the client that had asked`,
				`✓ PostgreSQL saw two connections, server processes \d+ and \d+\.`,
				`2\. A cancel hits only its query Client 1 asks for pg_sleep\(30\), which runs in server process \d+`,
				`pid 1\d{9}, which no process here has, and a key of 4 bytes`,
				`✓ Client 1 got 57014 after \d+(\.\d)? ms: canceling statement due to user request`,
				`✓ The nine others finished unharmed: \d+ answers meanwhile, no error`,
				`✓ Server process \d+ lives on\. Cancello's outcome: cancelled, sent (once|twice), over after [\d.]+ ms`,
				`3\. A waiting client is cancelled at once .* ✓ Client 3 got 57014 after \d+(\.\d)? ms`,
				`✓ Outcome: unqueued\. No server was touched: client 1 and client 2 had their answers`,
				`4\. A late cancel hits nobody Client 3 has its answer, from server process \d+, which now runs a query of client [12]\.`,
				`✓ Nothing was sent, 50 times\.`,
				`✓ Nobody else was hit: its own next question was answered each time`,
				`5\. The same with a key of protocol 3\.2 Client 11 speaks 3\.2: its key has 32 bytes, the ten others' have 4\. \(PostgreSQL \d+ by itself: ` + native + `\.\)`,
				`✓ Client 11 got 57014 after .* ✓ The ten others finished unharmed`,
				`✓ Client 11 got 57014 after .* ✓ Outcome: unqueued`,
				`✓ Nothing was sent, 50 times\.`,
				`✓ No guess reached a server`,
				`236 cancels were sent, and each had exactly one outcome: .*2 unqueued.*32 forged`,
				`psql "host=127\.0\.0\.1 port=\d+ user=postgres dbname=postgres"`,
				`Stopped\. Nothing is left behind\.$`,
			} {
				at := regexp.MustCompile(want).FindStringIndex(got[pos:])
				if at == nil {
					t.Fatalf("no %s in\n%s\nof\n%s", want, got[pos:], got)
				}
				pos += at[0] + 1 // an expression may take in what the next one asks for
			}
			if strings.Contains(got, "✗") || strings.Contains(got, "\x1b") {
				t.Errorf("a cross or a colour in\n%s", got)
			}
		})
	}
}

// Whoever stops it in the middle finds nothing left either.
func TestInterrupted(t *testing.T) {
	in := install(t, 0)
	for _, when := range []string{"Starting PostgreSQL", "✓ 100 answers", "3. A waiting", "Then on purpose"} {
		t.Run(when, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var left remains
			started := when != "Starting PostgreSQL"
			s := &transcript{when: when, do: func() {
				if started {
					left = look(t, os.Getpid())
				}
				cancel()
			}}
			if err := run(ctx, options{install: in, template: true, out: s, stay: true}); !errors.Is(err, errInterrupted) {
				t.Errorf("%v", err)
			}
			if started {
				left.wantGone(t)
			}
			if strings.Contains(s.String(), "NOT AS PROMISED") {
				t.Errorf("an interruption is no broken promise:\n%s", s)
			}
		})
	}
}

// deafWriter takes some lines, and then nobody reads on.
type deafWriter struct{ lines int }

var errDeaf = errors.New("nobody reads on")

func (w *deafWriter) Write(p []byte) (int, error) {
	if w.lines--; w.lines < 0 {
		return 0, errDeaf
	}
	return len(p), nil
}

func TestLostReader(t *testing.T) {
	if err := run(t.Context(), options{install: install(t, 0), template: true, out: &deafWriter{lines: 4}}); !errors.Is(err, errDeaf) {
		t.Errorf("%v", err)
	}
}

// It stays for whoever wants to try, and says what becomes of their cancels; its end is then no error.
func TestStay(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	port := regexp.MustCompile(`psql "host=127\.0\.0\.1 port=(\d+)`)
	s := &transcript{when: "Ctrl-C here ends the demo."}
	visited := make(chan error, 1)
	s.do = func() {
		go func() {
			defer cancel()
			visited <- visit(ctx, "127.0.0.1:"+port.FindStringSubmatch(s.String())[1], s)
		}()
	}
	st, err := openStage(ctx, install(t, 0), true)
	if err != nil {
		t.Fatal(err)
	}
	tr := &tour{screen: &screen{out: s, lost: func(err error) { t.Error(err) }}, stage: st}
	tr.invite(true)
	if err := tr.linger(ctx); err != nil {
		t.Errorf("%v\n%s", err, s)
	}
	if err := st.close(); err != nil {
		t.Error(err)
	}
	if err := <-visited; err != nil {
		t.Errorf("%v\n%s", err, s)
	}
}

// visit cancels while it has nothing running, and waits until the screen says so.
func visit(ctx context.Context, addr string, s *transcript) error {
	guest, err := connect(ctx, addr, "guest", wire.V30)
	if err != nil {
		return err
	}
	defer guest.close()
	said := make(chan struct{})
	s.mu.Lock()
	s.when, s.do = "idle after", func() { close(said) }
	s.mu.Unlock()
	var d stage
	d.ledger = newLedger()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		// It has no outcome here: that goes to the screen. On a busy machine its time may be over before it was sent.
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		_, err := d.cancel(short, guest)
		late := short.Err() != nil
		cancel()
		if !late {
			return fmt.Errorf("the cancel: %v", err)
		}
		select {
		case <-said:
			return nil
		case <-time.After(time.Second):
		}
	}
	return errors.New("the screen doesn't say what became of a visitor's cancel")
}
