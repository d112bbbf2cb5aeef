package test

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
	"cancello/internal/postgres"
)

// target is a server as a driver's program is told of it: see drivers/README.md.
type target struct {
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
	Cases    string `json:"cases"`
}

// answer is one line of a driver's program.
type answer struct {
	Driver  string `json:"driver"`
	Version string `json:"version"`
	Case    string `json:"case"`
	Result  string `json:"result"`
	Failed  string `json:"failed"`
	Await   string `json:"await"`
	End     bool   `json:"end"`
}

// poolModes are all in which servers are pooled.
var poolModes = []string{"session", "transaction", "statement"}

// directly is the mode of a target that is PostgreSQL itself.
const directly = "direct"

// passedThrough is the pool_mode in which a client has a server of its own.
const passedThrough = "passthrough"

// ground is a PostgreSQL and what stands before it.
type ground struct {
	major   int
	tls     bool
	mode    string
	address address
	cluster *postgres.Cluster
	cases   string // what the names of the cases begin with that are done there; empty: all but cut
	key     string // of its servers: none, dummy; empty: PostgreSQL's own
}

func (g ground) String() string {
	text := fmt.Sprintf("%d %s %s", g.major, g.mode, map[bool]string{true: "TLS", false: "clear"}[g.tls])
	if g.key != "" {
		text += fmt.Sprintf(" key=%s %s", g.key, g.cases)
	}
	return text
}

// driverPassword is that of every driver's role. Over TLS it is asked for by SCRAM, in clear everybody is trusted.
const driverPassword = "the drivers own"

// lay starts the servers and gates of the matrix; gates is every ground, PostgreSQL itself first.
func lay(t *testing.T, a *fake.Authority, roles []string) []ground {
	t.Helper()
	lines := make([]string, len(roles))
	for i, r := range roles {
		lines[i] = fmt.Sprintf("%q %q", r, driverPassword)
	}
	users := userlist(t, lines...)
	over := func(tls bool, o *gateOptions) {
		if tls {
			o.auth, o.authFile = "scram-sha-256", users
			_, more := front(a, "require")
			o.set = append(o.set, more...)
		}
	}
	var grounds []ground
	for _, major := range majors {
		cert := a.Issue("postgres", "127.0.0.1")
		c := pgtest.Start(t, major,
			pgtest.Settings(map[string]string{"ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key", "max_connections": "600"}),
			pgtest.Files(map[string][]byte{"server.crt": cert.PEM, "server.key": cert.KeyPEM}),
			pgtest.HBA("local all all trust\nhostssl all postgres all trust\nhostssl all all all scram-sha-256\nhostnossl all all all trust\n"))
		for _, r := range roles {
			superuser(t, c, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", r, driverPassword))
		}
		for _, tls := range []bool{false, true} {
			cases := ""
			if tls && major < 18 {
				cases = "cancel" // what else goes over TLS is the same
			}
			grounds = append(grounds, ground{major: major, tls: tls, mode: directly, address: direct(c), cluster: c, cases: cases})
			for _, mode := range poolModes {
				o := gateOptions{upstreams: []string{upstream(c, "", "") + "?sslmode=disable"}, mode: mode, size: 2, set: []string{"max_prepared_statements=20"}}
				if tls {
					o.upstreams = []string{upstream(c, "", "") + "?sslmode=verify-full&sslrootcert=" + a.File}
				}
				over(tls, &o)
				grounds = append(grounds, ground{major: major, tls: tls, mode: mode, address: startGate(t, o).address, cluster: c, cases: cases})
			}
			// What else is done there is between the driver and its server, byte for byte.
			o := passthrough(upstream(c, "", "") + "?sslmode=disable")
			over(tls, &o)
			grounds = append(grounds, ground{major: major, tls: tls, mode: o.mode, address: startGate(t, o).address, cluster: c, cases: "cancel"})
		}
		grounds = append(grounds, layOdd(t, major, c, over)...)
	}
	return grounds
}

// everyGround asks for all that can be crossed with each other, which is more than has to be done each time.
const everyGround = "CANCELLO_DRIVERS"

// layOdd starts gates to servers without a usable key, where drivers do their cancels alone: by a statement, which is to make
// no difference, and with the server's connection closed for each (the case cut).
func layOdd(t *testing.T, major int, c *postgres.Cluster, over func(tls bool, o *gateOptions)) []ground {
	t.Helper()
	keys, ways := []string{map[int]string{15: "none", 18: "dummy"}[major]}, []bool{false}
	if os.Getenv(everyGround) == "all" {
		keys, ways = []string{"none", "dummy"}, []bool{false, true}
	}
	var grounds []ground
	for _, key := range keys {
		s := startShim(t, &shim{t: t, to: direct(c).Addr(), zeros: key == "dummy"})
		for _, tls := range ways {
			for _, mode := range poolModes {
				for _, way := range []struct{ cases, fallback string }{{"cancel", "sql"}, {"cut", "disconnect"}} {
					o := gateOptions{file: fallbackFile(t, s.address(), 4, fmt.Sprintf("cancel_fallback = %q", way.fallback)), mode: mode,
						set: []string{"max_prepared_statements=20", "server_idle_timeout=5s", "cancel_side_idle_timeout=5s"}}
					over(tls, &o)
					grounds = append(grounds, ground{major: major, tls: tls, mode: mode, address: startGate(t, o).address, cluster: c, cases: way.cases, key: key})
				}
			}
		}
	}
	return grounds
}

// role is the driver's user, whose pool it shares with its rivals alone.
func (d driver) role() string {
	return "drv_" + strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(d.name))
}

// conversation is what is said with a driver's program.
type conversation struct {
	t       testing.TB
	in      io.WriteCloser
	answers chan answer
	said    *transcript // of stderr
	who     answer
	last    string // the case that was answered last
}

// start starts the program and hears who it is.
func (d driver) start(t *testing.T) *conversation {
	t.Helper()
	cmd := d.prepare(t)
	p := &conversation{t: t, answers: make(chan answer, 100), said: newTranscript()}
	var err error
	if p.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan struct{})
	go func() { p.said.fill(stderr); close(said) }()
	go func() {
		defer close(p.answers)
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var a answer
			if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
				a = answer{Case: "protocol", Failed: fmt.Sprintf("%q: %v", lines.Text(), err)}
			}
			p.answers <- a
		}
	}()
	t.Cleanup(func() {
		p.in.Close()
		for len(p.answers) > 0 {
			<-p.answers
		}
		if t.Failed() {
			_ = cmd.Process.Kill()
		}
		<-said
		_ = wait(t, cmd)
		if t.Failed() {
			t.Logf("%s said:\n%s", d.name, p.said)
		}
	})
	p.who = p.next()
	return p
}

// next is the program's next line.
func (p *conversation) next() answer {
	p.t.Helper()
	select {
	case a, ok := <-p.answers:
		if !ok {
			p.t.Fatalf("the driver's program ended after %q", p.last)
		}
		p.last = a.Case + a.Await
		return a
	case <-time.After(2 * patience):
		p.t.Fatalf("the driver's program said nothing for %s after %q", 2*patience, p.last)
	}
	return answer{}
}

// use has the program do its cases on a ground, and tells what each came to.
func (p *conversation) use(d driver, g ground, rootCert string, tell func(name, result string)) {
	p.t.Helper()
	x := target{Host: g.address.host, Port: g.address.port, User: d.role(), Password: driverPassword, Database: "postgres", Table: d.role(), SSLMode: "disable", Mode: g.mode, Protocol: d.protocol, Cases: g.cases}
	if g.tls {
		x.SSLMode, x.RootCert = "verify-full", rootCert
	}
	superuser(p.t, g.cluster, fmt.Sprintf("DROP TABLE IF EXISTS %[1]s; CREATE TABLE %[1]s (n int PRIMARY KEY, t text); ALTER TABLE %[1]s OWNER TO %[1]s", d.role()))
	line, err := json.Marshal(x)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		p.t.Fatalf("%v; it said:\n%s", err, p.said)
	}
	for {
		a := p.next()
		switch {
		case a.End:
			return
		case a.Await != "":
			awaitSleep(p.t, g.cluster, a.Await)
			if _, err := io.WriteString(p.in, "go\n"); err != nil {
				p.t.Fatal(err)
			}
		case a.Failed != "":
			tell(a.Case, "FAILED "+a.Failed)
		default:
			tell(a.Case, a.Result)
		}
	}
}

// drivers are all there are: the rows of docs/compatibility.md.
var drivers = []driver{
	{name: "libpq 15", kind: "python", folder: "libpq", libpq: 15, cancels: "`PQcancel`, in clear"},
	{name: "libpq 18", kind: "python", folder: "libpq", libpq: 18, cancels: "`PQcancel`, in clear; `PQcancelCreate`, as the connection"},
	{name: "libpq 18, protocol 3.2", kind: "python", folder: "libpq", libpq: 18, protocol: "3.2", cancels: "the same, with a key of 32 bytes"},
	{name: "psql", kind: "python", folder: "psql", libpq: 15, blocks: []string{"cursor"}, cancels: "Ctrl-C, in clear"},
	{name: "psql, libpq 18, protocol 3.2", kind: "python", folder: "psql", libpq: 18, protocol: "3.2", blocks: []string{"cursor"}, cancels: "Ctrl-C, in clear"},
	{name: "pgbench", kind: "python", folder: "pgbench", libpq: 15, cancels: notTried},
	{name: "psycopg2", kind: "python", folder: "psycopg2", module: "psycopg2", libpq: 15, blocks: []string{"cursor"}, cancels: "`connection.cancel()`, in clear"},
	{name: "psycopg", kind: "python", folder: "psycopg", module: "psycopg", libpq: 15, blocks: []string{"cursor"}, cancels: "`Connection.cancel()`, in clear"},
	{name: "psycopg, libpq 18, protocol 3.2", kind: "python", folder: "psycopg", module: "psycopg", libpq: 18, protocol: "3.2", blocks: []string{"cursor"}, cancels: "`Connection.cancel()`, in clear"},
	{name: "asyncpg", kind: "python", folder: "asyncpg", module: "asyncpg", blocks: []string{"cursor"}, cancels: "a task that is cancelled, `timeout=`; as the connection",
		remark: "a cancelled task ends with CancelledError, which is counted as 57014. Where the connection is closed in answer to a cancel, a query that is asked for before asyncpg has heard of that is never answered; the case waits for `is_closed()`."},
	{name: "pgjdbc", kind: "java", folder: "pgjdbc", blocks: []string{"cursor"}, cancels: "`Statement.cancel()`, `setQueryTimeout`; in clear"},
	{name: "node-postgres", kind: "node", folder: "pg", cancels: "`Client.cancel()`, in clear"},
	{name: "postgres.js", kind: "node", folder: "postgresjs", blocks: []string{"pipeline"}, cancels: "`query.cancel()`, as the connection",
		remark: "a COPY that fails never ends its stream, so that bad data is not tried. A query that is asked for while the connection of a cancel is not yet closed may never be answered, on PostgreSQL itself too; the cases wait for that."},
	{name: "pgx", kind: "go", folder: "pgx", cancels: "`CancelRequest`, a context with `CancelRequestContextWatcherHandler`; as the connection"},
	{name: "pgx, protocol 3.2", kind: "go", folder: "pgx", protocol: "3.2", cancels: "the same, with a key of 32 bytes"},
	{name: "lib/pq", kind: "go", folder: "pq", blocks: []string{"copy"}, cancels: "a context that ends; as the connection",
		remark: "it takes a connection for bad that it cancelled on within a transaction."},
	{name: "lib/pq, protocol 3.2", kind: "go", folder: "pq", protocol: "3.2", blocks: []string{"copy"}, cancels: "the same, with a key of 32 bytes"},
}

// notTried is a driver's that has nothing to cancel with.
const notTried = "not tried"

// driver is a program under drivers/.
type driver struct {
	name     string   // of the row
	kind     string   // what runs it
	folder   string   // under drivers/
	module   string   // of Python, which must be there
	libpq    int      // the major version of libpq that it is given, or 0
	protocol string   // insisted on
	blocks   []string // the cases in which it opens a transaction block where others don't
	cancels  string   // by what means, for the table
	remark   string   // on its quirks, for the page
}

// prepare is the program, ready to start. What is missing skips the test by name.
func (d driver) prepare(t *testing.T) *exec.Cmd {
	t.Helper()
	lacks := func(what string) { pgtest.Missing(t, what+": run `make drivers`") }
	var cmd *exec.Cmd
	switch d.kind {
	case "python":
		const python = "/usr/bin/python3" // Debian's, which finds Debian's packages
		if _, err := os.Stat(python); err != nil {
			lacks("Python")
		}
		if d.module != "" && exec.Command(python, "-c", "import "+d.module).Run() != nil {
			lacks("Python's module " + d.module)
		}
		cmd = exec.Command(python, "-B", filepath.Join("drivers", d.folder, "main.py"))
	case "node":
		modules, err := nodeModules("node-drivers", filepath.Join("drivers", "node"))
		if err != nil {
			lacks(fmt.Sprintf("the drivers for JavaScript: %v", err))
		}
		cmd = exec.Command("node", filepath.Join("drivers", d.folder, "main.js"))
		cmd.Env = append(cmd.Env, "NODE_PATH="+modules)
	case "java":
		const jar = "/usr/share/java/postgresql.jar"
		if _, err := os.Stat(jar); err != nil {
			lacks("pgjdbc")
		}
		cmd = exec.Command("java", "-XX:TieredStopAtLevel=1", "-cp", jar, filepath.Join("drivers", d.folder, "Main.java"))
	case "go":
		path := filepath.Join(t.TempDir(), d.folder)
		build := exec.Command("go", "build", "-o", path, "./"+d.folder)
		build.Dir = filepath.Join("drivers", "go")
		if out, err := build.CombinedOutput(); err != nil {
			lacks(fmt.Sprintf("%s can't be built: %v\n%s", d.name, err, out))
		}
		cmd = exec.Command(path)
	default:
		t.Fatalf("%q", d.kind)
	}
	libpq := d.libpq
	if libpq == 0 {
		libpq = pgtest.SystemLibpq
	}
	if _, err := exec.LookPath(cmd.Path); err != nil {
		lacks(cmd.Path)
	}
	cmd.Env = append(cmd.Env, pgtest.Program(t, libpq, "psql").Env...)
	return cmd
}

// nodeModules is where scripts/install-drivers has put what the lock of a folder says, under a name.
func nodeModules(name, folder string) (string, error) {
	lock, err := os.ReadFile(filepath.Join(folder, "package-lock.json"))
	if err != nil {
		return "", err
	}
	cache, err := postgres.CacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	path := filepath.Join(cache, fmt.Sprintf("%s-%x", name, sum[:8]), "node_modules")
	_, err = os.Stat(path)
	return path, err
}

// expected is what every driver says of a case, wherever it is done; %s is its role, %d the major version.
var expected = map[string]string{
	"connect":                 "%s postgres %d",
	"query":                   "1 two null grüß",
	"parameters":              `42 it's \ € $1 t 00ff 2.5 {1,2,3} 2026-11-22`,
	"prepared":                "156",
	"many":                    "1395",
	"transaction":             "2",
	"error":                   "23505 22012 25P02 1",
	"pipeline":                "10 10 23505 10",
	"copy":                    "1000 22P02 1",
	"cursor":                  "500500 1",
	"big":                     "3000000 100000 5000050000",
	"cancel":                  "57014 57014 1",
	"cancel encrypted":        "57014 57014 1",
	"cancel by context":       "57014 57014 1",
	"cancel in a transaction": "57014 25P02 1",
	"cancel prepared":         "57014 1",
	"cancel idle":             "20",
	"timeout":                 "57014 1",
}

// quirks are what drivers say otherwise, on a direct connection too.
var quirks = map[string]map[string]string{
	"pq":         {"cancel in a transaction": "57014 driver: bad connection 1"}, // it takes a connection for bad that it cancelled on
	"pgbench":    {"query": "60/60", "parameters": "60/60", "prepared": "60/60", "transaction": "60/60 60/60 60/60", "pipeline": "60/60 60/60"},
	"postgresjs": {"copy": "1000 1"}, // bad data is not tried: its stream would never end
	"asyncpg": {
		"cancel": "cancelled cancelled 1", "cancel in a transaction": "cancelled 25P02 1", "cancel prepared": "cancelled 1", "timeout": "timeout 1",
		"types": "1 kept",
	},
}

// expect is what a driver has to say of a case on a ground.
func (d driver) expect(name string, g ground) string {
	if name == "servers" {
		if g.mode == "transaction" || g.mode == "statement" {
			return "several"
		}
		return "one"
	}
	if d.refused(name, g) {
		return "refused"
	}
	if q, ok := quirks[d.folder][name]; ok {
		return q
	}
	if name == "connect" {
		return fmt.Sprintf(expected[name], d.role(), g.major)
	}
	return expected[name]
}

// refused tells whether a case needs a transaction block where none is let open.
func (d driver) refused(name string, g ground) bool {
	return g.mode == "statement" && (slices.Contains(needBlocks, name) || slices.Contains(d.blocks, name))
}

// needBlocks are the cases that with every driver need a transaction block.
var needBlocks = []string{"transaction", "error", "cancel in a transaction"}

// blockRefused is what is said to a BEGIN in statement mode: by its text or its code, as drivers tell.
var blockRefused = regexp.MustCompile(`transaction blocks not allowed in statement pooling mode|0A000`)

// Every driver, with its defaults, does on PostgreSQL and through Cancello the same.
func TestDrivers(t *testing.T) {
	a := fake.NewAuthority(t)
	roles := make([]string, len(drivers))
	for i, d := range drivers {
		roles[i] = d.role()
	}
	grounds := lay(t, a, roles)
	seen := &compatibility{rows: map[string]*row{}}
	t.Cleanup(func() { seen.check(t, grounds) }) // when all have ended, and before the gates do
	for _, d := range drivers {
		t.Run(strings.ReplaceAll(d.name, "/", " "), func(t *testing.T) {
			t.Parallel()
			p := d.start(t)
			t.Logf("%s %s", p.who.Driver, p.who.Version)
			r := &row{who: p.who, refused: map[string]bool{}, cuts: map[string]string{}}
			for _, g := range grounds {
				if d.protocol == "3.2" && (g.mode == directly || g.mode == passedThrough) && g.major < 18 {
					continue // which does not speak it
				}
				p.try(d, g, a.File, r)
			}
			if !t.Failed() {
				seen.add(d, r)
			}
		})
	}
}

// try has the driver do its cases on a ground, among rivals where there is a pool.
func (p *conversation) try(d driver, g ground, rootCert string, r *row) {
	p.t.Helper()
	if d.cancels == notTried && g.cases != "" {
		return
	}
	begin := time.Now()
	if g.mode != directly && g.cases != "cut" {
		defer rivals(p.t, d, g, rootCert)()
	}
	cases := 0
	p.use(d, g, rootCert, func(name, result string) {
		cases++
		column := columnOf(name)
		r.refused[column] = r.refused[column] || d.refused(name, g)
		if d.refused(name, g) && blockRefused.MatchString(result) {
			result = "refused"
		}
		if name == "cut" {
			r.cut(p.t, g, result)
		} else if want := d.expect(name, g); result != want {
			p.t.Errorf("%s: %s: %q, want %q", g, name, result, want)
		}
	})
	p.t.Logf("%s: %d cases in %s", g, cases, time.Since(begin).Round(time.Millisecond))
}
