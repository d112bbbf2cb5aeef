package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"cancello/internal/wire"
)

// sink is where COPY goes in: every row is read, none is kept.
const (
	makeSink = "CREATE UNLOGGED TABLE IF NOT EXISTS bench_sink (x text)"
	fillSink = "COPY bench_sink FROM STDIN WHERE false"
)

// rowSize is that of large results, in bytes.
const rowSize = 1000

// result is a result of so many bytes, again and again until the time is over.
func resultOf(size int) trial {
	s := rowsOf(max(1, size/rowSize), min(size, rowSize))
	return flow(fmt.Sprintf("result of %s", sizeName(size)), func(v *visitor) (int, error) {
		rows, n, err := v.exec(s.bytes)
		if err == nil && rows != s.rows {
			err = fmt.Errorf("%d rows came, want %d", rows, s.rows)
		}
		return n, err
	})
}

// copyOut is COPY TO STDOUT.
func copyOut(size int) trial {
	sql := fmt.Sprintf("COPY (SELECT repeat('x', %d) FROM generate_series(1, %d)) TO STDOUT", rowSize, size/rowSize)
	return flow("COPY out of "+sizeName(size), func(v *visitor) (int, error) {
		rows, n, err := v.exec(wire.AppendQuery(nil, sql))
		if err == nil && rows != size/rowSize {
			err = fmt.Errorf("%d rows came, want %d", rows, size/rowSize)
		}
		return n, err
	})
}

// copyIn is COPY FROM STDIN.
func copyIn(size int) trial {
	row := append(bytes.Repeat([]byte("x"), rowSize-1), '\n')
	message := appendMessage(nil, wire.MsgCopyData, "", bytes.Repeat(row, 64))
	done := appendMessage(nil, wire.MsgCopyDone, "", nil)
	return flow("COPY in of "+sizeName(size), func(v *visitor) (int, error) {
		if _, _, err := v.exec(wire.AppendQuery(nil, fillSink)); err != nil {
			return 0, err
		}
		n := 0
		for ; n < size; n += 64 * rowSize {
			if _, err := v.conn.Write(message); err != nil {
				return n, err
			}
		}
		_, _, err := v.exec(done)
		return n, err
	})
}

// flow does something large over and over, and says how fast it went, what it cost, and the most memory that was held.
func flow(name string, once func(*visitor) (int, error)) trial {
	return trial{name: name, direct: true, run: func(ctx context.Context, t target, p pace) (figures, error) {
		v, err := enterFrom(nil, t, t.database(0), visitorBuffer)
		if err != nil {
			return nil, err
		}
		defer v.leave()
		if _, _, err := v.exec(simple.bytes); err != nil {
			return nil, err
		}
		if err := forgetPeak(t); err != nil {
			return nil, err
		}
		before, err := spent(t)
		if err != nil {
			return nil, err
		}
		began, total := time.Now(), 0
		for total == 0 || time.Since(began) < p.took {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			n, err := once(v)
			if err != nil {
				return nil, err
			}
			total += n
		}
		lasted := time.Since(began)
		after, err := spent(t)
		if err != nil {
			return nil, err
		}
		mb := float64(total) / 1e6
		f := figures{"mb": mb / lasted.Seconds()}
		if t.process == nil {
			return f, nil
		}
		f["mb_cpu"] = microseconds(after.proxy-before.proxy) / mb
		f["peak"], err = peak(t)
		return f, err
	}}
}

// sizeName is a size for people.
func sizeName(n int) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%g GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%g MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%g KB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}
