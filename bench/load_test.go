package main

import (
	"strings"
	"testing"
	"time"

	"cancello/internal/pgtest"
	"cancello/internal/wire"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// Both scripts get their row from a real server, from one client and from several.
func TestMeasure(t *testing.T) {
	c := pgtest.Start(t, 18)
	p := plan{took: 50 * time.Millisecond, warm: time.Millisecond}
	for _, s := range scripts {
		for _, clients := range []int{1, 5} {
			m, err := measure(target{name: "direct", addr: c.Addr()}, s, clients, p)
			if err != nil {
				t.Fatalf("%s, %d clients: %v", s.name, clients, err)
			}
			if m.Queries < clients || m.Rate <= 0 || m.P50 <= 0 || m.P99 < m.P50 || m.Generator <= 0 || m.CPU != 0 {
				t.Errorf("%+v", m)
			}
		}
	}
}

// A wrong answer ends the measurement: a proxy is not fast because it fails.
func TestWrongAnswer(t *testing.T) {
	c := pgtest.Start(t, 18)
	for text, want := range map[string]string{
		"SELECT 1/0":                  "division by zero (22012)",
		"SELECT 1 WHERE false":        "answered with 0 rows",
		"SELECT generate_series(1,2)": "answered with 2 rows",
	} {
		s := script{"wrong", wire.AppendQuery(nil, text)}
		_, err := measure(target{name: "direct", addr: c.Addr()}, s, 1, plan{took: time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
