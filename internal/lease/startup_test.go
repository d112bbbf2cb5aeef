package lease

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"cancello/internal/wire"
)

// list is pairs of name and value.
func list(pairs ...string) []wire.Param { return settings(pairs...).Params() }

// TestAsked: `options` is read as PostgreSQL reads it, parameters come over it, names are one whatever their case.
func TestAsked(t *testing.T) {
	for _, c := range []struct {
		name   string
		params []wire.Param
		want   []wire.Param
		fault  string
	}{
		{"nothing", nil, nil, ""},
		{"in the order of names", list("TimeZone", "UTC", "DateStyle", "ISO", "app.x", "1"), list("app.x", "1", "datestyle", "ISO", "timezone", "UTC"), ""},
		{"of a name that comes twice the last counts", []wire.Param{{Name: "work_mem", Value: "1MB"}, {Name: "WORK_MEM", Value: "2MB"}}, list("work_mem", "2MB"), ""},
		{"a parameter comes over options", list("work_mem", "1MB", "options", "-c work_mem=2MB"), list("work_mem", "1MB"), ""},
		{"both forms, attached or not", list("options", "-c a=1 -cb=2 --c=3 --d.e-f=4"), list("a", "1", "b", "2", "c", "3", "d.e_f", "4"), ""},
		{"an empty value, and one with =", list("options", "-c a= --b=x=y"), list("a", "", "b", "x=y"), ""},
		{"a backslash takes the meaning of a space", list("options", `  -c search_path=a,\ b  --x=\\\y\`+"\t"), list("search_path", "a, b", "x", `\y`+"\t"), ""},
		{"any white space", list("options", "-c\n\v\f\r a=1"), list("a", "1"), ""},
		{"the end of the options", list("options", "-c a=1 --"), list("a", "1"), ""},
		{"nothing but space", list("options", "  "), nil, ""},
		{"idle_session_timeout is kept off servers", list("Idle_Session_Timeout", "1", "options", "--idle-session-timeout=5"), nil, ""},
		{"ignored", list("Geqo", "off", "options", "-c jit=off -c work_mem=1MB"), list("work_mem", "1MB"), ""},
		{"no value", list("options", "-c work_mem"), nil, "-c work_mem requires a value"},
		{"no value in the other form", list("options", "--work_mem"), nil, "--work_mem requires a value"},
		{"nothing behind -c", list("options", "-c"), nil, "invalid command-line argument for server process: -c"},
		{"no option", list("options", "work_mem=1MB"), nil, "invalid command-line argument for server process: work_mem=1MB"},
		{"a bare -", list("options", "-"), nil, "invalid command-line argument for server process: -"},
		{"behind the end", list("options", "-- x"), nil, "invalid command-line argument for server process: x"},
		{"another option", list("options", "-c a=1 -d 5"), nil, "in options only -c name=value and --name=value are supported by Cancello, not -d"},
	} {
		got, err := Asked(c.params, []string{"geqo", "JIT"})
		var fault *OptionsError
		switch {
		case err != nil && !errors.As(err, &fault):
			t.Errorf("%s: %T", c.name, err)
		case fault != nil && fault.Message != c.fault || fault == nil && c.fault != "":
			t.Errorf("%s: %v, want %q", c.name, err, c.fault)
		case !slices.Equal(got, c.want):
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got, err := Asked(list("options", "-d", "a", "1"), []string{"options"}); err != nil || !slices.Equal(got, list("a", "1")) {
		t.Errorf("options ignored: %q, %v", got, err)
	}
}

// TestAccepted: what a server has taken is known from then on, and how it reads it; what is remembered is bounded.
func TestAccepted(t *testing.T) {
	server := settings("TimeZone", "UTC", "DateStyle", "ISO, MDY", "application_name", "")
	asked := list("application_name", "psql", "datestyle", "sql", "statement_timeout", "5s", "timezone", "UTC")
	var a Accepted
	wish, raw, known := a.Wish(server, asked)
	if known || !slices.Equal(raw, []string{"datestyle"}) {
		t.Errorf("known %v, raw %q", known, raw)
	}
	if want := settings("TimeZone", "UTC", "DateStyle", "sql", "application_name", "psql"); !slices.Equal(wish.Params(), want.Params()) || !slices.Equal(wish.Own(), list("statement_timeout", "5s")) {
		t.Errorf("%q and %q", wish.Params(), wish.Own())
	}
	taken := wish.With("DateStyle", "SQL, MDY")
	a.Learn(taken, asked)
	again, raw, known := a.Wish(server, asked)
	if !known || raw != nil || !slices.Equal(again.Params(), taken.Params()) || !slices.Equal(again.Own(), taken.Own()) {
		t.Errorf("known %v: %q and %q", known, again.Params(), again.Own())
	}
	if _, _, known := a.Wish(server, list("statement_timeout", "6s")); known {
		t.Error("another value is known")
	}
	for _, name := range []string{"a\tb", "caf\xe9", strings.Repeat("x", 64)} {
		if _, ok := a.Find("application_name", name); ok {
			t.Errorf("PostgreSQL would not keep %q as it is", name)
		}
	}
	for i := range 3 * maxAccepted {
		a.Add("geqo_seed", fmt.Sprint(i), fmt.Sprint(i))
		if _, ok := a.Find("datestyle", "sql"); !ok {
			t.Fatal("what is asked for is forgotten")
		}
	}
	if len(a.known) > maxAccepted {
		t.Errorf("%d values", len(a.known))
	}
	for i := range 40 {
		a.Add("app.x", fmt.Sprint(i)+strings.Repeat("x", 5000), "")
	}
	size := 0
	for _, k := range a.known {
		size += k.size()
	}
	if size != a.bytes || size > maxAcceptedBytes || len(a.known) < 10 {
		t.Errorf("%d bytes in %d values, counted as %d", size, len(a.known), a.bytes)
	}
	if a.Clear(); len(a.known) != 0 || a.bytes != 0 {
		t.Error("not cleared")
	}
}

// TestOwn: what no server reports is given and taken away all the same.
func TestOwn(t *testing.T) {
	base := settings("TimeZone", "UTC", "DateStyle", "ISO, MDY", "client_encoding", "UTF8", "application_name", "")
	one := base.WithOwn(list("app.x", `a'\`, "role", "r", "work_mem", "1MB"))
	two := base.WithOwn(list("statement_timeout", "5s", "work_mem", "2MB"))
	for _, c := range []struct {
		name         string
		told, server *Settings
		want         string
	}{
		{"all of it, the role last", one, base, `SELECT pg_catalog.set_config('app.x',  E'a''\\', false), pg_catalog.set_config('work_mem', '1MB', false), pg_catalog.set_config('role', 'r', false)`},
		{"none of it, the role first", base, one, `RESET "role"; RESET "app.x"; RESET "work_mem"`},
		{"from one to another", two, one, `RESET "role"; RESET "app.x"; SELECT pg_catalog.set_config('statement_timeout', '5s', false), pg_catalog.set_config('work_mem', '2MB', false)`},
		{"what is reported besides", two.With("TimeZone", "CET"), two, `SET "TimeZone" TO 'CET'`},
		{"equal", two, settings("TimeZone", "UTC", "DateStyle", "ISO, MDY", "client_encoding", "UTF8", "application_name", "").WithOwn(list("statement_timeout", "5s", "work_mem", "2MB")), ""},
		{"in doubt", two, two.Doubt(), `SELECT pg_catalog.set_config('statement_timeout', '5s', false), pg_catalog.set_config('work_mem', '2MB', false)`},
		{"in doubt, and not wanted", base, two.Doubt(), `RESET "statement_timeout"; RESET "work_mem"`},
		{"half way", two, base.WithOwn(list("jit", "off")).Between(two), `RESET "jit"; SELECT pg_catalog.set_config('statement_timeout', '5s', false), pg_catalog.set_config('work_mem', '2MB', false)`},
	} {
		if got := strings.Join(Apply(c.told, c.server), " | "); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, got, c.want)
		}
	}
	if got := Apply(base.With("client_encoding", "LATIN1").WithOwn(list("app.x", "\xe9")), base); len(got) != 2 {
		t.Errorf("a value is not read in its encoding: %q", got)
	}
	if base.Doubt() != base || one.WithOwn(one.Own()) != one || !slices.Equal(one.With("TimeZone", "CET").Own(), one.Own()) {
		t.Error("Doubt, WithOwn or With lose what they should keep")
	}
	var known Interner
	if known.Intern(one) == known.Intern(two) || known.Intern(one.WithOwn(nil)) != known.Intern(base) {
		t.Error("settings are told apart by what is reported alone")
	}
	if base.WithOwn(list("search_path", "a")).Reading() == base.Reading() || base.WithOwn(list("lc_monetary", "a")).Reading() == base.WithOwn(list("lc_monetary", "b")).Reading() {
		t.Error("an unreported value makes no other reading")
	}
}

// TestTry: a value that only says a part of a setting is read over what the server had at login, not over the last
// client's.
func TestTry(t *testing.T) {
	server := settings("DateStyle", "German, DMY", "TimeZone", "CET", "client_encoding", "UTF8")
	wish := settings("DateStyle", "sql", "TimeZone", "UTC", "client_encoding", "latin1")
	want := []string{`SET client_encoding TO 'latin1'; RESET "DateStyle"; SET "DateStyle" TO 'sql'; SET "TimeZone" TO 'UTC'`}
	if got := Try(wish, server, []string{"datestyle", "client_encoding"}); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestRestore(t *testing.T) {
	initial := settings("TimeZone", "UTC", "server_version", "18.4", "is_superuser", "off")
	start := initial.With("TimeZone", "CET")
	if Differs(initial.With("is_superuser", "on"), initial) || !Differs(start, initial) || !Differs(initial.WithOwn(list("jit", "off")), initial) {
		t.Error("whether anything is to be restored is wrong")
	}
	if got := Restore(start, start.With("server_version", "15.1")); got != "" {
		t.Error(got)
	}
	got := Restore(start.WithOwn(list("app.x", "a'b")), initial)
	if !strings.Contains(got, `(VALUES ('timezone', 'CET'), ('app.x', 'a''b')) AS w(n, v)`) {
		t.Error(got)
	}
}

// TestReturn: one who comes back is the first again.
func TestReturn(t *testing.T) {
	var l Line[int]
	var places [4]Place[int]
	l.Return(&places[0], 0)
	l.Join(&places[1], 1)
	l.Return(&places[2], 2)
	if got := l.All(); !slices.Equal(got, []int{2, 0, 1}) || l.Len() != 3 {
		t.Errorf("%v", got)
	}
	places[2].Leave()
	places[1].Leave()
	l.Join(&places[3], 3)
	if got := l.All(); !slices.Equal(got, []int{0, 3}) {
		t.Errorf("%v", got)
	}
}
