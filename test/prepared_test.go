package test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"

	"github.com/jackc/pgx/v5"
)

// parse and bound are the messages of a named statement without parameters.
func parse(name, sql string) []byte { return fake.Msg('P', name, sql, uint16(0)) }

func bound(name string) []byte {
	return append(fake.Msg('B', "", name, uint16(0), uint16(0), uint16(0)), fake.Msg('E', "", 0)...)
}

var syncMsg = fake.Msg('S')

// runs sends messages up to Sync and returns the one value that comes back, or the SQLSTATE of an error.
func (c *raw) runs(msgs ...[]byte) string {
	c.t.Helper()
	c.send(append(msgs, syncMsg)...)
	value := ""
	for _, m := range c.until("Z") {
		switch m.Type {
		case 'D':
			value = string(m.Body[6:])
		case 'E':
			value = m.Field('C') + " " + m.Field('M')
		}
	}
	return value
}

// Clients that prepare the same share one statement of the server, whatever they call it; others don't. A server keeps
// max_prepared_statements, and those not used for longest go.
func TestPreparedShared(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := pgtest.Start(t, major)
			g := startGate(t, gateOptions{upstreams: []string{upstream(c, "", "")}, mode: "transaction", size: 1, set: []string{"max_prepared_statements=3"}})
			count := func(cl *raw) string {
				return cl.value("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'cancello%'")
			}
			a, b := login(t, g.Addr(), "postgres", "postgres"), login(t, g.Addr(), "postgres", "postgres")
			other := login(t, g.Addr(), "postgres", "postgres", "DateStyle", "German")
			const date = "SELECT '2004-03-02'::date"
			a.runs(parse("p", date))
			b.runs(parse("another", date))
			if n := count(a); n != "1" {
				t.Errorf("%s statements for one text", n)
			}
			b.runs(parse("p", "SELECT 'b'"))
			other.runs(parse("p", date))
			for range 3 {
				for _, x := range []struct {
					cl         *raw
					name, want string
				}{{a, "p", "2004-03-02"}, {b, "another", "2004-03-02"}, {b, "p", "b"}, {other, "p", "02.03.2004"}} {
					if got := x.cl.runs(bound(x.name)); !strings.HasSuffix(got, x.want) {
						t.Errorf("%s gives %q, want %q", x.name, got, x.want)
					}
				}
			}
			if n := count(a); n != "3" {
				t.Errorf("%s statements", n)
			}
			for i := range 20 {
				a.runs(parse(fmt.Sprint("many ", i), fmt.Sprintf("SELECT 'text %d'", i)))
			}
			if n := count(a); n != "3" {
				t.Errorf("%s statements in a server that keeps 3", n)
			}
			for i := range 20 {
				if got := a.runs(bound(fmt.Sprint("many ", i))); !strings.HasSuffix(got, fmt.Sprintf("text %d", i)) {
					t.Errorf("%d gives %q", i, got)
				}
			}
			// A server that was reset has none; they are prepared anew.
			b.value("PREPARE s AS SELECT 1")
			if n := count(a); n != "0" {
				t.Errorf("%s statements after a reset", n)
			}
			if got := b.runs(bound("p")); !strings.HasSuffix(got, "b") {
				t.Errorf("%q after a reset", got)
			}
		})
	}
}

// A statement whose result has changed: the error reaches the client, and at its next use it is prepared anew (trap D2).
func TestPreparedResultChanges(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := pgtest.Start(t, major)
			g := startGate(t, gateOptions{upstreams: []string{upstream(c, "", "")}, mode: "transaction", size: 1})
			superuser(t, c, "DROP TABLE IF EXISTS pr_changes; CREATE TABLE pr_changes (n int); INSERT INTO pr_changes VALUES (1)")
			a, b := login(t, g.Addr(), "postgres", "postgres"), login(t, g.Addr(), "postgres", "postgres")
			a.runs(parse("p", "SELECT * FROM pr_changes"))
			if got := a.runs(bound("p")); got != "1" {
				t.Errorf("%q", got)
			}
			superuser(t, c, "ALTER TABLE pr_changes ALTER n TYPE text USING 'as text'")
			// Who parses it now gets what it is now.
			if got := b.runs(parse("q", "SELECT * FROM pr_changes"), bound("q")); got != "as text" {
				t.Errorf("%q", got)
			}
			superuser(t, c, "ALTER TABLE pr_changes ALTER n TYPE name")
			a.value("BEGIN")
			if got := a.runs(bound("p")); got != "0A000 cached plan must not change result type" {
				t.Errorf("%q", got)
			}
			if got := a.runs(bound("p")); !strings.HasPrefix(got, "25P02") {
				t.Errorf("%q", got)
			}
			a.value("ROLLBACK")
			for _, x := range []*raw{a, a} {
				if got := x.runs(bound("p")); got != "as text" {
					t.Errorf("%q after the error", got)
				}
			}
			if got := b.runs(bound("q")); got != "as text" {
				t.Errorf("%q", got)
			}
		})
	}
}

// Texts that mean another moment each time are nobody else's (trap D1), and large ones work as long as their transaction.
func TestPreparedPrivate(t *testing.T) {
	c := pgtest.Start(t, 18)
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "", "")}, mode: "transaction", size: 1})
	a, b := login(t, g.Addr(), "postgres", "postgres"), login(t, g.Addr(), "postgres", "postgres")
	const now = "SELECT 'NOW'::timestamptz"
	a.runs(parse("p", now))
	first := a.runs(bound("p"))
	if b.runs(parse("p", now), bound("p")) == first {
		t.Error("b was given the moment at which a had parsed")
	}
	if again := a.runs(bound("p")); again != first {
		t.Errorf("a's moment changed from %s to %s", first, again)
	}
	kept := "SELECT 'kept' -- " + strings.Repeat("x", 200<<10)
	if got := a.runs(parse("kept", kept)); got != "" {
		t.Errorf("%q", got)
	}
	b.value("PREPARE reset AS SELECT 1") // and the server is reset
	if got := a.runs(bound("kept")); got != "kept" {
		t.Errorf("%q", got)
	}
	large := "SELECT 'large' -- " + strings.Repeat("x", 300<<10)
	if got := a.runs(parse("large", large), bound("large")); got != "large" {
		t.Errorf("%q", got)
	}
	b.value("SELECT 1")
	if got := a.runs(bound("large")); !strings.HasPrefix(got, "54000") {
		t.Errorf("%q", got)
	}
	if got := a.runs(fake.Msg('C', byte('S'), "large"), parse("large", "SELECT 'small'"), bound("large")); got != "small" {
		t.Errorf("%q", got)
	}
}

// Many clients with pgx's defaults, on few servers.
func TestPGXCrowd(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := pgtest.Start(t, major)
			g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 2, set: []string{"max_prepared_statements=5"}})
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			var all sync.WaitGroup
			for i := range 10 {
				all.Add(1)
				go func() {
					defer all.Done()
					if err := crowdPGX(ctx, g.DSN("postgres", "postgres"), i); err != nil {
						t.Errorf("client %d: %v", i, err)
					}
				}()
			}
			all.Wait()
		})
	}
}

// crowdPGX prepares statements that other clients prepare too, under names that differ, and looks at each result.
func crowdPGX(ctx context.Context, dsn string, id int) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for round := range 60 {
		k := (id + round) % 8
		var n int
		var text string
		if err := conn.QueryRow(ctx, fmt.Sprintf("SELECT $1::int + %d, 'text %d' || $2::text", k, k), id*1000, "!").Scan(&n, &text); err != nil {
			return err
		}
		if n != id*1000+k || text != fmt.Sprintf("text %d!", k) {
			return fmt.Errorf("round %d: %d and %q", round, n, text)
		}
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, "SELECT $1::int", id).Scan(&n); err != nil || n != id {
			return fmt.Errorf("in a transaction: %d: %w", n, err)
		}
		if err := tx.Commit(ctx); err != nil {
			return err
		}
	}
	return nil
}
