package test

import (
	"fmt"
	"strings"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

// In statement mode no transaction block outlives what opened it: refused before anything runs where that can be
// foreseen, rolled back where it can't. Either way the client is told and goes on, and nothing is committed that a direct
// connection would have rolled back.
func TestStatementMode(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			c := pgtest.Start(t, major)
			su := login(t, direct(c).Addr(), "postgres", "postgres")
			su.value("DROP TABLE IF EXISTS st")
			su.value("CREATE TABLE st (n int primary key)")
			g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "statement", size: 1})
			a := login(t, g.Addr(), "postgres", "postgres")
			b := login(t, g.Addr(), "postgres", "postgres")

			for _, u := range []struct {
				name string
				send []byte
				rows string
				code string // "": it succeeds
			}{
				{"begin", fake.Query("BEGIN"), "0", "0A000"},
				{"start transaction", fake.Query("/* so */ start transaction read write"), "0", "0A000"},
				{"insert and begin", fake.Query("INSERT INTO st VALUES (1); BEGIN"), "0", "0A000"},
				{"begin in a batch", fake.Join(batchOf("INSERT INTO st VALUES (1)"), batchOf("BEGIN"), fake.Msg('S')), "0", "0A000"},
				{"hidden begin", fake.Query(`INSERT INTO st SELECT 1 WHERE '\' <> ''; BEGIN; INSERT INTO st VALUES (2)`), "0", "0A000"},
				{"savepoint", fake.Query("SAVEPOINT a"), "0", "25P01"},
				{"whole block", fake.Query("BEGIN; INSERT INTO st VALUES (1); COMMIT"), "1", ""},
				{"whole block that fails", fake.Query("BEGIN; INSERT INTO st VALUES (1); SELECT 1/0; COMMIT"), "0", "22012"},
				{"whole block, rolled back", fake.Query("BEGIN; INSERT INTO st VALUES (1); ROLLBACK"), "0", ""},
				{"two statements", fake.Query("INSERT INTO st VALUES (1); INSERT INTO st VALUES (2)"), "2", ""},
				{"batch", fake.Join(batchOf("INSERT INTO st VALUES (1)"), batchOf("INSERT INTO st VALUES (2)"), fake.Msg('S')), "2", ""},
				{"copy", fake.Join(fake.Query("COPY st FROM STDIN"), fake.Msg('d', []byte("1\n")), fake.Msg('c')), "1", ""},
			} {
				t.Run(u.name, func(t *testing.T) {
					su.value("TRUNCATE st")
					a.send(u.send)
					said := a.until("Z")
					code := ""
					for _, m := range said {
						if m.Type == 'E' {
							code += m.Field('C')
						}
					}
					if z := string(said[len(said)-1].Body); code != u.code || z != "I" {
						t.Errorf("answered %s, status %s; want %q and I", summary(said), z, u.code)
					}
					if n := b.value("SELECT count(*) FROM st"); n != u.rows {
						t.Errorf("%s rows, want %s", n, u.rows)
					}
					if n := su.value("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'"); n != "0" {
						t.Errorf("%s servers idle in a transaction", n)
					}
				})
			}

			t.Run("each unit by itself", func(t *testing.T) {
				// What stands behind a block that is undone runs by itself, as it would behind a BEGIN that was refused.
				su.value("TRUNCATE st")
				a.send(fake.Query(`INSERT INTO st SELECT 1 WHERE '\' <> ''; BEGIN`), fake.Query("INSERT INTO st VALUES (3)"))
				said := a.untilNth("Z", 2)
				if types := fake.Types(said); types != "CCEZCZ" {
					t.Errorf("answered %s", summary(said))
				}
				if n := su.value("SELECT string_agg(n::text, ',') FROM st"); n != "3" {
					t.Errorf("rows %q, want 3", n)
				}
			})
			t.Run("prepared", func(t *testing.T) {
				su.value("TRUNCATE st")
				prepare := fake.Join(fake.Msg('P', "p", "INSERT INTO st SELECT coalesce(max(n), 0) + 1 FROM st", uint16(0)), fake.Msg('S'))
				execute := fake.Join(fake.Msg('B', "", "p", uint16(0), uint16(0), uint16(0)), fake.Msg('E', "", 0), fake.Msg('S'))
				a.send(prepare)
				a.until("Z")
				for range 3 {
					b.value("SELECT 1")
					a.send(execute)
					if said := a.until("Z"); fake.Types(said) != "2CZ" {
						t.Fatalf("answered %s", summary(said))
					}
				}
				if n := su.value("SELECT count(*) FROM st"); n != "3" {
					t.Errorf("%s rows, want 3", n)
				}
			})
			if log := g.Log(); strings.Contains(log, "PANIC") || strings.Contains(log, "outcome=failed") {
				t.Error(log)
			}
		})
	}
}
