package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// read does with a file what starting with it does.
func read(name string, b []byte) (*Config, error) {
	f, err := Parse(name, b)
	if err != nil {
		return nil, err
	}
	if f.Config.Listen == nil {
		f.Config.Listen = []string{DefaultListen}
	}
	return &f.Config, f.Locate(Validate(&f.Config))
}

// errorMark begins the lines, at the end of a broken file, that say its error.
const errorMark = "#! "

// TestBadFiles: each file in testdata has one thing wrong, or several of one kind, and says itself what is told.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.toml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".bad.toml"), func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text, want, _ := strings.Cut("\n"+string(b), "\n"+errorMark)
			text = strings.TrimPrefix(text+"\n", "\n")
			want = strings.TrimSuffix(strings.ReplaceAll(want, "\n"+errorMark, "\n"), "\n")
			_, err = read("f", []byte(text))
			if err == nil {
				t.Fatal("nothing is wrong")
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the password is in the error")
			}
			if rewrite() {
				text += errorMark + strings.ReplaceAll(err.Error(), "\n", "\n"+errorMark) + "\n"
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, err.Error()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// rewrite tells whether expectations are to be written anew: the flag is datadriven's.
func rewrite() bool { return flag.Lookup("rewrite").Value.String() == "true" }

// TestFile reads a file that says everything, in many forms.
func TestFile(t *testing.T) {
	b, err := os.ReadFile("testdata/all.toml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := read("all.toml", b)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Listen:           []string{"127.0.0.1:6432", "[::1]:6432?client_keys=3.2", "/run/cancello"},
		Socket:           Socket{"0770", "postgres"},
		AllowRemoteTrust: true,
		Auth:             Auth{Method: SCRAM, File: "users.txt", FailedDelay: 2 * time.Second, AdminUsers: []string{"root"}, StatsUsers: []string{"eve", "mallory"}},
		Pool: Pool{Mode: Transaction, DefaultSize: 5, MaxClientConn: 1000, MaxPreparedStatements: 50,
			Bounds:     Bounds{MinSize: 2, ReserveSize: 3, DBServers: 40, UserServers: 30, DBClients: 400, UserClients: 300},
			Reset:      Reset{Query: "DISCARD TEMP", Always: true},
			Check:      Check{Query: "SELECT 1", Delay: 10 * time.Second},
			RoundRobin: true, FastClose: true, IgnoreStartupParameters: []string{"extra_float_digits", "options"}},
		HTTP:      "9090",
		LogFormat: LogJSON,
		Takeover:  "/run/cancello/takeover",
		Timeouts: Timeouts{QueryWait: 0, WaitNotify: 10 * time.Second, ServerConnect: 5 * time.Second, ServerIdle: 90 * time.Second, ClientLogin: 1500 * time.Millisecond, Shutdown: 2 * time.Minute, ServerGhost: time.Hour,
			ServerLife: 30 * time.Minute, LoginRetry: 5 * time.Second, Reserve: 3 * time.Second},
		Limits: Limits{time.Hour, time.Minute, 30 * time.Second, 90 * time.Second},
		Cancel: Cancel{Timeout: 2 * time.Second, Resend: 100 * time.Millisecond, FailedDelay: 700 * time.Millisecond, PerUpstream: 16, SideSize: 3, SideIdle: 20 * time.Second, OnLoss: LossWaits, ClientLoss: 5 * time.Minute},
		TLS: TLS{
			Client: ClientTLS{Mode: SSLVerifyCA, Cert: "gate.pem", Key: "gate.key", CA: "clients.pem"},
			Server: ServerTLS{Mode: SSLRequire, CA: "servers.pem", Cert: "gate.pem", Key: "gate.key"},
			Min:    TLS13,
		},
		Network: Network{KeepCount: 3, KeepIdle: time.Minute, KeepInterval: 10 * time.Second, UserTimeout: 1500 * time.Millisecond},
		DNS:     DNS{MaxTTL: time.Minute},
		Cluster: Cluster{Node: 3, Listen: ":7432", SecretFile: "cluster.secret", Previous: "hunter2 hunter2 hunter2"},
		Peers:   []Peer{{Node: Give(0), Address: "10.0.0.1:7432"}, {Node: Give(1023), Address: "[::1]:7432", Mode: PeerPrefer}},
		Databases: []Database{
			{Name: "shop", Host: "db.example.com", Port: 5433, DBName: "shop_live", User: "app", Password: "s3cret, with \"quotes\"",
				PoolSize: Give(7), Mode: Give(Session), QueryWait: Give(time.Duration(0)), ServerIdle: Give(time.Minute), Keys: Give(KeysSince32),
				Network: DatabaseNetwork{Give(true), Give(5), Give(time.Duration(0)), Give(7 * time.Second), Give(2 * time.Second)},
				TLS:     DatabaseTLS{Mode: Give(SSLVerifyFull), CA: "roots.pem", Cert: "ours.pem", Key: "ours.key", Negotiation: Give(NegotiateDirect), Binding: Give(BindingRequire)},
				Bounds: DatabaseBounds{MinSize: Give(1), ReserveSize: Give(2), Reserve: Give(time.Second), ServerLife: Give(time.Duration(0)),
					Servers: Give(9), Clients: Give(90)},
				Cancel: DatabaseCancel{Fallback: "sql,disconnect", SQL: SQLCockroach, User: "canceller", Password: "s3cret too", Settle: Give(20 * time.Millisecond), Protocol: Give(Protocol32)}},
			{Name: "inline", Host: "/run/postgresql", Port: 5432},
			{Name: "dotted.name", Host: "localhost", Port: 5434},
			{Name: "several", Host: "a,b", Port: 1, Ports: "1,2", Balance: Give(InOrder)},
			{Name: "text", Host: "a, ::1", Port: 1, Ports: "1,2"},
			{Name: "*", Host: "localhost", Port: 5432},
		},
		Users: []User{
			{Name: "ann", PoolSize: Give(2), Mode: Give(Transaction), QueryWait: Give(3 * time.Second),
				Limits: UserLimits{Give(time.Duration(0)), Give(5 * time.Second), Give(6 * time.Second), Give(7 * time.Second)},
				Bounds: UserBounds{ReserveSize: Give(1), Servers: Give(5), Clients: Give(50)}},
			{Name: "bob"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	said := string(b)
	tables := [][]string{names(general()), names(ofDatabase()), names(ofUser()), names(ofPeer())}
	for _, name := range slices.Concat(tables...) {
		if !strings.Contains(said, name) {
			t.Errorf("all.toml does not say %s", name)
		}
	}
}

func names[T any](table []setting[T]) (list []string) {
	for _, s := range table {
		list = append(list, s.name)
	}
	return list
}

func TestEmptyFile(t *testing.T) {
	f, err := Parse("empty", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), f.Config); diff != "" {
		t.Errorf("an empty file says something: %s", diff)
	}
}

// A fault that is a flag's has no line in the file.
func TestLocate(t *testing.T) {
	f, err := Parse("f", []byte("[databases.shop]\n\n[auth]\nauth_type = \"plain\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	f.Config.Listen = []string{"nowhere"}
	f.Config.Databases[0].Port = 0 // by a flag, say: the table is what the file has of it
	want := `listen = "nowhere" is not allowed`
	err = f.Locate(Validate(&f.Config))
	for _, want := range []string{"f:4:1: auth_type", `f:1:2: database "shop": port`, "\nlisten = \"nowhere\": the port is missing"} {
		if !strings.Contains("\n"+err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), want) {
		t.Errorf("one fault is told twice:\n%v", err)
	}
	if f.Locate(nil) != nil {
		t.Error("nothing is something")
	}
	if other := errors.New("other"); !strings.Contains(f.Locate(other).Error(), "other") {
		t.Error("an error that is no fault is lost")
	}
}

func TestShare(t *testing.T) {
	c := good()
	c.Databases = append(c.Databases, Database{Name: "shop", Host: "h", Port: 1, PoolSize: Give(3), Mode: Give(Transaction), QueryWait: Give(time.Second), ServerIdle: Give(time.Duration(0)), Keys: Give(KeysNever)})
	c.Users = []User{{Name: "ann", PoolSize: Give(9), QueryWait: Give(time.Duration(0))}, {Name: "bob", Mode: Give(Session)}}
	general := Limits{time.Hour, time.Minute, 0, time.Second}
	bob := Limits{2 * time.Hour, 0, 3 * time.Second, 4 * time.Second}
	c.Limits = general
	c.Users[1].Limits = UserLimits{Give(bob.ClientIdle), Give(bob.IdleTransaction), Give(bob.Query), Give(bob.Transaction)}
	for _, w := range []struct {
		database, user string
		want           Share
	}{
		{"other", "eve", Share{Database: c.Databases[0], Size: 20, Mode: Session, QueryWait: 2 * time.Minute, ServerIdle: 10 * time.Minute, Reserve: 5 * time.Second, ServerLife: time.Hour, Limits: general}},
		{"other", "ann", Share{Database: c.Databases[0], Size: 9, Mode: Session, QueryWait: 0, ServerIdle: 10 * time.Minute, Reserve: 5 * time.Second, ServerLife: time.Hour, Limits: general}},
		{"shop", "eve", Share{Database: c.Databases[1], Size: 3, Mode: Transaction, QueryWait: time.Second, ServerIdle: 0, Reserve: 5 * time.Second, ServerLife: time.Hour, OwnKeys: Give(KeysNever), Limits: general}},
		{"shop", "ann", Share{Database: c.Databases[1], Size: 9, Mode: Transaction, QueryWait: 0, ServerIdle: 0, Reserve: 5 * time.Second, ServerLife: time.Hour, OwnKeys: Give(KeysNever), Limits: general}},
		{"shop", "bob", Share{Database: c.Databases[1], Size: 3, Mode: Session, QueryWait: time.Second, ServerIdle: 0, Reserve: 5 * time.Second, ServerLife: time.Hour, OwnKeys: Give(KeysNever), Limits: bob}},
	} {
		got, ok := c.Share(w.database, w.user)
		if diff := cmp.Diff(w.want, got); !ok || diff != "" {
			t.Errorf("%s at %s: (-want +got)\n%s", w.user, w.database, diff)
		}
	}
	c.Databases = c.Databases[1:]
	if _, ok := c.Share("other", "ann"); ok {
		t.Error("a database that is not configured has a share")
	}
}

// What an entry says of limits goes before what is general, a user's reserve before its database's.
func TestShareOfLimits(t *testing.T) {
	c := good()
	c.Pool.Bounds = Bounds{MinSize: 1, ReserveSize: 2, DBServers: 3, UserServers: 4, DBClients: 5, UserClients: 6}
	shop := NewDatabase("shop")
	shop.Bounds = DatabaseBounds{MinSize: Give(0), ReserveSize: Give(20), Reserve: Give(time.Minute), ServerLife: Give(time.Second), Servers: Give(30), Clients: Give(0)}
	c.Databases = append(c.Databases, shop)
	c.Users = []User{{Name: "ann", Bounds: UserBounds{ReserveSize: Give(200), Servers: Give(40), Clients: Give(60)}}}
	type limits struct {
		min, reserve                               int
		after, life                                time.Duration
		servers, clients, userServers, userClients int
	}
	for _, w := range []struct {
		database, user string
		want           limits
	}{
		{"other", "eve", limits{1, 2, 5 * time.Second, time.Hour, 3, 5, 4, 6}},
		{"other", "ann", limits{1, 200, 5 * time.Second, time.Hour, 3, 5, 40, 60}},
		{"shop", "eve", limits{0, 20, time.Minute, time.Second, 30, 0, 4, 6}},
		{"shop", "ann", limits{0, 200, time.Minute, time.Second, 30, 0, 40, 60}},
	} {
		s, _ := c.Share(w.database, w.user)
		got := limits{s.MinSize, s.ReserveSize, s.Reserve, s.ServerLife, c.MaxServers(w.database), c.MaxClients(w.database), c.MaxUserServers(w.user), c.MaxUserClients(w.user)}
		if got != w.want {
			t.Errorf("%s at %s: %+v, want %+v", w.user, w.database, got, w.want)
		}
	}
}

func TestCheckText(t *testing.T) {
	for _, c := range []struct {
		query, text string
		asked       bool
	}{{EmptyQuery, "", true}, {"", "", false}, {"SELECT 1", "SELECT 1", true}} {
		if text, asked := (Check{Query: c.query}).Text(); text != c.text || asked != c.asked {
			t.Errorf("%q: %q, %t", c.query, text, asked)
		}
	}
}

// TestReference compares docs/configuration.md with the tables.
func TestReference(t *testing.T) {
	const path = "../../docs/configuration.md"
	if rewrite() {
		if err := os.WriteFile(path, []byte(Reference()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(Reference(), "\n"), strings.Split(string(b), "\n")); diff != "" {
		t.Errorf("%s is not what the tables say; write it anew with -rewrite: (-want +got)\n%s", path, diff)
	}
}

// FuzzFile: no file makes it panic; what it takes can be validated and told; what it refuses is told with a line.
func FuzzFile(f *testing.F) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse("f", b)
		if err != nil {
			for _, x := range faultsOf(err) {
				if x.Line < 1 || x.Column < 1 || x.Line > strings.Count(string(b), "\n")+1 {
					t.Errorf("a fault at %d:%d", x.Line, x.Column)
				}
			}
			return
		}
		err = file.Locate(Validate(&file.Config))
		again, err2 := Parse("f", b)
		if err2 != nil || cmp.Diff(file.Config, again.Config) != "" {
			t.Error("read twice, it is two things")
		}
		before := Default()
		if Diff(&before, &file.Config) == nil && err == nil {
			t.Error("a file that says nothing is enough")
		}
	})
}
