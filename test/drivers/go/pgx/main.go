// Command pgx does the cases of the driver programs with pgx 5 and its defaults.
package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"drivers/contract"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

func main() { contract.Run("pgx", "github.com/jackc/pgx/v5", use) }

// user is one run of the cases.
type user struct {
	p     *contract.Program
	t     contract.Target
	c     *pgx.Conn
	table string
}

var ctx = context.Background()

func use(p *contract.Program, t contract.Target) error {
	config, err := pgx.ParseConfig(t.DSN())
	if err != nil {
		return err
	}
	// The default closes the connection when a context ends. This cancels.
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: time.Minute}
	}
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	u := &user{p: p, t: t, c: c, table: t.Table}
	p.Case("connect", func() (string, error) { return text(c, contract.Who) })
	p.Case("query", u.query)
	p.Case("parameters", func() (string, error) {
		return text(c, contract.Parameters, 41, contract.Text, nil, []byte{0, 255}, 1.25, []int{1, 2, 3}, time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC))
	})
	p.Case("prepared", u.prepared)
	p.Case("many", u.many)
	p.Case("transaction", u.transaction)
	p.Case("error", u.errors)
	p.Case("pipeline", u.pipeline)
	p.Case("copy", u.copy)
	p.Case("cursor", u.cursor)
	p.Case("big", u.big)
	u.cancels()
	p.Case("servers", u.servers)
	return nil
}

// text is the one value that a query returns.
func text(c *pgx.Conn, sql string, args ...any) (v string, err error) {
	err = c.QueryRow(ctx, sql, args...).Scan(&v)
	return v, err
}

// code is the SQLSTATE of an error.
func code(err error) string {
	var failed *pgconn.PgError
	if errors.As(err, &failed) {
		return failed.Code
	}
	return fmt.Sprintf("%v", err)
}

func (u *user) one() string { return contract.Value(text(u.c, "SELECT $1::int::text", 1)) }

func (u *user) query() (string, error) {
	results, err := u.c.PgConn().Exec(ctx, contract.Simple).ReadAll()
	if err != nil {
		return "", err
	}
	var all []string
	for _, v := range results[0].Rows[0] {
		if v == nil {
			v = []byte("null")
		}
		all = append(all, string(v))
	}
	return strings.Join(all, " "), nil
}

func (u *user) prepared() (string, error) {
	if _, err := u.c.Prepare(ctx, "p", "SELECT $1::int * 2"); err != nil {
		return "", err
	}
	sum := 0
	for i := range 12 {
		var v int
		if err := u.c.QueryRow(ctx, "p", i+1).Scan(&v); err != nil {
			return "", err
		}
		sum += v
	}
	return fmt.Sprint(sum), nil
}

func (u *user) many() (string, error) {
	sum := 0
	for n := range 3 {
		for i := range contract.Many {
			var v int
			if err := u.c.QueryRow(ctx, fmt.Sprintf("SELECT $1::int + %d", i), n).Scan(&v); err != nil {
				return "", err
			}
			sum += v
		}
	}
	return fmt.Sprint(sum), nil
}

func (u *user) transaction() (string, error) {
	err := u.t.Transaction(func() (contract.Tx, error) {
		tx, err := u.c.Begin(ctx)
		return contract.Tx{
			Insert: func(query string, n int) (pid int, err error) {
				err = tx.QueryRow(ctx, query, n).Scan(&pid)
				return pid, err
			},
			Commit:   func() error { return tx.Commit(ctx) },
			Rollback: func() error { return tx.Rollback(ctx) },
		}, err
	})
	if err != nil {
		return "", err
	}
	return text(u.c, "SELECT count(*)::text FROM "+u.table)
}

func (u *user) errors() (string, error) {
	_, err := u.c.Exec(ctx, "INSERT INTO "+u.table+" VALUES ($1, 'again')", 1)
	said := []string{code(err)}
	if _, err := u.c.Prepare(ctx, "d", "SELECT 1 / $1::int"); err != nil {
		return "", err
	}
	_, err = u.c.Exec(ctx, "d", 0)
	said = append(said, code(err))
	tx, err := u.c.Begin(ctx)
	if err != nil {
		return "", err
	}
	_, _ = tx.Exec(ctx, "SELECT 1 / 0")
	_, err = tx.Exec(ctx, "SELECT 1")
	said = append(said, code(err))
	if err := tx.Rollback(ctx); err != nil {
		return "", err
	}
	var v int
	if err := u.c.QueryRow(ctx, "d", 1).Scan(&v); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d", strings.Join(said, " "), v), nil
}

func (u *user) pipeline() (string, error) {
	send := func(numbers ...int) error {
		batch := &pgx.Batch{}
		for _, n := range numbers {
			batch.Queue("INSERT INTO "+u.table+" VALUES ($1, 'batch')", n)
		}
		return u.c.SendBatch(ctx, batch).Close()
	}
	count := func() string {
		return contract.Value(text(u.c, "SELECT count(*)::text FROM "+u.table+" WHERE t = 'batch'"))
	}
	if err := send(100, 101, 102, 103, 104, 105, 106, 107, 108, 109); err != nil {
		return "", err
	}
	said := "10 " + count()
	return said + " " + code(send(200, 201, 100, 202)) + " " + count(), nil
}

func (u *user) copy() (string, error) {
	n, err := u.c.CopyFrom(ctx, pgx.Identifier{u.table}, []string{"n", "t"}, pgx.CopyFromSlice(1000, func(i int) ([]any, error) { return []any{1000 + i, "copied"}, nil }))
	if err != nil {
		return "", err
	}
	var out strings.Builder
	if _, err := u.c.PgConn().CopyTo(ctx, &out, "COPY (SELECT n FROM "+u.table+" WHERE t = 'copied') TO STDOUT"); err != nil {
		return "", err
	}
	if lines := strings.Count(out.String(), "\n"); int64(lines) != n {
		return "", fmt.Errorf("%d in, %d out", n, lines)
	}
	_, err = u.c.PgConn().CopyFrom(ctx, strings.NewReader("no number\tx\n"), "COPY "+u.table+" FROM STDIN")
	return fmt.Sprintf("%d %s %s", n, code(err), u.one()), nil
}

// cursor reads rows as they come, and leaves a result early.
func (u *user) cursor() (string, error) {
	rows, err := u.c.Query(ctx, "SELECT n FROM generate_series(1, $1::int) n", 1000)
	if err != nil {
		return "", err
	}
	sum, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return "", err
	}
	total := 0
	for _, n := range sum {
		total += n
	}
	if rows, err = u.c.Query(ctx, "SELECT n FROM generate_series(1, $1::int) n", 1000); err != nil {
		return "", err
	}
	rows.Next()
	rows.Close()
	return fmt.Sprintf("%d %s", total, u.one()), rows.Err()
}

func (u *user) big() (string, error) {
	v, err := text(u.c, "SELECT repeat('x', $1)", contract.Big)
	if err != nil {
		return "", err
	}
	rows, err := u.c.Query(ctx, "SELECT n FROM generate_series(1, $1::int) n", contract.Rows)
	if err != nil {
		return "", err
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[int])
	sum := 0
	for _, n := range all {
		sum += n
	}
	return fmt.Sprintf("%d %d %d", len(v), len(all), sum), err
}

// cancelled runs a statement that sleeps and cancels it meanwhile.
func (u *user) cancelled(mark string, run func(context.Context) error, how func(stop context.CancelFunc) error) string {
	return code(u.p.Cancelled(mark, run, how))
}

func (u *user) request(context.CancelFunc) error { return u.c.PgConn().CancelRequest(ctx) }

func (u *user) cancels() {
	mark := u.t.User + "_c"
	sleep := func(ctx context.Context) error {
		_, err := u.c.Exec(ctx, contract.Sleep(mark))
		return err
	}
	u.p.Case("cancel", func() (string, error) {
		return u.cancelled(mark, sleep, u.request) + " " + u.cancelled(mark, sleep, u.request) + " " + u.one(), nil
	})
	u.p.Case("cancel by context", func() (string, error) {
		byContext := func(stop context.CancelFunc) error { stop(); return nil }
		return u.cancelled(mark, sleep, byContext) + " " + u.cancelled(mark, sleep, byContext) + " " + u.one(), nil
	})
	u.p.Case("cancel in a transaction", func() (string, error) {
		tx, err := u.c.Begin(ctx)
		if err != nil {
			return "", err
		}
		said := u.cancelled(mark, sleep, u.request)
		_, err = tx.Exec(ctx, "SELECT 1")
		said += " " + code(err)
		err = tx.Rollback(ctx)
		return said + " " + u.one(), err
	})
	u.p.Case("cancel prepared", func() (string, error) {
		mark := u.t.User + "_p"
		if _, err := u.c.Prepare(ctx, "s", "SELECT pg_sleep($1) AS "+mark); err != nil {
			return "", err
		}
		said := u.cancelled(mark, func(ctx context.Context) error {
			_, err := u.c.Exec(ctx, "s", 600)
			return err
		}, u.request)
		return said + " " + u.one(), nil
	})
	u.p.Case("cancel idle", func() (string, error) {
		if err := u.request(nil); err != nil {
			return "", err
		}
		n := 0
		for range 20 {
			if u.one() == "1" {
				n++
			}
		}
		return fmt.Sprint(n), nil
	})
	u.p.Case("cut", func() (string, error) {
		mark := fmt.Sprintf("%s_x%d", u.t.User, u.t.Port)
		said := u.cancelled(mark, func(ctx context.Context) error {
			_, err := u.c.Exec(ctx, contract.Sleep(mark))
			return err
		}, u.request)
		if next := u.one(); next == "1" {
			return said + " " + next, nil
		}
		c, err := pgx.ConnectConfig(ctx, u.c.Config())
		if err != nil {
			return said, err
		}
		defer c.Close(ctx)
		next, err := text(c, "SELECT $1::int::text", 1)
		return said + " again " + next, err
	})
	u.p.Case("timeout", func() (string, error) {
		limited, stop := context.WithTimeout(ctx, 300*time.Millisecond)
		defer stop()
		return code(sleep(limited)) + " " + u.one(), nil
	})
}

func (u *user) servers() (string, error) {
	return u.t.Servers(func() (pid int, err error) {
		err = u.c.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid)
		return pid, err
	})
}
