package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/jackc/pgx/v5/pgconn"
)

// Each line is a DSN; the result is what it means, or the error. Passwords in the scripts begin with "sec".
func TestParseDSN(t *testing.T) {
	datadriven.RunTest(t, "testdata/dsn", func(t *testing.T, d *datadriven.TestData) string {
		var out strings.Builder
		for line := range strings.SplitSeq(d.Input, "\n") {
			db, err := ParseDSN(line)
			if err != nil {
				fmt.Fprintln(&out, "error:", err)
				if strings.Contains(err.Error(), "sec") {
					t.Errorf("%s: the error tells the password: %v", line, err)
				}
				continue
			}
			fmt.Fprintf(&out, "name=%q host=%q port=%d dbname=%q user=%q password=%q%s\n", db.Name, db.Host, db.Port, db.DBName, db.User, db.Password, tlsOf(db))
		}
		return out.String()
	})
}

// pgx reads the same strings, as libpq does.
func TestParseDSNAgreesWithPgx(t *testing.T) {
	for _, dsn := range []string{
		"postgres://u:p@h:1/d", "postgresql://u@h/d", "postgres://u@[::1]:6/d", "postgres://u:p%40%2F@h/d%20e",
		"postgres://u@/d?host=/tmp", "postgres://u@h/d?port=9&password=x%26y",
		"host=h user=u dbname=d", "host = h user='u v' password='it\\'s \\\\' dbname=d port=3", "host=/tmp user=u dbname=d",
		"host=h user=u password=a\\ b dbname=d",
	} {
		got, err := ParseDSN(dsn)
		if err != nil {
			t.Errorf("%s: %v", dsn, err)
			continue
		}
		want, err := pgconn.ParseConfig(dsn)
		if err != nil {
			t.Fatal(err)
		}
		if got.Host != want.Host || got.Port != int(want.Port) || got.User != want.User || got.Password != want.Password || got.DBName != want.Database {
			t.Errorf("%s: %v, pgx has %s %d %s %s", dsn, got, want.Host, want.Port, want.User, want.Database)
		}
	}
}

func FuzzParseDSN(f *testing.F) {
	for _, seed := range []string{
		"", "postgres://", "postgres://u:p@h:1/d?host=/x&sslmode=disable", "postgresql://[::1]", "postgres://%zz", "postgres://u@h@i",
		"host=h", "host='h", `host=\`, "host = ", "= =", "a=b", "postgres://?=&", "http://x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		d, err := ParseDSN(dsn)
		if err != nil {
			if d != (Database{}) || err.Error() == "" || len(err.Error()) > 600 {
				t.Fatalf("%v, %v", d, err)
			}
			return
		}
		c := good()
		c.Databases = []Database{d}
		if err := Validate(c); err != nil {
			t.Fatalf("ParseDSN takes what Validate refuses: %v", err)
		}
	})
}

// tlsOf is what a database says of TLS.
func tlsOf(d Database) (text string) {
	for _, one := range said(ofDatabase(), &d) {
		if strings.HasPrefix(one, "ssl") || strings.HasPrefix(one, "channel_binding") || strings.HasPrefix(one, "load_") || strings.HasPrefix(one, "keep") || strings.HasPrefix(one, "tcp") || strings.HasPrefix(one, "port=") && d.Ports != "" {
			text += " " + one
		}
	}
	return text
}
