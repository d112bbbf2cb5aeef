// Command pq does the cases of the driver programs with lib/pq under database/sql and their defaults: a query with
// arguments is a Parse with Sync and then a Bind with Sync, of the unnamed statement.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"drivers/contract"

	"github.com/lib/pq"
)

func main() { contract.Run("lib/pq", "github.com/lib/pq", use) }

// user is one run of the cases.
type user struct {
	p     *contract.Program
	t     contract.Target
	db    *sql.DB
	table string
}

var ctx = context.Background()

func use(p *contract.Program, t contract.Target) error {
	db, err := sql.Open("postgres", t.DSN())
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	u := &user{p: p, t: t, db: db, table: t.Table}
	p.Case("connect", func() (string, error) { return u.text(contract.Who) })
	p.Case("query", u.query)
	p.Case("parameters", func() (string, error) {
		return u.text(contract.Parameters, 41, contract.Text, nil, []byte{0, 255}, 1.25, pq.Array([]int{1, 2, 3}), time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC))
	})
	p.Case("prepared", func() (string, error) { return u.prepared("SELECT $1::int * 2", 12) })
	p.Case("many", u.many)
	p.Case("transaction", u.transaction)
	p.Case("error", u.errors)
	p.Case("copy", u.copy)
	p.Case("cursor", u.cursor)
	p.Case("big", u.big)
	u.cancels()
	p.Case("servers", u.servers)
	return nil
}

func (u *user) text(query string, args ...any) (v string, err error) {
	err = u.db.QueryRow(query, args...).Scan(&v)
	return v, err
}

// code is the SQLSTATE of an error.
func code(err error) string {
	var failed *pq.Error
	if errors.As(err, &failed) {
		return string(failed.Code)
	}
	return fmt.Sprintf("%v", err)
}

func (u *user) one() string { return contract.Value(u.text("SELECT $1::int", 1)) }

func (u *user) query() (string, error) {
	var a, b, d string
	var c sql.NullString
	err := u.db.QueryRow(contract.Simple).Scan(&a, &b, &c, &d)
	if !c.Valid {
		c.String = "null"
	}
	return strings.Join([]string{a, b, c.String, d}, " "), err
}

func (u *user) prepared(query string, times int) (string, error) {
	s, err := u.db.Prepare(query)
	if err != nil {
		return "", err
	}
	defer s.Close()
	sum := 0
	for i := range times {
		var v int
		if err := s.QueryRow(i + 1).Scan(&v); err != nil {
			return "", err
		}
		sum += v
	}
	return fmt.Sprint(sum), nil
}

func (u *user) many() (string, error) {
	var all []*sql.Stmt
	for i := range contract.Many {
		s, err := u.db.Prepare(fmt.Sprintf("SELECT $1::int + %d", i))
		if err != nil {
			return "", err
		}
		defer s.Close()
		all = append(all, s)
	}
	sum := 0
	for n := range 3 {
		for _, s := range all {
			var v int
			if err := s.QueryRow(n).Scan(&v); err != nil {
				return "", err
			}
			sum += v
		}
	}
	return fmt.Sprint(sum), nil
}

func (u *user) transaction() (string, error) {
	err := u.t.Transaction(func() (contract.Tx, error) {
		tx, err := u.db.Begin()
		if err != nil {
			return contract.Tx{}, err
		}
		insert := func(query string, n int) (pid int, err error) {
			err = tx.QueryRow(query, n).Scan(&pid)
			return pid, err
		}
		return contract.Tx{Insert: insert, Commit: tx.Commit, Rollback: tx.Rollback}, nil
	})
	if err != nil {
		return "", err
	}
	return u.text("SELECT count(*) FROM " + u.table)
}

func (u *user) errors() (string, error) {
	_, err := u.db.Exec("INSERT INTO "+u.table+" VALUES ($1, 'again')", 1)
	said := []string{code(err)}
	s, err := u.db.Prepare("SELECT 1 / $1::int")
	if err != nil {
		return "", err
	}
	defer s.Close()
	_, err = s.Exec(0)
	said = append(said, code(err))
	tx, err := u.db.Begin()
	if err != nil {
		return "", err
	}
	_, _ = tx.Exec("SELECT 1 / 0")
	_, err = tx.Exec("SELECT 1")
	said = append(said, code(err))
	if err := tx.Rollback(); err != nil {
		return "", err
	}
	var v int
	if err := s.QueryRow(1).Scan(&v); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d", strings.Join(said, " "), v), nil
}

// copy copies in, which is all that lib/pq has.
func (u *user) copy() (string, error) {
	put := func(rows int, n func(int) any) error {
		tx, err := u.db.Begin()
		if err != nil {
			return err
		}
		s, err := tx.Prepare(pq.CopyIn(u.table, "n", "t"))
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
		for i := range rows {
			if _, err = s.Exec(n(i), "copied"); err != nil {
				break
			}
		}
		if err == nil {
			_, err = s.Exec()
		}
		if closed := s.Close(); err == nil {
			err = closed
		}
		if err != nil {
			_ = tx.Rollback()
			return err
		}
		return tx.Commit()
	}
	if err := put(1000, func(i int) any { return 1000 + i }); err != nil {
		return "", err
	}
	n, err := u.text("SELECT count(*) FROM " + u.table + " WHERE t = 'copied'")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s %s", n, code(put(1, func(int) any { return "no number" })), u.one()), nil
}

// cursor reads rows as they come, and leaves a result early.
func (u *user) cursor() (string, error) {
	read := func(limit int) (int, error) {
		rows, err := u.db.Query("SELECT n FROM generate_series(1, $1::int) n", 1000)
		if err != nil {
			return 0, err
		}
		defer rows.Close()
		sum := 0
		for i := 0; i < limit && rows.Next(); i++ {
			var n int
			if err := rows.Scan(&n); err != nil {
				return 0, err
			}
			sum += n
		}
		return sum, rows.Err()
	}
	sum, err := read(1000)
	if err == nil {
		_, err = read(1)
	}
	return fmt.Sprintf("%d %s", sum, u.one()), err
}

func (u *user) big() (string, error) {
	v, err := u.text("SELECT repeat('x', $1)", contract.Big)
	if err != nil {
		return "", err
	}
	rows, err := u.db.Query("SELECT n FROM generate_series(1, $1::int) n", contract.Rows)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	count, sum := 0, 0
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			return "", err
		}
		count, sum = count+1, sum+n
	}
	return fmt.Sprintf("%d %d %d", len(v), count, sum), rows.Err()
}

// cancelled runs a statement that sleeps and ends its context meanwhile, which is how lib/pq cancels.
func (u *user) cancelled(mark string, run func(context.Context) error) string {
	return code(u.p.Cancelled(mark, run, func(stop context.CancelFunc) error { stop(); return nil }))
}

func (u *user) cancels() {
	mark := u.t.User + "_c"
	sleep := func(ctx context.Context) error {
		_, err := u.db.ExecContext(ctx, contract.Sleep(mark))
		return err
	}
	u.p.Case("cancel", func() (string, error) {
		return u.cancelled(mark, sleep) + " " + u.cancelled(mark, sleep) + " " + u.one(), nil
	})
	u.p.Case("cancel in a transaction", func() (string, error) {
		tx, err := u.db.Begin()
		if err != nil {
			return "", err
		}
		said := u.cancelled(mark, func(ctx context.Context) error {
			_, err := tx.ExecContext(ctx, contract.Sleep(mark))
			return err
		})
		_, err = tx.Exec("SELECT 1")
		said += " " + code(err)
		_ = tx.Rollback()
		return said + " " + u.one(), nil
	})
	u.p.Case("cancel prepared", func() (string, error) {
		mark := u.t.User + "_p"
		s, err := u.db.Prepare("SELECT pg_sleep($1) AS " + mark)
		if err != nil {
			return "", err
		}
		defer s.Close()
		said := u.cancelled(mark, func(ctx context.Context) error {
			_, err := s.ExecContext(ctx, 600)
			return err
		})
		return said + " " + u.one(), nil
	})
	u.p.Case("cut", func() (string, error) {
		mark := fmt.Sprintf("%s_x%d", u.t.User, u.t.Port)
		said := u.cancelled(mark, func(ctx context.Context) error {
			_, err := u.db.ExecContext(ctx, contract.Sleep(mark))
			return err
		})
		return said + " " + u.one(), nil // database/sql connects anew by itself
	})
	u.p.Case("timeout", func() (string, error) {
		limited, stop := context.WithTimeout(ctx, 300*time.Millisecond)
		defer stop()
		return code(sleep(limited)) + " " + u.one(), nil
	})
}

func (u *user) servers() (string, error) {
	return u.t.Servers(func() (pid int, err error) {
		err = u.db.QueryRow("SELECT pg_backend_pid()").Scan(&pid)
		return pid, err
	})
}
