package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
)

// good is a configuration without faults.
func good() *Config {
	c := Default()
	c.Listen = []string{"127.0.0.1:6432"}
	c.Databases = []Database{{Name: "*", Host: "localhost", Port: 5432}}
	return &c
}

// A line of "set" is KEY=VALUE; the result is what changed, or the error.
func TestSet(t *testing.T) {
	datadriven.RunTest(t, "testdata/set", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		for line := range strings.SplitSeq(d.Input, "\n") {
			c, before := good(), good()
			key, value, _ := strings.Cut(line, "=")
			if err := Set(c, key, value); err != nil {
				fmt.Fprintln(&out, "error:", err)
				if !cmp.Equal(c, before) {
					t.Errorf("%s: refused, yet changed", line)
				}
				continue
			}
			if err := Validate(c); err != nil {
				t.Errorf("%s: Set takes what Validate refuses: %v", line, err)
			}
			changes := Diff(before, c)
			if len(changes) == 0 {
				fmt.Fprintln(&out, "as it was")
			}
			for _, ch := range changes {
				fmt.Fprintf(&out, "%s: %s -> %s (%v)\n", ch.Name, ch.Old, ch.New, ch.When)
			}
		}
		return out.String()
	})
}

// Every setting reaches a field of its own: one that shares another's would change nothing, or two things.
func TestEverySettingIsItsOwn(t *testing.T) {
	for _, s := range general() {
		c := good()
		if !vary(s, c) {
			continue
		}
		changes := Diff(good(), c)
		if len(changes) != 1 || changes[0].Name != s.name {
			t.Errorf("%s: %v", s.name, changes)
		}
	}
}

// The same for the settings of entries.
func TestEverySettingOfAnEntryIsItsOwn(t *testing.T) {
	for _, s := range ofDatabase() {
		c := good()
		vary(s, &c.Databases[0])
		if changes := Diff(good(), c); len(changes) != 1 || changes[0].Name != `database "*" `+s.name {
			t.Errorf("%s: %v", s.name, changes)
		}
	}
	for _, s := range ofPeer() {
		before, after := good(), good()
		p := Peer{Node: Give(1), Address: "h:1"}
		before.Peers, after.Peers = []Peer{p}, []Peer{p}
		vary(s, &after.Peers[0])
		changes := Diff(before, after)
		if s.name == "node" { // another one: it comes, and that one goes
			if len(changes) != 2 || changes[0].Old != "" || changes[1].New != "" {
				t.Errorf("%s: %v", s.name, changes)
			}
		} else if len(changes) != 1 || changes[0].Name != "peer 1 "+s.name {
			t.Errorf("%s: %v", s.name, changes)
		}
	}
	for _, s := range ofUser() {
		before, after := good(), good()
		before.Users, after.Users = []User{{Name: "ann"}}, []User{{Name: "ann"}}
		vary(s, &after.Users[0])
		if changes := Diff(before, after); len(changes) != 1 || changes[0].Name != `user "ann" `+s.name {
			t.Errorf("%s: %v", s.name, changes)
		}
	}
}

// vary gives a setting a value that it has not; false where there is none.
func vary[T any](s setting[T], c *T) bool {
	switch s.kind() {
	case aNumber:
		*s.number(c) = s.max
	case aTime:
		*s.duration(c) = 17 * time.Second
	case aText:
		*s.text(c) = "another"
	case aList:
		*s.list(c) = []string{"another"}
	case aYes:
		*s.yes(c) = !*s.yes(c)
	default:
		if s.word == nil {
			return false
		}
		s.word(c).pick(len(s.words) - 1)
	}
	if s.given != nil {
		*s.given(c) = true
	}
	return true
}

func TestDefaultsAreAllowed(t *testing.T) {
	c := good()
	if err := Validate(c); err != nil {
		t.Error(err)
	}
	for _, s := range general() {
		if err := s.set(c, s.value(c)); err != nil {
			t.Errorf("the default can't be set: %v", err)
		}
	}
	if changes := Diff(good(), c); changes != nil {
		t.Errorf("setting the defaults changed %v", changes)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*Config)
		want  []string // a part of each line, in order
	}{
		{"nothing", func(*Config) {}, nil},
		{"no listener", func(c *Config) { c.Listen = nil }, []string{"listen is empty"}},
		{"no port", func(c *Config) { c.Listen = []string{"localhost"} }, []string{`listen = "localhost": the port is missing`}},
		{"port", func(c *Config) { c.Listen = []string{"localhost:65536"} }, []string{"from 0 to 65535"}},
		{"signed port", func(c *Config) { c.Listen = []string{"localhost:+1"} }, []string{"from 0 to 65535"}},
		{"port 0", func(c *Config) { c.Listen = []string{"127.0.0.1:0", "127.0.0.1:0"} }, nil},
		{"bare IPv6", func(c *Config) { c.Listen = []string{"::1:6432"} }, []string{"in brackets"}},
		{"IPv6", func(c *Config) { c.Listen = []string{"[::1]:6432"} }, nil},
		{"star", func(c *Config) { c.Listen = []string{"*:6432"} }, []string{"leave the host out"}},
		{"twice", func(c *Config) { c.Listen = []string{"localhost:1", "localhost:1"} }, []string{"given twice"}},
		{"trust everywhere", func(c *Config) { c.Listen = []string{":6432"} }, []string{"would let in anybody"}},
		{"trust on an address", func(c *Config) { c.Listen = []string{"10.0.0.1:6432"} }, []string{"--allow-remote-trust"}},
		{"trust on a look-alike", func(c *Config) { c.Listen = []string{"127.0.0.1.example.org:6432"} }, []string{"would let in anybody"}},
		{"trust on another look-alike", func(c *Config) { c.Listen = []string{"127.0.0.x:6432"} }, []string{"would let in anybody"}},
		{"trust on loopback", func(c *Config) { c.Listen = []string{"127.9.9.9:6432", "localhost:6432", "[::1]:6432"} }, nil},
		{"trust allowed", func(c *Config) { c.Listen, c.AllowRemoteTrust = []string{":6432"}, true }, nil},
		{"passwords everywhere", func(c *Config) { c.Listen, c.Auth = []string{":6432"}, Auth{Method: SCRAM, File: "users.txt"} }, nil},
		{"no file", func(c *Config) { c.Auth.Method = SCRAM }, []string{`auth_type = "scram-sha-256" needs auth_file`}},
		{"no such method", func(c *Config) { c.Auth.Method = 9 }, []string{`auth_type = "9" is not allowed`}},
		{"servers' keys in a pool", func(c *Config) { c.Cancel.Keys = KeysUpstream }, []string{`needs pool_mode = "passthrough"`}},
		{"servers' keys", func(c *Config) { c.Cancel.Keys, c.Pool.Mode = KeysUpstream, Passthrough }, nil},
		{"servers' keys of two", func(c *Config) {
			c.Databases = append(c.Databases, Database{Name: "other", Host: "h", Port: 1})
			c.Cancel.Keys, c.Pool.Mode = KeysUpstream, Passthrough
		}, []string{"one upstream address only"}},
		{"servers' keys of two hosts", func(c *Config) {
			c.Databases[0].Host, c.Cancel.Keys, c.Pool.Mode = "a,b", KeysUpstream, Passthrough
		}, []string{"it has 2 hosts"}},
		{"servers' keys of one of two", func(c *Config) {
			c.Databases = append(c.Databases, Database{Name: "other", Host: "h", Port: 1, Keys: Give(KeysUpstream), Mode: Give(Passthrough)})
		}, nil},
		{"servers' keys for all but one", func(c *Config) {
			c.Cancel.Keys, c.Pool.Mode = KeysUpstream, Passthrough
			c.Users = []User{{Name: "ann", Mode: Give(Session)}}
		}, []string{`user "ann": with client_keys = "upstream"`}},
		{"no database", func(c *Config) { c.Databases = nil }, []string{"--upstream"}},
		{"no name", func(c *Config) { c.Databases[0].Name = "" }, []string{"database number 1 has no name"}},
		{"same name", func(c *Config) { c.Databases = append(c.Databases, c.Databases[0]) }, []string{`database "*" is given twice`}},
		{"no host", func(c *Config) { c.Databases[0].Host = "" }, []string{`database "*": host = "" is not allowed: give a name`}},
		{"no upstream port", func(c *Config) { c.Databases[0].Port = 0 }, []string{`port = "0" is not allowed: give a whole number from 1 to 65535`}},
		{"zero byte", func(c *Config) { c.Databases[0].Password = "a\x00b" }, []string{"zero byte"}},
		{"mode of a database", func(c *Config) { c.Databases[0].Mode = Give(Mode(7)) }, []string{`database "*": pool_mode = "7" is not allowed`}},
		{"not given", func(c *Config) { c.Databases[0].Mode.Value = Mode(7) }, nil},
		{"size of a user", func(c *Config) { c.Users = []User{{Name: "ann", PoolSize: Give(0)}} }, []string{`user "ann": pool_size = "0" is not allowed`}},
		{"same user", func(c *Config) { c.Users = []User{{Name: "ann"}, {Name: "ann"}} }, []string{`user "ann" is given twice`}},
		{"no user", func(c *Config) { c.Users = []User{{}} }, []string{"user number 1 has no name"}},
		{"mode", func(c *Config) { c.Pool.Mode = 7 }, []string{`pool_mode = "7" is not allowed: give session, transaction, statement or passthrough`}},
		{"TLS without files", func(c *Config) { c.TLS.Client.Mode = SSLAllow }, []string{`client_tls_sslmode = "allow" needs client_tls_cert_file and client_tls_key_file`}},
		{"TLS without a CA", func(c *Config) { c.TLS.Client = ClientTLS{Mode: SSLVerifyCA, Cert: "c", Key: "k"} }, []string{"needs client_tls_ca_file"}},
		{"TLS", func(c *Config) { c.TLS.Client = ClientTLS{Mode: SSLVerifyFull, Cert: "c", Key: "k", CA: "a"} }, nil},
		{"no such sslmode", func(c *Config) { c.TLS.Client.Mode, c.TLS.Server.Mode = 9, 9 }, []string{`client_tls_sslmode = "9"`, `server_tls_sslmode = "9"`}},
		{"verify-full without roots", func(c *Config) { c.TLS.Server.Mode = SSLVerifyFull }, []string{`server_tls_sslmode = "verify-full" needs server_tls_ca_file`}},
		{"verify-ca without roots", func(c *Config) { c.Databases[0].TLS.Mode = Give(SSLVerifyCA) }, []string{`database "*": sslmode = "verify-ca" needs sslrootcert`}},
		{"roots from the settings", func(c *Config) { c.Databases[0].TLS.Mode, c.TLS.Server.CA = Give(SSLVerifyFull), "f" }, nil},
		{"weak system roots", func(c *Config) {
			c.Databases[0].TLS = DatabaseTLS{Mode: Give(SSLRequire), CA: SystemRoots}
		}, []string{"too weak for sslrootcert = system"}},
		{"system roots alone", func(c *Config) { c.Databases[0].TLS.CA = SystemRoots }, nil},
		{"certificate without key", func(c *Config) { c.Databases[0].TLS.Cert = "c" }, []string{"sslcert and sslkey belong together"}},
		{"binding without TLS", func(c *Config) {
			c.Databases[0].TLS = DatabaseTLS{Mode: Give(SSLDisable), Binding: Give(BindingRequire)}
		}, []string{`channel_binding = "require" needs TLS`}},
		{"md5 without a file", func(c *Config) { c.Auth.Method = MD5 }, []string{`auth_type = "md5" needs auth_file`}},
		{"cert without certificates", func(c *Config) { c.Auth.Method = Cert }, []string{`auth_type = "cert" needs client_tls_sslmode = verify-ca or verify-full`}},
		{"direct and prefer", func(c *Config) { c.Databases[0].TLS.Negotiation = Give(NegotiateDirect) }, []string{"needs sslmode = require"}},
		{"zero value", func(c *Config) { *c = Config{} }, []string{
			`unix_socket_mode = ""`, `default_pool_size = "0"`, `max_client_conn = "0"`, `server_connect_timeout = "0"`, `client_login_timeout = "0"`,
			`server_login_retry = "0"`, `cancel_timeout = "0"`, `max_cancels_per_upstream = "0"`, `cancel_side_pool_size = "0"`, "listen is empty", "there is no database",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := good()
			c.spoil(cfg)
			err := Validate(cfg)
			if err == nil {
				if c.want != nil {
					t.Fatalf("nothing is wrong, want %q", c.want)
				}
				return
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(c.want) {
				t.Fatalf("%d faults, want %d:\n%v", len(lines), len(c.want), err)
			}
			for i, line := range lines {
				if !strings.Contains(line, c.want[i]) {
					t.Errorf("%q, want %q", line, c.want[i])
				}
			}
		})
	}
}

func TestDiff(t *testing.T) {
	old, updated := good(), good()
	if d := Diff(old, updated); d != nil {
		t.Fatalf("nothing differs, yet %v", d)
	}
	old.Databases = []Database{
		{Name: "kept", Host: "h", Port: 1},
		{Name: "moved", Host: "h", Port: 1, User: "u", Password: "secret"},
		{Name: "password", Host: "h", Port: 1, Password: "secret"},
		{Name: "gone", Host: "h", Port: 1},
	}
	updated.Databases = []Database{
		{Name: "new", Host: "/tmp", Port: 1, DBName: "db"},
		{Name: "password", Host: "h", Port: 1, Password: "secret2"},
		{Name: "kept", Host: "h", Port: 1},
		{Name: "moved", Host: "i", Port: 1, User: "u", Password: "secret"},
	}
	old.Databases[0].PoolSize = Give(3)
	updated.Databases[2].QueryWait = Give(time.Second)
	old.Users = []User{{Name: "ann", PoolSize: Give(5)}}
	updated.Users = []User{{Name: "bob", Mode: Give(Transaction)}}
	updated.Listen = append(updated.Listen, "[::1]:1")
	updated.Auth.Method, updated.Auth.File = Plain, "users.txt"
	updated.AllowRemoteTrust = true
	updated.Pool.Mode = Transaction
	updated.Cancel.Resend = 0
	want := []Change{
		{"listen", Restart, "127.0.0.1:6432", "127.0.0.1:6432, [::1]:1"},
		{"allow_remote_trust", Live, "false", "true"},
		{"auth_type", Live, "trust", "plain"},
		{"auth_file", Live, "", "users.txt"},
		{"pool_mode", NextLease, "session", "transaction"},
		{"cancel_resend", Live, "250ms", "0"},
		{`database "new"`, NextLease, "", "new: host=/tmp port=1 dbname=db"},
		{`database "password" password`, NextLease, "***", "*** (changed)"},
		{`database "kept" pool_size`, Live, "3", ""},
		{`database "kept" query_wait_timeout`, Live, "", "1s"},
		{`database "moved" host`, NextLease, "h", "i"},
		{`database "gone"`, NextLease, "gone: host=h port=1", ""},
		{`user "bob" pool_mode`, NextLease, "", "transaction"},
		{`user "ann" pool_size`, Live, "5", ""},
	}
	got := Diff(old, updated)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if kept := Keep(*old, *updated); cmp.Diff(old.Listen, kept.Listen) != "" || !cmp.Equal(kept.Auth, updated.Auth) || len(Diff(&kept, updated)) != 1 {
		t.Errorf("kept more or less than what needs a restart: %v", Diff(&kept, updated))
	}
}

func TestNothingPrintsPasswords(t *testing.T) {
	c := good()
	c.Databases[0].Password = "wonderland"
	c.Cluster.Secret, c.Cluster.Previous = "wonderland wonderland", "wonderland before that"
	texts := []string{}
	for _, v := range []any{c.Databases[0], &c.Databases[0], c.Databases, c.Cluster, &c.Cluster, *c, c} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			texts = append(texts, fmt.Sprintf(verb, v))
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	for _, text := range texts {
		if strings.Contains(text, "wonderland") {
			t.Errorf("a password in %s", text)
		}
	}
}

func TestDescribe(t *testing.T) {
	for _, d := range Describe() {
		if d.About == "" || d.Allowed == "" {
			t.Errorf("%s: nobody can tell what it is: %+v", d.Name, d)
		}
		c := Default()
		if err := Set(&c, d.Name, d.Default); err != nil {
			t.Errorf("the default of %s is not what Set takes: %v", d.Name, err)
		}
	}
}

func TestListeners(t *testing.T) {
	var none Override[KeyPolicy]
	for _, c := range []struct {
		listen []string
		want   []Listener
	}{
		{[]string{"127.0.0.1:6432"}, []Listener{{"tcp", "127.0.0.1:6432", "127.0.0.1:6432", none}}},
		{[]string{"/run/x", "[::1]:7000"}, []Listener{{"unix", "/run/x/.s.PGSQL.7000", "/run/x", none}, {"tcp", "[::1]:7000", "[::1]:7000", none}}},
		{[]string{"127.0.0.1:0", "/run/x/", "@x"}, []Listener{{"tcp", "127.0.0.1:0", "127.0.0.1:0", none}, {"unix", "/run/x/.s.PGSQL.6432", "/run/x/", none}, {"unix", "@x/.s.PGSQL.6432", "@x", none}}},
		{[]string{"/run/x:1", "@x:2"}, []Listener{{"unix", "/run/x/.s.PGSQL.1", "/run/x:1", none}, {"unix", "@x/.s.PGSQL.2", "@x:2", none}}},
		{[]string{"127.0.0.1:7000?client_keys=3.2", "/run/x?client_keys=never", "@x:2?client_keys=always", "127.0.0.1:7001"}, []Listener{
			{"tcp", "127.0.0.1:7000", "127.0.0.1:7000", Give(KeysSince32)}, {"unix", "/run/x/.s.PGSQL.7000", "/run/x", Give(KeysNever)},
			{"unix", "@x/.s.PGSQL.2", "@x:2", Give(KeysAlways)}, {"tcp", "127.0.0.1:7001", "127.0.0.1:7001", none}}},
	} {
		conf := good()
		conf.Listen = c.listen
		if err := Validate(conf); err != nil {
			t.Errorf("%v: %v", c.listen, err)
		}
		if got := conf.Listeners(); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.listen, got, c.want)
		}
	}
}
