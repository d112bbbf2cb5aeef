package contract

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
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
	mu sync.Mutex
	in *bufio.Reader
}

// Start says who the driver is.
func Start(driver, version string) *Program {
	p := &Program{in: bufio.NewReader(os.Stdin)}
	p.say(map[string]any{"driver": driver, "version": version})
	return p
}

func (p *Program) say(line map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		os.Exit(1) // nobody listens
	}
}

// Serve uses each target that the test names, up to the end of the input.
func (p *Program) Serve(use func(Target) error) {
	for {
		line, err := p.in.ReadBytes('\n')
		if err != nil {
			return
		}
		var t Target
		if err := json.Unmarshal(line, &t); err != nil {
			p.say(map[string]any{"case": "connect", "failed": err.Error()})
		} else if err := use(t); err != nil {
			p.say(map[string]any{"case": "connect", "failed": err.Error()})
		}
		p.say(map[string]any{"end": true})
	}
}

// Case says what a case came to.
func (p *Program) Case(name string, run func() (string, error)) {
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
