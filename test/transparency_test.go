package test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
	"cancello/internal/postgres"

	"github.com/google/go-cmp/cmp"
)

// minScripts is how many scripts there are at least: fewer means that the folder wasn't found whole.
const minScripts = 90

// What a client sees through Cancello is what it sees directly, to the byte, but for what DESIGN names: pid, key,
// and the OIDs that differ from run to run. In transaction mode each script also runs beside a rival that takes
// its server away whenever it can, and leaves a statement of its own there.
func TestTransparency(t *testing.T) {
	scripts := readScripts(t)
	everyMode(t, func(t *testing.T, major int, mode string) {
		c := pgtest.Start(t, major)
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "", "")}, mode: mode, size: 2})
		for _, s := range scripts {
			if !s.runs(major, mode) {
				continue
			}
			t.Run(strings.TrimSuffix(filepath.Base(s.name), ".txt"), func(t *testing.T) {
				s.prepare(t, c)
				want := s.replay(t, inClear(direct(c).Addr()), nil)
				s.prepare(t, c)
				got := s.replay(t, inClear(g.Addr()), nil)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("direct (-) and through Cancello (+):\n%s", diff)
				}
				if mode != "transaction" {
					return
				}
				s.prepare(t, c)
				r := newRival(t, g.Addr())
				got = s.replay(t, inClear(g.Addr()), r.move)
				r.rest()
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("direct (-) and through Cancello beside a rival (+):\n%s", diff)
				}
			})
		}
	})
}

// The same over TLS on every leg: no byte is lost, doubled or held back between records and messages.
func TestTransparencyOverTLS(t *testing.T) {
	scripts := readScripts(t)
	a := fake.NewAuthority(t)
	over := overTLS(&tls.Config{RootCAs: a.Pool, ServerName: "127.0.0.1"})
	everyMode(t, func(t *testing.T, major int, mode string) {
		c := encrypted(t, a, major, false)
		_, set := front(a, "require")
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "", "") + "?sslmode=require"}, mode: mode, size: 2, set: set})
		for _, s := range scripts {
			if !s.runs(major, mode) || s.ssl { // which the dialer asks for
				continue
			}
			t.Run(strings.TrimSuffix(filepath.Base(s.name), ".txt"), func(t *testing.T) {
				s.prepare(t, c)
				want := s.replay(t, over(direct(c).Addr()), nil)
				s.prepare(t, c)
				got := s.replay(t, over(g.Addr()), nil)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("direct (-) and through Cancello (+), over TLS:\n%s", diff)
				}
			})
		}
	})
}

func readScripts(t *testing.T) []*script {
	t.Helper()
	paths, err := filepath.Glob("testdata/transparency/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < minScripts {
		t.Fatalf("%d scripts, want at least %d", len(paths), minScripts)
	}
	var scripts []*script
	for _, path := range paths {
		s, err := readScript(path)
		if err != nil {
			t.Fatal(err)
		}
		scripts = append(scripts, s)
	}
	return scripts
}

// dialer makes a connection for a script.
type dialer func(t testing.TB) *raw

func inClear(addr string) dialer { return func(t testing.TB) *raw { return dialRaw(t, addr) } }

func overTLS(config *tls.Config) func(addr string) dialer {
	return func(addr string) dialer {
		return func(t testing.TB) *raw {
			t.Helper()
			c := dialRaw(t, addr)
			c.send(fake.Msg(0, uint32(fake.SSLCode)))
			if b := c.byte(); b != 'S' {
				t.Fatalf("SSLRequest was answered %q", b)
			}
			c.nc = tls.Client(c.nc, config)
			return c
		}
	}
}

// prepare runs the script's setup past the gate.
func (s *script) prepare(t *testing.T, c *postgres.Cluster) {
	t.Helper()
	if len(s.setup) == 0 {
		return
	}
	su := login(t, direct(c).Addr(), "postgres", "postgres")
	su.value("SET client_min_messages TO error")
	for _, sql := range s.setup {
		su.value(sql)
	}
	su.nc.Close()
}

// replay runs the script on a new connection and returns all that the server said, a line for each message. before
// is called in front of every write.
func (s *script) replay(t *testing.T, dial dialer, before func()) []string {
	t.Helper()
	var said []string
	c := dial(t)
	if s.ssl {
		c.send(fake.Msg(0, uint32(fake.SSLCode)))
		said = append(said, fmt.Sprintf("SSLRequest: %q", c.byte()))
	}
	c.send(s.startup)
	c.listen()
	closed := false
	if s.steps[0].eof && s.steps[0].out == nil {
		closed = true
		said = append(said, s.tell(c.ended())...)
	} else {
		said = append(said, s.tell(c.until("ZE"))...)
	}
	for _, st := range s.steps {
		if closed {
			break
		}
		if before != nil {
			before()
		}
		c.send(st.out)
		switch {
		case st.eof:
			closed = true
			said = append(said, s.tell(c.ended())...)
		case st.wait != "":
			said = append(said, s.tell(c.untilNth(st.wait, st.count))...)
		}
	}
	if !closed {
		c.send(fake.Msg('X'))
		said = append(said, s.tell(c.ended())...)
	}
	c.nc.Close()
	return append(said, "closed")
}

// tell words messages, without what may differ.
func (s *script) tell(all []fake.Message) []string {
	var said []string
	for _, m := range all {
		if strings.IndexByte(s.skip, m.Type) < 0 {
			said = append(said, s.mask(m))
		}
	}
	return said
}

// longBody is the length from which a message is told by its length and hash.
const longBody = 2000

func (s *script) mask(m fake.Message) string {
	body := append([]byte(nil), m.Body...)
	switch m.Type {
	case 'K':
		return fmt.Sprintf("K with a key of %d bytes", len(body)-4)
	case 'A':
		copy(body, "\x00\x00\x00\x00")
	case 'T':
		maskTables(body)
	case 'E':
		if s.fields != "" {
			var kept []string
			for _, f := range []byte(s.fields) {
				kept = append(kept, fmt.Sprintf("%c%s", f, m.Field(f)))
			}
			body = []byte(strings.Join(kept, "\x00"))
		}
	}
	for _, re := range s.masks {
		body = re.ReplaceAll(body, []byte("*"))
	}
	if len(body) > longBody {
		return fmt.Sprintf("%c %d bytes, %x", m.Type, len(body), sha256.Sum256(body))
	}
	return fmt.Sprintf("%c %q", m.Type, body)
}

// firstUserOID is the first of what users make (FirstNormalObjectId in transam.h).
const firstUserOID = 16384

// maskTables puts 0 in the place of the OIDs of users' tables in a RowDescription: each run makes its own.
func maskTables(body []byte) {
	rest := body[2:]
	for len(rest) > 0 {
		end := 0
		for rest[end] != 0 {
			end++
		}
		oid := rest[end+1 : end+5]
		if binary.BigEndian.Uint32(oid) >= firstUserOID {
			copy(oid, "\x00\x00\x00\x00")
		}
		rest = rest[end+19:]
	}
}

// rival is a client that shares the two servers of a pool with a script. It takes one and gives it back in turn, so
// the script's next transaction meets now this server, now that one; each has a stranger's unnamed statement and
// settings in it by then.
type rival struct {
	c     *raw
	holds bool
	moves int
}

func newRival(t *testing.T, addr string) *rival {
	return &rival{c: login(t, addr, "postgres", "postgres", "application_name", "rival", "TimeZone", "Asia/Tokyo")}
}

// move takes a server, or gives it back.
func (r *rival) move() {
	r.c.t.Helper()
	r.moves++
	if r.holds {
		r.rest()
		return
	}
	r.c.send(fake.Query("BEGIN"), fake.Msg('P', "", fmt.Sprintf("SELECT 'a stranger''s statement %d'", r.moves), uint16(0)), fake.Msg('S'))
	r.c.untilNth("Z", 2)
	r.holds = true
}

// rest gives the server back, with a statement of the rival's left in it.
func (r *rival) rest() {
	r.c.t.Helper()
	if !r.holds {
		return
	}
	r.c.send(fake.Msg('P', "", "ROLLBACK", uint16(0)), fake.Msg('B', "", "", uint16(0), uint16(0), uint16(0)),
		fake.Msg('E', "", 0), fake.Msg('P', "", "SELECT 'a stranger''s statement'", uint16(0)), fake.Msg('S'))
	r.c.until("Z")
	r.holds = false
}

// The rival does take the servers away, or the runs beside it would prove nothing.
func TestRival(t *testing.T) {
	c := pgtest.Start(t, 18)
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "", "")}, mode: "transaction", size: 2})
	r := newRival(t, g.Addr())
	cl := login(t, g.Addr(), "postgres", "postgres")
	pids := map[string]bool{}
	for range 8 {
		r.move()
		pids[cl.value("SELECT pg_backend_pid()")] = true
	}
	if len(pids) != 2 {
		t.Errorf("%d servers met, want 2", len(pids))
	}
}

// everyMode is each with statement mode besides, which few scripts are for.
func everyMode(t *testing.T, f func(t *testing.T, major int, mode string)) {
	each(t, f)
	for _, major := range majors {
		t.Run(fmt.Sprintf("%d statement", major), func(t *testing.T) { f(t, major, "statement") })
	}
}
