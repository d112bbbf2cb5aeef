package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cancello/internal/pgtest/fake"

	"github.com/google/go-cmp/cmp"
)

// write makes a file and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCheck: --check says what would be done, or everything that is wrong, and starts nothing.
func TestCheck(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "users.txt", "\"ann\" \"secret\"\n\"bob\" \"secret\"\n")
	write(t, dir, "broken.txt", "ann secret\n")
	good := write(t, dir, "good.toml", `
listen = ["127.0.0.1:7001"]
[auth]
auth_type = "scram-sha-256"
auth_file = "users.txt"
[pool]
pool_mode = "transaction"
[timeouts]
query_wait_timeout = "5s"
[databases.shop]
host = "db.invalid"
password = "secret"
pool_size = 3
[databases."*"]
user = "app"
[users.ann]
pool_size = 1
`)
	bad := write(t, dir, "bad.toml", "[pool]\npool_mod = \"transaction\"\n[databases.shop]\nport = 0\nuser = 3\n")
	faulty := write(t, dir, "faulty.toml", "[databases.shop]\n\n[auth]\nauth_type = \"plain\"\n")
	noUsers := write(t, dir, "no-users.toml", "[databases.shop]\n[auth]\nauth_type = \"plain\"\nauth_file = \"broken.txt\"\n")
	for _, tt := range []struct {
		args           string
		status         int
		stdout, stderr string
	}{
		{good, 0, `would listen on 127.0.0.1:7001 (auth scram-sha-256, pool_mode transaction, 20 servers per database and user)
database "shop" is on db.invalid, port 5432, as each client's own user (pool_size 3)
any other database is on localhost, port 5432, as user "app"
user "ann" has values of their own (pool_size 1)
users in ` + dir + `/users.txt: 2
auth_type = scram-sha-256 (default trust)
pool_mode = transaction (default session)
query_wait_timeout = 5s (default 2min)
`, ""},
		// Flags go before the file: its list of addresses, its entry of the same name; flags of their own go before --set.
		{good + " --listen :7002 --listen :7003?client_keys=3.2 --upstream postgres://root@other:7/shop --upstream postgres://third/more --set query_wait_timeout=9 --http 9 " +
			"--set pool_mode=session --pool-mode transaction --set default_pool_size=4 --set default_pool_size=5 --auth plain --auth-file " + dir + "/users.txt", 0,
			`would listen on :7002 (auth plain, pool_mode transaction, 5 servers per database and user)
would listen on :7003 (auth plain, pool_mode transaction, 5 servers per database and user, client_keys 3.2)
any other database is on localhost, port 5432, as user "app"
database "shop" is on other, port 7, as user "root"
database "more" is on third, port 5432, as each client's own user
user "ann" has values of their own (pool_size 1)
users in ` + dir + `/users.txt: 2
http = 9 (default none)
auth_type = plain (default trust)
pool_mode = transaction (default session)
default_pool_size = 5 (default 20)
query_wait_timeout = 9s (default 2min)
`, ""},
		{"--upstream postgres://h/d", 0, `would listen on 127.0.0.1:6432 (auth trust, pool_mode session, 20 servers per database and user)
database "d" is on h, port 5432, as each client's own user
`, ""},
		{bad, 1, "", "cancello: " + bad + `:2:1: unknown setting "pool_mod": did you mean pool_mode?
cancello: ` + bad + `:4:1: port = "0" is not allowed: give a whole number from 1 to 65535, or a list of them
cancello: ` + bad + `:5:1: user has a value of the wrong kind: give a text in quotes
`},
		{faulty, 1, "", "cancello: " + faulty + `:4:1: auth_type = "plain" needs auth_file (--auth-file): give the file of users and passwords
`},
		// What is the flags' fault has no line.
		{faulty + " --auth trust --listen here", 1, "", "cancello: listen = \"here\": the port is missing: give HOST:PORT\n"},
		{good + " --set pool_mode=x", 1, "", "cancello: --set: pool_mode = \"x\" is not allowed: give session, transaction, statement or passthrough\n"},
		{good + " --upstream postgres://h/d --upstream postgres://i/d", 1, "", "cancello: database \"d\" is given twice: each name, and \"*\", can have one upstream\n"},
		{noUsers, 1, "", "cancello: " + dir + "/broken.txt:1: "},
		{dir, 1, "", "cancello: cannot read the configuration file " + dir + ": is a directory\n"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := Main(context.Background(), strings.Fields("serve --check "+tt.args), &stdout, &stderr)
			if status != tt.status {
				t.Errorf("status %d, want %d", status, tt.status)
			}
			if diff := cmp.Diff(tt.stdout, stdout.String()); diff != "" {
				t.Errorf("stdout (-want +got):\n%s", diff)
			}
			if said := stderr.String(); !strings.HasPrefix(said, tt.stderr) || tt.stderr == "" && said != "" || strings.Contains(said, "secret") {
				t.Errorf("stderr:\n%s\nwant:\n%s", said, tt.stderr)
			}
		})
	}
}

// TestServeReloads: a process takes what is new in its file, and nothing of one that is broken.
func TestServeReloads(t *testing.T) {
	one, two := fake.NewServer(t, fake.Config{}), fake.NewServer(t, fake.Config{})
	dir := t.TempDir()
	file := func(listen string, s *fake.Server, more string) string {
		return write(t, dir, "c.toml", fmt.Sprintf("listen = [%q]\n[pool]\npool_mode = \"transaction\"\n[databases.db]\nhost = \"127.0.0.1\"\nport = %d\n%s", listen, s.Port(), more))
	}
	p := startProcess(t, "serve", file("127.0.0.1:0", one, ""))
	c := fake.Dial(t, p.addr)
	c.Login(fake.V30, "user", "ann", "database", "db")
	c.Put(fake.Query("BEGIN"))
	c.Want("CZ")

	file("127.0.0.1:0", two, "pool_siz = 3\nquery_wait_timeout = \"1 fortnight\"\n")
	p.signal(syscall.SIGHUP)
	p.line(`c.toml:7:1: unknown setting \"pool_siz\": did you mean pool_size?`)
	p.line(`c.toml:8:1: query_wait_timeout = \"1 fortnight\" is not allowed`)

	file("127.0.0.1:1", two, "pool_size = 3\n")
	p.signal(syscall.SIGHUP)
	p.line(`msg="reload: this needs a restart; the old value stays in force" setting=listen old=127.0.0.1:0 new=127.0.0.1:1`)
	p.line(fmt.Sprintf(`msg="reload: changed" setting="database \"db\" port" old=%d new=%d holds="next lease"`, one.Port(), two.Port()))
	p.line(`msg="reload: changed" setting="database \"db\" pool_size" old="" new=3 holds=live`)
	p.line(`msg=reloaded changes=2 need_restart=1`)
	c.Put(fake.Query("COMMIT"))
	c.Want("CZ")
	if n := len(two.Sessions()); n != 0 {
		t.Errorf("%d servers at the new place while a transaction is open at the old one", n)
	}
	c.Put(fake.Query("SELECT 1"))
	c.Want("CZ")
	if n := len(two.Sessions()); n != 1 {
		t.Errorf("%d servers at the new place, want 1", n)
	}
	p.signal(syscall.SIGTERM)
	p.line("draining")
	c.Close()
	p.ended()
}
