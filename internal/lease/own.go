package lease

import (
	"slices"
	"strings"

	"cancello/internal/wire"
)

// unknown is the value of which it is not known what it is: no value can be it, because they end at a zero byte.
const unknown = "\x00"

// Own are the startup values that no server reports: of a client those that it asked for, of a server those that are in
// force there; in the order of their names, which are in lower case.
func (s *Settings) Own() []wire.Param { return s.own }

// WithOwn is s with other values that are not reported; s itself where it is so already.
func (s *Settings) WithOwn(own []wire.Param) *Settings {
	if slices.Equal(s.own, own) {
		return s
	}
	return newSettings(s.params, own)
}

// Doubt is s after what may have changed any of the values that are not reported.
func (s *Settings) Doubt() *Settings { return s.Between(s) }

// Between is s on its way to the settings of told: of what either has and is not reported, nothing is known.
func (s *Settings) Between(told *Settings) *Settings {
	var own []wire.Param
	for _, p := range append(append([]wire.Param(nil), s.own...), told.own...) {
		if !slices.ContainsFunc(own, func(o wire.Param) bool { return o.Name == p.Name }) {
			own = append(own, wire.Param{Name: p.Name, Value: unknown})
		}
	}
	slices.SortFunc(own, func(a, b wire.Param) int { return strings.Compare(a.Name, b.Name) })
	return s.WithOwn(own)
}

func ownValue(own []wire.Param, name string) (value string, ok bool) {
	for i := range own {
		if own[i].Name == name {
			return own[i].Value, true
		}
	}
	return "", false
}

// applyOwn are the statements and calls that take away what a client does not have, and give what it has. role comes
// first and last: what it may set is that of the one who logged in.
func applyOwn(told, server *Settings) (resets, calls []string) {
	for _, p := range server.own {
		if _, keeps := ownValue(told.own, p.Name); keeps {
			continue
		}
		r := "RESET " + identifier(p.Name)
		if p.Name == "role" {
			resets = append([]string{r}, resets...)
			continue
		}
		resets = append(resets, r)
	}
	last := ""
	for _, p := range told.own {
		if v, ok := ownValue(server.own, p.Name); ok && v == p.Value {
			continue
		}
		call := "pg_catalog.set_config(" + literal(p.Name) + ", " + literal(p.Value) + ", false)"
		if p.Name == "role" {
			last = call
			continue
		}
		calls = append(calls, call)
	}
	if last != "" {
		calls = append(calls, last)
	}
	return resets, calls
}

// Differs tells whether a client's startup values are others than those of a server at its login, so that a RESET does not
// lead back to them.
func Differs(start, initial *Settings) bool {
	for _, p := range start.params {
		if v, ok := initial.Get(p.Name); ok && v != p.Value && !Fixed(p.Name) {
			return true
		}
	}
	return len(start.own) > 0
}

// Restore is the query that gives a client its startup values back, those of them that a RESET or a DISCARD ALL took: what
// was SET since and not reset stays. Settings that an extension has not defined are in no catalog; a reset one is
// empty. The query is empty where nothing can be missing.
func Restore(start, server *Settings) string {
	var values []string
	add := func(p wire.Param) {
		values = append(values, "("+literal(strings.ToLower(p.Name))+", "+literal(p.Value)+")")
	}
	for _, p := range start.params {
		if v, ok := server.Get(p.Name); ok && v != p.Value && !Fixed(p.Name) {
			add(p)
		}
	}
	for _, p := range start.own {
		add(p)
	}
	if len(values) == 0 {
		return ""
	}
	return "SELECT pg_catalog.set_config(w.n, w.v, false) FROM (VALUES " + strings.Join(values, ", ") + ") AS w(n, v)" +
		" LEFT JOIN pg_catalog.pg_settings AS s ON pg_catalog.lower(s.name) OPERATOR(pg_catalog.=) w.n" +
		" WHERE CASE WHEN s.name IS NULL THEN COALESCE(pg_catalog.current_setting(w.n, true), '') OPERATOR(pg_catalog.=) ''" +
		" ELSE s.source OPERATOR(pg_catalog.<>) 'session' END"
}
