package probe

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"cancello/internal/pgtest"
)

func TestMain(m *testing.M) {
	pgtest.Beside(8)
	pgtest.Main(m)
}

// otherwise is what PostgreSQL gives other than a pass, without --races; the rest passes. A server without TLS is asked.
var otherwise = map[int]map[string]Verdict{
	15: {"key.length-32": NotApplicable},
	18: {},
}

// withoutTLS are the cases that a server without TLS leaves nothing for.
var withoutTLS = []string{
	"encryption.smuggled", "encryption.direct", "encryption.direct-no-alpn", "encryption.direct-wrong-alpn", "encryption.wrong-alpn",
}

// TestPostgreSQL: PostgreSQL is the measure. What these cases say of it is known, case by case.
func TestPostgreSQL(t *testing.T) {
	for _, major := range []int{15, 18} {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := pgtest.Start(t, major)
			r, err := run(context.Background(), firstCases(), targetOf(t, c.DSN("postgres", "postgres")), Options{Patience: patient.Patience}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if wrong := checkJSON(t, r); wrong != nil {
				t.Errorf("the report does not fit its schema: %q", wrong)
			}
			want := map[string]Verdict{}
			for _, id := range withoutTLS {
				want[id] = NotApplicable
			}
			for id, v := range otherwise[major] {
				want[id] = v
			}
			for _, f := range r.Findings {
				expected := want[f.ID]
				if expected == "" {
					expected = Pass
				}
				if f.ID == "encryption.gssencrequest-then-ssl" && strings.Contains(f.Seen, "'G'") {
					continue // built with Kerberos: nothing follows a 'G'
				}
				if f.Verdict != expected {
					t.Errorf("%s: %s, want %s: %s\n%s", f.ID, f.Verdict, expected, f.Seen, lines(f.Evidence))
				}
			}
		})
	}
}

func firstCases() []Case {
	var chosen []Case
	for _, c := range Cases() {
		if firstGroups(c) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

// TestLogins: each way to prove who one is, against the server that invented them, and a wrong password with each.
func TestLogins(t *testing.T) {
	for method, rules := range map[string]string{
		"password": "host all all all password\n", "md5": "host all all all md5\n", "scram": "host all all all scram-sha-256\n",
	} {
		t.Run(method, func(t *testing.T) {
			c := pgtest.Start(t, 18, pgtest.HBA("local all all trust\n"+rules))
			encryption := "scram-sha-256"
			if method == "md5" {
				encryption = "md5"
			}
			// A password that SASLprep and a URL both have something to do with.
			out := pgtest.PSQL(t, 18, "-d", c.SocketDSN("postgres", "postgres"), "-c", "SET password_encryption = '"+encryption+"'", "-c", "CREATE ROLE ann LOGIN PASSWORD 'sé cret/1'")
			if out.Code != 0 {
				t.Fatal(out.Stderr)
			}
			address := c.Addr()
			right := targetOf(t, "postgres://ann:s%C3%A9%20cret%2F1@"+address+"/postgres?sslmode=disable")
			if err := right.reach(context.Background(), patient); err != nil {
				t.Error(err)
			}
			wrong := targetOf(t, "postgres://ann:secret1@"+address+"/postgres?sslmode=disable")
			if err := wrong.reach(context.Background(), patient); err == nil || !strings.Contains(err.Error(), "28P01") {
				t.Errorf("a wrong password: %v", err)
			}
		})
	}
}

// TestUnixSocket: a socket is as good as a port; there SSLRequest is answered 'N'.
func TestUnixSocket(t *testing.T) {
	c := pgtest.Start(t, 18)
	r, err := run(context.Background(), firstCases(), targetOf(t, c.SocketDSN("postgres", "postgres")), Options{Only: "encryption.ssl*", Patience: patient.Patience}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Failures()) > 0 || r.Count(Pass) != 2 || !strings.HasPrefix(r.About.Address, c.SocketDir()) {
		t.Errorf("%+v: %+v", r.About, r.Findings)
	}
}

// TestLeavesNothing: after a check no session is open, no lock held, no query running, and no object is there that was
// not before.
func TestLeavesNothing(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, 18, pgtest.Private())
	ask := func(sql string) string {
		out := pgtest.PSQL(t, 18, "-At", "-d", c.SocketDSN("postgres", "postgres"), "-c", sql)
		if out.Code != 0 {
			t.Fatal(out.Stderr)
		}
		return out.Stdout
	}
	// OIDs tell whether anything was made outside of temporary schemas, and dropped again or not.
	const objects = "SELECT count(*), max(c.oid) FROM pg_class c WHERE relnamespace::regnamespace::text !~ '^pg_(toast_)?temp' UNION ALL " +
		"SELECT count(*), max(oid) FROM pg_proc UNION ALL SELECT count(*), max(oid) FROM pg_authid UNION ALL SELECT count(*), max(oid) FROM pg_database"
	before := ask(objects)
	r, err := Run(context.Background(), targetOf(t, c.DSN("postgres", "postgres")), Options{Patience: patient.Patience}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Failures() {
		if f = again(t, targetOf(t, c.DSN("postgres", "postgres")), Options{Patience: patient.Patience}, f, func(f Finding) bool { return f.Verdict != Fail }); f.Verdict == Fail {
			t.Errorf("%+v", f)
		}
	}
	if wrong := checkJSON(t, r); wrong != nil {
		t.Errorf("the report does not fit its schema: %q", wrong)
	}
	if out := ask(`DO $$ BEGIN
	FOR i IN 1..1000 LOOP
		PERFORM pg_stat_clear_snapshot();
		IF NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()) THEN RETURN; END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RAISE '%', (SELECT string_agg(state || ' ' || query, '; ') FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid());
END $$`); out != "DO\n" {
		t.Error(out)
	}
	if locks := ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"); locks != "0\n" {
		t.Errorf("advisory locks: %s", locks)
	}
	if after := ask(objects); after != before {
		t.Errorf("objects before:\n%safter:\n%s", before, after)
	}
}
