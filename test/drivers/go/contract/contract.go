package contract

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"sync"
)

// Target is a server to be tried.
type Target struct {
	Host     string `json:"host"`
	Port     int    `json:"port"`
	User     string `json:"user"`
	Password string `json:"password"`
	Database string `json:"database"`
	Table    string `json:"table"`
	SSLMode  string `json:"sslmode"`
	RootCert string `json:"sslrootcert"`
	Mode     string `json:"mode"`
	Protocol string `json:"protocol"`
	Cases    string `json:"cases"` // what the names of those begin with that are to be done; empty: all but cut
}

// DSN is the target as libpq writes it, which both drivers read.
func (t Target) DSN() string {
	s := fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=%s sslmode=%s", t.Host, t.Port, t.User, strings.ReplaceAll(t.Password, "'", `\'`), t.Database, t.SSLMode)
	if t.RootCert != "" {
		s += " sslrootcert=" + t.RootCert
	}
	if t.Protocol != "" {
		s += fmt.Sprintf(" min_protocol_version=%[1]s max_protocol_version=%[1]s", t.Protocol)
	}
	return s
}

// What all drivers ask.
const (
	Who        = "SELECT current_user || ' ' || current_database() || ' ' || current_setting('server_version_num')::int / 10000"
	Simple     = "SELECT 1, 'two', NULL::text, 'grüß'"
	Parameters = "SELECT concat_ws(' ', $1::int + 1, $2::text, $3::text IS NULL, encode($4::bytea, 'hex'), $5::float8 * 2, $6::int[], $7::date)"
	Text       = `it's \ € $1`
	Many       = 30
	Big        = 3_000_000
	Rows       = 100_000
)

// Sleep is a statement that runs until it is cancelled.
func Sleep(mark string) string { return "SELECT pg_sleep(600) AS " + mark }

// Program is the test's side of a driver's program.
type Program struct {
	mu   sync.Mutex
	in   *bufio.Reader
	only string // the present target's cases
}

// Run is the whole of a main: it says who the driver is, and in which version of its module, and uses each target that
// the test names, up to the end of the input.
func Run(driver, module string, use func(*Program, Target) error) {
	p := &Program{in: bufio.NewReader(os.Stdin)}
	version := "?"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == module {
				version = strings.TrimPrefix(m.Version, "v")
			}
		}
	}
	p.say(map[string]any{"driver": driver, "version": version})
	p.serve(use)
}

func (p *Program) say(line map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		os.Exit(1) // nobody listens
	}
}

func (p *Program) serve(use func(*Program, Target) error) {
	for {
		line, err := p.in.ReadBytes('\n')
		if err != nil {
			return
		}
		var t Target
		if err := json.Unmarshal(line, &t); err != nil {
			p.say(map[string]any{"case": "connect", "failed": err.Error()})
		} else if err := p.use(t, use); err != nil {
			p.say(map[string]any{"case": "connect", "failed": err.Error()})
		}
		p.say(map[string]any{"end": true})
	}
}

func (p *Program) use(t Target, use func(*Program, Target) error) error {
	p.only = t.Cases
	return use(p, t)
}

// Case says what a case came to, if it is to be done.
func (p *Program) Case(name string, run func() (string, error)) {
	if p.only == "" && name == "cut" || !strings.HasPrefix(name, p.only) {
		return
	}
	result, err := run()
	if err != nil {
		p.say(map[string]any{"case": name, "failed": fmt.Sprintf("%v (so far %q)", err, result)})
		return
	}
	p.say(map[string]any{"case": name, "result": result})
}

// Await returns when a statement with the mark sleeps in its server.
func (p *Program) Await(mark string) error {
	p.say(map[string]any{"await": mark})
	_, err := p.in.ReadString('\n')
	return err
}

// Cancelled runs a statement with the mark, which sleeps, and cancels it meanwhile. It returns how the statement ended; how
// may end its context.
func (p *Program) Cancelled(mark string, run func(context.Context) error, how func(stop context.CancelFunc) error) error {
	limited, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- run(limited) }()
	if err := p.Await(mark); err != nil {
		return err
	}
	if err := how(stop); err != nil {
		return err
	}
	return <-done
}

// Tx is a transaction of a driver's: Insert does a query with a number that returns the pid of its server.
type Tx struct {
	Insert           func(query string, n int) (pid int, err error)
	Commit, Rollback func() error
}

// Transaction is the case of that name, but for the count at its end.
func (t Target) Transaction(begin func() (Tx, error)) error {
	for _, commit := range []bool{true, false} {
		tx, err := begin()
		if err != nil {
			return err
		}
		pids, first, end := map[int]bool{}, 1, tx.Commit
		if !commit {
			first, end = 11, tx.Rollback
		}
		for n := first; n < first+2; n++ {
			pid, err := tx.Insert("INSERT INTO "+t.Table+" VALUES ($1, 'kept') RETURNING pg_backend_pid()", n)
			if err != nil {
				return errors.Join(err, tx.Rollback())
			}
			pids[pid] = true
		}
		if err := end(); err != nil {
			return err
		}
		if len(pids) != 1 {
			return errors.New("another server within a transaction")
		}
	}
	return nil
}

// Value is what a query says, or its error.
func Value(v string, err error) string {
	if err != nil {
		return err.Error()
	}
	return v
}

// Servers is the case of that name: pid tells the server that a query ran on.
func (t Target) Servers(pid func() (int, error)) (string, error) {
	first, err := pid()
	if err != nil {
		return "", err
	}
	limit := 10_000
	if t.Mode == "direct" || t.Mode == "session" {
		limit = 20
	}
	for range limit {
		if next, err := pid(); err != nil {
			return "", err
		} else if next != first {
			return "several", nil
		}
	}
	return "one", nil
}
