package test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// rivals are clients of the same pool that never rest: they take the driver's servers whenever it lets go, and leave
// behind what would hurt: settings of their own, statements under the names that drivers use, failed transactions.
func rivals(t testing.TB, d driver, g ground, rootCert string) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	n := 3
	if g.mode == "session" {
		n = 1
	}
	for i := range n {
		all.Add(1)
		go func() {
			defer all.Done()
			for ctx.Err() == nil {
				if err := disturb(ctx, d, g, rootCert, i); err != nil && ctx.Err() == nil {
					t.Errorf("%s, %s: rival %d: %v", d.name, g, i, err)
					return
				}
			}
		}()
	}
	return func() { cancel(); all.Wait() }
}

// driverNames are what drivers call their prepared statements.
var driverNames = []string{"p", "d", "s", "m1", "m7", "P_0", "P_5", "S_1", "S_2", "_pg3_0", "_pg3_1", "__asyncpg_stmt_1__", "__asyncpg_stmt_2__"}

func disturb(ctx context.Context, d driver, g ground, rootCert string, number int) error {
	a := g.address
	c, err := pgconn.ParseConfig(a.DSN(d.role(), "postgres"))
	if g.tls {
		c, err = pgconn.ParseConfig(over(a, "verify-full", "sslrootcert="+rootCert))
	}
	if err != nil {
		return err
	}
	c.User, c.Password = d.role(), driverPassword
	c.RuntimeParams["timezone"], c.RuntimeParams["datestyle"] = "Asia/Tokyo", "SQL, DMY"
	limited, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	conn, err := pgconn.ConnectConfig(limited, c)
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	for round := 0; round < 20 && ctx.Err() == nil; round++ {
		name := driverNames[(number+round)%len(driverNames)]
		for _, sql := range []string{"SELECT pg_sleep(0.002)", "DEALLOCATE ALL"} {
			if _, err := conn.Exec(limited, sql).ReadAll(); err != nil {
				return err
			}
		}
		for _, name := range []string{name, ""} {
			if _, err := conn.Prepare(limited, name, "SELECT 'a rival''s' || $1", nil); err != nil {
				return err
			}
			r := conn.ExecPrepared(limited, name, [][]byte{[]byte("!")}, nil, nil).Read()
			if r.Err != nil || string(r.Rows[0][0]) != "a rival's!" {
				return fmt.Errorf("%q, %w", r.Rows, r.Err)
			}
		}
		if g.mode == "statement" {
			continue
		}
		var failed *pgconn.PgError
		if _, err := conn.Exec(limited, "BEGIN; SELECT 1 / 0").ReadAll(); !errors.As(err, &failed) || failed.Code != "22012" {
			return fmt.Errorf("division by zero: %w", err)
		}
		if _, err := conn.Exec(limited, "ROLLBACK").ReadAll(); err != nil {
			return err
		}
	}
	return nil
}
