package lease

import (
	"slices"
	"strings"

	"cancello/internal/wire"
)

// Bounds of what is remembered of startup values.
const (
	maxAccepted      = 256      // values
	maxAcceptedBytes = 64 << 10 // of them all
)

// Accepted remembers which startup values the servers of a pool have taken, and how they read them, so that the next
// client that asks for them needs no server to be let in. The zero value knows none. The one not asked for longest is
// forgotten.
type Accepted struct {
	known []accepted // the one asked for last is the first
	bytes int
}

type accepted struct {
	name, value string
	canonical   string // as the server reports it; the value itself where it does not
}

// Find is how servers read a value, if they have taken it. name is in lower case.
func (a *Accepted) Find(name, value string) (canonical string, ok bool) {
	if name == "application_name" && plainName(value) {
		return value, true // PostgreSQL refuses none, and changes only others (check_application_name)
	}
	at := slices.IndexFunc(a.known, func(k accepted) bool { return k.name == name && k.value == value })
	if at < 0 {
		return "", false
	}
	k := a.known[at]
	copy(a.known[1:at+1], a.known[:at])
	a.known[0] = k
	return k.canonical, true
}

// Add notes that a server has taken a value.
func (a *Accepted) Add(name, value, canonical string) {
	if _, known := a.Find(name, value); known {
		return
	}
	a.known = slices.Insert(a.known, 0, accepted{name, value, canonical})
	a.bytes += a.known[0].size()
	for len(a.known) > maxAccepted || a.bytes > maxAcceptedBytes {
		last := len(a.known) - 1
		a.bytes -= a.known[last].size()
		a.known = a.known[:last]
	}
}

// Clear forgets all.
func (a *Accepted) Clear() { *a = Accepted{} }

func (k accepted) size() int { return len(k.name) + len(k.value) + len(k.canonical) }

// plainName tells whether a name is kept as it is: printable ASCII that is not cut (NAMEDATALEN).
func plainName(v string) bool {
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return false
		}
	}
	return len(v) < 64
}

// Wish is the settings of a new client: what a server reports at login, with what the client asks for in its place. raw are
// the reported ones among them of which it is not known how a server reads them, and known tells whether all are.
func (a *Accepted) Wish(server *Settings, asked []wire.Param) (wish *Settings, raw []string, known bool) {
	wish, known = server, true
	var own []wire.Param
	for _, p := range asked {
		is, reported := server.Get(p.Name)
		v, ok := a.Find(p.Name, p.Value)
		switch {
		case reported && is == p.Value:
			continue
		case !ok:
			v, known = p.Value, false
		}
		if !reported {
			own = append(own, wire.Param{Name: p.Name, Value: v})
			continue
		}
		if !ok {
			raw = append(raw, p.Name)
		}
		wish = wish.With(p.Name, v)
	}
	return wish.WithOwn(own), raw, known
}

// Learn notes that a server with these settings has taken what was asked for.
func (a *Accepted) Learn(server *Settings, asked []wire.Param) {
	for _, p := range asked {
		v, reported := server.Get(p.Name)
		if !reported {
			v = p.Value
		}
		a.Add(strings.ToLower(p.Name), p.Value, v)
	}
}
