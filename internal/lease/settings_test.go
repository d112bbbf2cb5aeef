package lease

import (
	"fmt"
	"slices"
	"testing"

	"cancello/internal/wire"
)

func settings(pairs ...string) *Settings {
	var params []wire.Param
	for i := 0; i < len(pairs); i += 2 {
		params = append(params, wire.Param{Name: pairs[i], Value: pairs[i+1]})
	}
	return NewSettings(params)
}

// TestWith: settings never change; what is set anew is another list.
func TestWith(t *testing.T) {
	s := settings("TimeZone", "UTC", "DateStyle", "ISO, MDY")
	if s.With("timezone", "UTC") != s {
		t.Error("the same value makes other settings")
	}
	other := s.With("TIMEZONE", "CET").With("search_path", "a")
	if v, ok := s.Get("TimeZone"); !ok || v != "UTC" || len(s.Params()) != 2 {
		t.Errorf("the first settings have changed: %v", s.Params())
	}
	want := settings("TimeZone", "CET", "DateStyle", "ISO, MDY", "search_path", "a")
	if !slices.Equal(other.Params(), want.Params()) {
		t.Errorf("%v, want %v", other.Params(), want.Params())
	}
	if v, ok := other.Get("datestyle"); !ok || v != "ISO, MDY" {
		t.Errorf("DateStyle is %q, %v", v, ok)
	}
	if _, ok := other.Get("nothing"); ok {
		t.Error("has what was never set")
	}
	if !s.Has([]byte("TimeZone"), []byte("UTC")) || s.Has([]byte("TimeZone"), []byte("CET")) || s.Has([]byte("x"), nil) {
		t.Error("Has is wrong")
	}
	name, value := []byte("DateStyle"), []byte("ISO, MDY")
	if n := testing.AllocsPerRun(100, func() { s.Has(name, value) }); n != 0 {
		t.Errorf("Has allocates %v", n)
	}
}

func TestTell(t *testing.T) {
	told := settings("server_version", "15.1", "TimeZone", "UTC", "is_superuser", "off")
	server := settings("server_version", "18.4", "TimeZone", "CET", "is_superuser", "off", "in_hot_standby", "on", "search_path", "a")
	want := settings("server_version", "18.4", "in_hot_standby", "on").Params()
	if got := Tell(told, server); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if Tell(told, told) != nil {
		t.Error("is told what it has been told")
	}
	for name, fixed := range map[string]bool{"SERVER_VERSION": true, "session_authorization": true, "TimeZone": false, "search_path": false} {
		if Fixed(name) != fixed {
			t.Errorf("%s is fixed: %v", name, !fixed)
		}
	}
}

// TestApply: what makes a server's settings the client's. Values are quoted so that they read the same whatever
// standard_conforming_strings says; they can end nothing and begin nothing.
func TestApply(t *testing.T) {
	server := settings("TimeZone", "UTC", "DateStyle", "ISO, MDY", "client_encoding", "UTF8", "search_path", `"$user", public`,
		"application_name", "", "server_version", "18.4", `odd"name`, "")
	for _, c := range []struct {
		name string
		told *Settings
		want []string
	}{
		{"the same", server, nil},
		{"equal", settings("TimeZone", "UTC"), nil},
		{"unknown to the server", settings("IntervalStyle", "postgres"), nil},
		{"fixed", settings("server_version", "15.1"), nil},
		{"one", settings("TimeZone", "CET"), []string{`SET "TimeZone" TO 'CET'`}},
		{"two, in the order told", settings("DateStyle", "German, DMY", "TimeZone", "CET"),
			[]string{`SET "DateStyle" TO 'German, DMY'; SET "TimeZone" TO 'CET'`}},
		{"a quote", settings("application_name", `'; DROP TABLE t; --`), []string{`SET "application_name" TO '''; DROP TABLE t; --'`}},
		{"a backslash", settings("application_name", `\'; DROP TABLE t; --`), []string{`SET "application_name" TO  E'\\''; DROP TABLE t; --'`}},
		{"a trailing backslash", settings("application_name", `a\`), []string{`SET "application_name" TO  E'a\\'`}},
		{"an odd name", settings(`odd"name`, "x"), []string{`SET "odd""name" TO 'x'`}},
		{"a path is a list, not a name", settings("search_path", `"a b", public`, "TimeZone", "CET"),
			[]string{`SET "TimeZone" TO 'CET'; SELECT pg_catalog.set_config('search_path', '"a b", public', false)`}},
		{"the encoding first", settings("TimeZone", "CET", "client_encoding", "LATIN1"),
			[]string{`SET client_encoding TO 'LATIN1'; SET "TimeZone" TO 'CET'`}},
		{"awaited, where another value has to be read in it", settings("application_name", "caf\xe9", "client_encoding", "LATIN1"),
			[]string{`SET client_encoding TO 'LATIN1'`, "SET \"application_name\" TO 'caf\xe9'"}},
		{"the encoding alone", settings("client_encoding", "LATIN1"), []string{`SET client_encoding TO 'LATIN1'`}},
	} {
		if got := Apply(c.told, server); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%q, want\n%q", c.name, got, c.want)
		}
	}
}

// TestIntern: equal settings have one pointer, and the ones asked for lately are remembered.
func TestIntern(t *testing.T) {
	var known Interner
	first := known.Intern(settings("TimeZone", "UTC"))
	for i := range 3 * maxKnown {
		s := settings("TimeZone", fmt.Sprint(i))
		if known.Intern(s) != s {
			t.Fatalf("%d: settings not known before are others", i)
		}
		if known.Intern(settings("TimeZone", fmt.Sprint(i))) != s {
			t.Fatalf("%d: equal settings are two", i)
		}
		if known.Intern(settings("TimeZone", "UTC")) != first {
			t.Fatalf("%d: settings in use were forgotten", i)
		}
	}
	if len(known.known) > maxKnown {
		t.Errorf("%d are remembered", len(known.known))
	}
	if s := settings("TimeZone", "0"); known.Intern(s) != s {
		t.Error("nothing is ever forgotten")
	}
}

// TestReading: what changes the meaning of a text counts, and nothing else.
func TestReading(t *testing.T) {
	s := settings("TimeZone", "UTC", "DateStyle", "ISO, MDY", "application_name", "a", "search_path", "public")
	if s.With("application_name", "b").Reading() != s.Reading() || settings("datestyle", "ISO, MDY", "search_path", "public", "TimeZone", "UTC").Reading() != s.Reading() {
		t.Error("the same reading differs")
	}
	for _, name := range []string{"TimeZone", "DateStyle", "IntervalStyle", "client_encoding", "standard_conforming_strings", "search_path", "session_authorization"} {
		if s.With(name, "another").Reading() == s.Reading() {
			t.Errorf("%s makes no other reading", name)
		}
	}
	if settings("TimeZone", "x").Reading() == settings("DateStyle", "x").Reading() {
		t.Error("it does not matter which setting has the value")
	}
}
