package lease

import (
	"strings"

	"cancello/internal/wire"
)

// Settings are the values a server reports by ParameterStatus, or those a client was told. They never change: With makes
// new ones, so clients and servers share them and are compared by pointer first.
type Settings struct {
	params  []wire.Param // in the order of the first report
	own     []wire.Param // see Own
	reading string
}

// NewSettings takes over the list.
func NewSettings(params []wire.Param) *Settings { return newSettings(params, nil) }

func newSettings(params, own []wire.Param) *Settings {
	return &Settings{params: params, own: own, reading: reading(params, own)}
}

// readers are the reported values under which the same text may become another statement (trap D1).
var readers = []string{
	"DateStyle", "IntervalStyle", "TimeZone", "client_encoding", "standard_conforming_strings", "search_path", "role", "session_authorization",
}

// reading joins the values of readers, and whatever is not reported: most of that changes no text's meaning, but there are
// more such settings than anybody lists (lc_monetary, array_nulls, xmloption ...).
func reading(params, own []wire.Param) string {
	var b strings.Builder
	for _, name := range readers {
		for i := range params {
			if strings.EqualFold(params[i].Name, name) {
				b.WriteString(params[i].Value)
			}
		}
		b.WriteByte(0)
	}
	for i := range own {
		b.WriteString(own[i].Name + "\x01" + own[i].Value + "\x00")
	}
	return b.String()
}

// Reading is what a text means under these values: where it is the same, the same text is the same statement.
func (s *Settings) Reading() string { return s.reading }

// Params are the values in order. They must not be changed.
func (s *Settings) Params() []wire.Param { return s.params }

// Get is the value of a name, in whatever case it is written.
func (s *Settings) Get(name string) (value string, ok bool) {
	for i := range s.params {
		if strings.EqualFold(s.params[i].Name, name) {
			return s.params[i].Value, true
		}
	}
	return "", false
}

// Has tells whether the value of a name is this one, without allocating.
func (s *Settings) Has(name, value []byte) bool {
	for i := range s.params {
		if s.params[i].Name == string(name) {
			return s.params[i].Value == string(value)
		}
	}
	return false
}

// With is s with one value set; s itself where it is so already.
func (s *Settings) With(name, value string) *Settings {
	for i := range s.params {
		if !strings.EqualFold(s.params[i].Name, name) {
			continue
		}
		if s.params[i].Value == value {
			return s
		}
		params := append([]wire.Param(nil), s.params...)
		params[i].Value = value
		return newSettings(params, s.own)
	}
	params := append(append([]wire.Param(nil), s.params...), wire.Param{Name: name, Value: value})
	return newSettings(params, s.own)
}

// fixed are the reported values that no SET of ours can or should change. session_authorization and is_superuser follow
// SET SESSION AUTHORIZATION, which DISCARD ALL undoes.
var fixed = []string{"server_version", "server_encoding", "integer_datetimes", "in_hot_standby", "is_superuser", "session_authorization"}

// Fixed tells whether a reported value cannot be set for a client.
func Fixed(name string) bool {
	for _, f := range fixed {
		if strings.EqualFold(f, name) {
			return true
		}
	}
	return false
}

// Tell are the values that a client has to be told because its new server has others and cannot be given the client's
// (trap B4).
func Tell(told, server *Settings) []wire.Param {
	if told == server {
		return nil
	}
	var tell []wire.Param
	for _, p := range server.params {
		if v, ok := told.Get(p.Name); Fixed(p.Name) && (!ok || v != p.Value) {
			tell = append(tell, p)
		}
	}
	return tell
}

// Apply are the queries that give a server the client's settings, in order; none where nothing differs. Each is to be
// awaited before the next: a text is read in the encoding that the one before it has set.
func Apply(told, server *Settings) []string { return Try(told, server, nil) }

// Try is Apply for values that no server has read yet: reset are the names of those that are reported. They are read in
// the place of what the server had at login, as in a startup packet: 'sql' for DateStyle says nothing of day and month.
func Try(told, server *Settings, reset []string) []string {
	if told == server {
		return nil
	}
	var encoding, sets []string
	resets, calls := applyOwn(told, server)
	plain := true
	for _, p := range told.params {
		v, ok := server.Get(p.Name)
		if !ok || v == p.Value || Fixed(p.Name) {
			continue
		}
		if contains(reset, p.Name) && !strings.EqualFold(p.Name, "client_encoding") {
			resets = append(resets, "RESET "+identifier(p.Name))
		}
		switch {
		case strings.EqualFold(p.Name, "client_encoding"):
			encoding = append(encoding, "SET client_encoding TO "+literal(p.Value))
			continue
		case strings.EqualFold(p.Name, "search_path"):
			// SET would take the whole list for one name.
			calls = append([]string{"pg_catalog.set_config('search_path', " + literal(p.Value) + ", false)"}, calls...)
		default:
			sets = append(sets, "SET "+identifier(p.Name)+" TO "+literal(p.Value))
		}
		plain = plain && ascii(p.Value)
	}
	for _, p := range told.own {
		plain = plain && ascii(p.Value)
	}
	sets = append(resets, sets...)
	if len(calls) > 0 {
		sets = append(sets, "SELECT "+strings.Join(calls, ", "))
	}
	switch {
	case len(encoding) == 0 && len(sets) == 0:
		return nil
	case len(encoding) > 0 && !plain:
		return []string{encoding[0], strings.Join(sets, "; ")}
	default:
		return []string{strings.Join(append(encoding, sets...), "; ")}
	}
}

// literal quotes a value so that it reads the same whatever standard_conforming_strings says.
func literal(v string) string {
	q := strings.ReplaceAll(v, "'", "''")
	if strings.Contains(v, `\`) {
		return " E'" + strings.ReplaceAll(q, `\`, `\\`) + "'"
	}
	return "'" + q + "'"
}

func identifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func ascii(v string) bool {
	for i := range len(v) {
		if v[i] >= 0x80 {
			return false
		}
	}
	return true
}
