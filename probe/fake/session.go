package fake

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"time"
)

// Versions.
const (
	v30 = 3 << 16
	v31 = 3<<16 | 1
	v32 = 3<<16 | 2
)

// Session is a connection after its startup packet.
type Session struct {
	server  *Server
	front   *front
	number  int // from 1
	pid     uint32
	key     []byte
	backend uint32 // pg_backend_pid()
	version uint32 // agreed on
	options []string
	status  byte

	mu   sync.Mutex
	work *work     // what runs or waits; nil while nothing does
	due  bool      // a cancel that came while nothing ran and ends the next statement: a fault
	last time.Time // when it was cancelled last
	gone bool      // the client

	on    *process // while it holds one
	lying bool     // the next ReadyForQuery says that the block has failed
	dead  bool     // nothing is answered any more
}

// session is the life of one.
func (s *Server) session(f *front, asked uint32, params []param) {
	c := &Session{server: s, front: f, status: 'I'}
	s.mu.Lock()
	s.count++
	c.number = s.count
	s.mu.Unlock()
	c.backend = uint32(4000 + 7*c.number)
	if c.login(asked, params) {
		defer s.forget(c)
		defer s.release(c, true)
		c.talk()
	}
}

func (s *Server) forget(c *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.mu.Lock()
	c.gone = true
	c.mu.Unlock()
	if s.sessions[c.pid] == c && !s.knobs.Cancel.KeysLive {
		delete(s.sessions, c.pid)
	}
}

// defaults are what PostgreSQL 18 reports.
func defaults(version string) []param {
	if version == "" {
		version = "18.4"
	}
	return []param{
		{"in_hot_standby", "off"}, {"integer_datetimes", "on"}, {"TimeZone", "UTC"}, {"IntervalStyle", "postgres"},
		{"search_path", `"$user", public`}, {"is_superuser", "off"}, {"application_name", ""},
		{"default_transaction_read_only", "off"}, {"scram_iterations", "4096"}, {"DateStyle", "ISO, MDY"},
		{"standard_conforming_strings", "on"}, {"session_authorization", "ann"}, {"client_encoding", "UTF8"},
		{"server_version", version}, {"server_encoding", "UTF8"},
	}
}

var known = []string{"user", "database", "application_name", "client_encoding", "options", "DateStyle", "TimeZone", "search_path"}

// login sends everything up to ReadyForQuery; false ends the connection.
func (c *Session) login(asked uint32, params []param) bool {
	k := c.server.knobs
	latest := k.Negotiation.Latest
	if latest == 0 {
		latest = v32
	}
	c.version = min(asked, latest)
	if asked>>16 != 3 {
		c.version = v30
	}
	for _, p := range params {
		if strings.HasPrefix(p.name, "_pq_.") && !k.Negotiation.RefuseOptions {
			c.options = append(c.options, p.name)
		} else if !slices.Contains(known, p.name) && !c.takeUnknown(p.name) {
			return false
		}
	}
	negotiation := c.negotiation(asked, params)
	if !k.Negotiation.Late && !c.send(negotiation) {
		return false
	}
	if k.Startup.Password != "" && !c.askPassword(k.Startup.Password) {
		return false
	}
	status := c.parameterStatus()
	var out []byte
	if k.Startup.ParamsFirst {
		out = append(out, status...)
	}
	out = append(out, message('R', []byte{0, 0, 0, 0})...)
	if k.Negotiation.Late {
		out = append(out, negotiation...)
	}
	key := c.makeKey(asked)
	if k.Key.First {
		out = append(out, key...)
	}
	if !k.Startup.ParamsFirst {
		out = append(out, status...)
	}
	if k.Startup.Strange {
		out = append(out, message('C', []byte("SELECT 1\x00"))...)
	}
	if !k.Key.First && !k.Key.Late {
		out = append(out, key...)
	}
	if k.Key.Twice {
		out = append(out, key...)
	}
	if k.Startup.NoReady || k.Startup.Most > 0 && c.number > k.Startup.Most {
		c.send(out)
		hang(c.front.nc)
		return false
	}
	ready := c.status
	if k.Startup.ReadyStatus != 0 {
		ready = k.Startup.ReadyStatus
	}
	out = append(out, message('Z', []byte{ready})...)
	if k.Startup.ReadyTwice {
		out = append(out, message('Z', []byte{ready})...)
	}
	if k.Key.Late {
		out = append(out, key...)
	}
	return c.send(out)
}

// takeUnknown says whether the login goes on.
func (c *Session) takeUnknown(name string) bool {
	switch how := c.server.knobs.Startup.UnknownParam; how {
	case "accept":
		return true
	case "close":
		return false
	case "hang":
		hang(c.front.nc)
		return false
	case "":
		c.send(errorMessage("FATAL", "42704", `unrecognized configuration parameter "`+name+`"`))
	default:
		c.send(errorMessage("FATAL", how, "unsupported startup parameter: "+name))
	}
	return false
}

// negotiation is NegotiateProtocolVersion, or nothing.
func (c *Session) negotiation(asked uint32, params []param) []byte {
	k := c.server.knobs.Negotiation
	needed := asked > c.version && asked != v31 || len(c.options) > 0
	if k.None || !needed && !k.Always {
		return nil
	}
	options := slices.Clone(c.options)
	if k.DropEmpty {
		options = nil
		for _, p := range params {
			if strings.HasPrefix(p.name, "_pq_.") && p.value != "" {
				options = append(options, p.name)
			}
		}
	}
	if k.NameAll {
		for _, p := range params {
			if !strings.HasPrefix(p.name, "_pq_.") {
				options = append(options, "_pq_."+p.name)
			}
		}
	}
	if k.SortOptions {
		slices.Sort(options)
	}
	if k.OnceEach {
		slices.Sort(options)
		options = slices.Compact(options)
	}
	if k.DropOptions {
		options = nil
	}
	version := c.version
	switch {
	case k.SayAsked:
		version = asked
	case k.MinorOnly:
		version &= 0xffff
	}
	body := binary.BigEndian.AppendUint32(nil, version)
	body = binary.BigEndian.AppendUint32(body, uint32(len(options)))
	for _, name := range options {
		body = append(append(body, name...), 0)
	}
	m := message('v', body)
	if k.Twice {
		m = append(m, m...)
	}
	return m
}

func (c *Session) askPassword(want string) bool {
	if !c.send(message('R', []byte{0, 0, 0, 3})) {
		return false
	}
	kind, body, err := readMessage(c.front)
	if err != nil {
		return false
	}
	if kind != 'p' || strings.TrimRight(string(body), "\x00") != want {
		c.send(errorMessage("FATAL", "28P01", "password authentication failed"))
		return false
	}
	return true
}

func (c *Session) parameterStatus() []byte {
	var out []byte
	k := c.server.knobs.Startup
	for _, p := range defaults(k.Version) {
		if !slices.Contains(k.DropParams, p.name) {
			out = append(out, message('S', []byte(p.name+"\x00"+p.value+"\x00"))...)
		}
	}
	return out
}

// makeKey makes BackendKeyData and remembers it.
func (c *Session) makeKey(asked uint32) []byte {
	k := c.server.knobs
	c.pid = c.backend
	if k.Pooler.VirtualPID {
		c.pid = 1<<30 + c.backend
	}
	if k.Key.PID != nil {
		c.pid = k.Key.PID(c.number)
	}
	size, decides := orDefault(k.Key.Length30, 4), c.version
	if k.Negotiation.AskedKey {
		decides = asked
	}
	if decides >= v32 {
		size = orDefault(k.Key.Length32, 32)
	}
	if k.Key.Key != nil {
		c.key = k.Key.Key(c.number, c.pid, size)
	} else {
		c.key = make([]byte, size)
		_, _ = rand.Read(c.key) // never fails
	}
	if k.Key.None {
		return nil
	}
	c.server.mu.Lock()
	c.server.sessions[c.pid] = c
	c.server.mu.Unlock()
	return message('K', append(binary.BigEndian.AppendUint32(nil, c.pid), c.key...))
}

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

func (c *Session) send(p []byte) bool {
	if len(p) == 0 {
		return true
	}
	_, err := c.front.nc.Write(p)
	return err == nil
}
