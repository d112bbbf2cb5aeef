package test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

const (
	// huge is nearly as large as PostgreSQL lets a value, and with it a message, be.
	huge = 1_000_000_000
	// memoryLimit is what Cancello may hold at its highest, whatever passes.
	memoryLimit = 64 << 20
	// hugeLimit bounds the passing of a huge message.
	hugeLimit = 3 * time.Minute
)

// Messages of a gigabyte pass in pieces, in both directions; before PostgreSQL 15 of a tenth of that, for the time it
// takes: what passes is the same.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("moves gigabytes")
	}
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := pgtest.Start(t, major)
			superuser(t, c, "DROP TABLE IF EXISTS me_huge; CREATE TABLE me_huge (t text)")
			mode, size := "transaction", huge
			if major == 15 {
				mode, size = "session", huge/10
			}
			g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 1})
			s := openStream(t, g.Addr())
			step := func(name string, f func(t *testing.T)) {
				t.Run(name, func(t *testing.T) {
					f(t)
					if m := g.Memory(); m.peak > memoryLimit {
						t.Errorf("Cancello held %d MB", m.peak>>20)
					} else {
						t.Logf("at most %d MB", m.peak>>20)
					}
				})
			}
			step("row", func(t *testing.T) {
				s.send(fake.Query(fmt.Sprintf("SELECT repeat(repeat('x', %d), %d)", line, size/line)))
				s.expect(t, "TDCZ", size)
			})
			step("copy out", func(t *testing.T) {
				rows := size / 5 / line // each is a message
				s.send(fake.Query(fmt.Sprintf("COPY (SELECT repeat('x', %d) FROM generate_series(1, %d)) TO STDOUT", line, rows)))
				s.expect(t, "H"+strings.Repeat("d", rows)+"cCZ", rows*line)
			})
			step("query", func(t *testing.T) {
				literal := size / 5
				head, tail := "SELECT length('", "')\x00"
				s.header('Q', len(head)+literal+len(tail))
				s.send([]byte(head))
				s.fill(0, literal)
				s.send([]byte(tail))
				s.expect(t, "TDCZ", len(fmt.Sprint(literal)))
			})
			step("copy in", func(t *testing.T) {
				s.send(fake.Query("COPY me_huge FROM STDIN WHERE false"))
				s.expect(t, "G", 0)
				s.header('d', size)
				s.fill(0, size)
				s.send(fake.Msg('c'))
				s.expect(t, "CZ", 0)
			})
			step("bind", func(t *testing.T) {
				value := size / 5
				s.send(fake.Msg('P', "", "SELECT length($1::text)", uint16(0)))
				s.header('B', 2+2+2+4+value+2)
				s.send([]byte{0, 0, 0, 0, 0, 1}, binary.BigEndian.AppendUint32(nil, uint32(value)))
				s.fill(0, value)
				s.send([]byte{0, 0}, fake.Msg('E', "", 0), fake.Msg('S'))
				s.expect(t, "12DCZ", len(fmt.Sprint(value)))
			})
		})
	}
}

// A reader that does not read, a server that does not read, and a client that waits for a server and sends: each
// stops the one who sends. Nothing piles up in between.
func TestBackPressure(t *testing.T) {
	const much = 100_000_000
	c := pgtest.Start(t, 18)
	superuser(t, c, "DROP TABLE IF EXISTS me_locked; CREATE TABLE me_locked (t text)")
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 2})
	check := func(t *testing.T) {
		t.Helper()
		if m := g.Memory(); m.peak > memoryLimit {
			t.Errorf("Cancello held %d MB", m.peak>>20)
		}
	}
	su := login(t, direct(c).Addr(), "postgres", "postgres")
	t.Run("slow reader", func(t *testing.T) {
		s := openStream(t, g.Addr())
		s.send(fake.Query(fmt.Sprintf("SELECT /* me_slow */ repeat('x', %d)", much)))
		until(t, "the server waits for its reader", func() bool {
			return su.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'ClientWrite' AND query LIKE '%me_slow%' AND pid <> pg_backend_pid()") == "1"
		})
		check(t)
		s.expect(t, "TDCZ", much)
		check(t)
	})
	t.Run("slow server", func(t *testing.T) {
		su.value("BEGIN")
		su.value("LOCK TABLE me_locked")
		s := openStream(t, g.Addr())
		s.send(fake.Query("COPY me_locked FROM STDIN WHERE false"))
		s.header('d', much)
		sent := s.stuck(t, much)
		check(t)
		su.value("ROLLBACK")
		s.fill(sent, much)
		s.send(fake.Msg('c'))
		s.expect(t, "GCZ", 0)
		check(t)
	})
	t.Run("no server", func(t *testing.T) {
		var holders []*raw
		for range 2 {
			h := login(t, g.Addr(), "postgres", "postgres")
			h.value("BEGIN")
			holders = append(holders, h)
		}
		s := openStream(t, g.Addr())
		head, tail := "SELECT length('", "')\x00"
		s.header('Q', len(head)+much+len(tail))
		s.send([]byte(head))
		sent := s.stuck(t, much)
		check(t)
		holders[0].value("COMMIT")
		s.fill(sent, much)
		s.send([]byte(tail))
		s.expect(t, "TDCZ", len(fmt.Sprint(much)))
		check(t)
		holders[1].value("COMMIT")
	})
}

// stream is a client that keeps nothing of what passes.
type stream struct {
	t  *testing.T
	nc net.Conn
	r  *bufio.Reader
}

func openStream(t *testing.T, addr string) *stream {
	t.Helper()
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(hugeLimit))
	s := &stream{t, nc, bufio.NewReaderSize(nc, 1<<16)}
	s.send(fake.Startup(fake.V30, "user", "postgres", "database", "postgres"))
	for {
		typ, n := s.next()
		if _, err := s.r.Discard(n); err != nil {
			t.Fatal(err)
		}
		switch typ {
		case 'Z':
			return s
		case 'E':
			t.Fatal("login failed")
		}
	}
}

func (s *stream) send(parts ...[]byte) {
	s.t.Helper()
	if _, err := s.nc.Write(fake.Join(parts...)); err != nil {
		s.t.Fatal(err)
	}
}

// header sends a message's type and length; the body is to follow.
func (s *stream) header(typ byte, body int) {
	s.t.Helper()
	s.send(binary.BigEndian.AppendUint32([]byte{typ}, uint32(4+body)))
}

// line is the length of the lines in what is sent, as COPY wants it.
const line = 1_000_000

// filling is one line.
var filling = []byte(strings.Repeat("y", line-1) + "\n")

// fill sends the bytes from one place of the filling to another.
func (s *stream) fill(from, to int) {
	s.t.Helper()
	for at := from; at < to; {
		piece := filling[at%line:]
		piece = piece[:min(len(piece), to-at)]
		if _, err := s.nc.Write(piece); err != nil {
			s.t.Fatal(err)
		}
		at += len(piece)
	}
}

// stuck sends the filling until nothing more is taken, for longer than a busy machine is busy, and returns how much
// was.
func (s *stream) stuck(t *testing.T, n int) int {
	t.Helper()
	defer s.nc.SetWriteDeadline(time.Now().Add(hugeLimit))
	for at := 0; at < n; {
		s.nc.SetWriteDeadline(time.Now().Add(time.Second))
		k, err := s.nc.Write(filling[at%line:])
		at += k
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return at
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("all %d bytes were taken although nobody reads them", n)
	return 0
}

// next reads a message's header.
func (s *stream) next() (typ byte, body int) {
	s.t.Helper()
	var h [5]byte
	if _, err := io.ReadFull(s.r, h[:]); err != nil {
		s.t.Fatal(err)
	}
	return h[0], int(binary.BigEndian.Uint32(h[1:])) - 4
}

// expect reads as many messages as types has letters, of these types. The values in DataRow and the bytes of CopyData
// must have this length in all, but for line ends.
func (s *stream) expect(t *testing.T, types string, data int) {
	t.Helper()
	got := 0
	for i := range len(types) {
		typ, n := s.next()
		if typ != types[i] {
			text, _ := io.ReadAll(io.LimitReader(s.r, int64(min(n, 500))))
			t.Fatalf("message %d is %q, want %q: %q", i, typ, types[i], text)
		}
		switch typ {
		case 'D':
			got += n - 2 - 4
		case 'd':
			got += n - 1
		}
		if _, err := io.CopyN(io.Discard, s.r, int64(n)); err != nil {
			t.Fatal(err)
		}
	}
	if got != data {
		t.Errorf("%d bytes of data, want %d", got, data)
	}
}
