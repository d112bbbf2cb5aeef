package test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"cancello/internal/pgtest"

	"github.com/jackc/pgx/v5/pgconn"
)

// Logins wait after failures from their address, whether the user exists or not; the right password gets in all the same,
// and ends it. Each refusal is a line.
func TestFailedLoginsWait(t *testing.T) {
	c := pgtest.Start(t, 18)
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, auth: "scram-sha-256",
		authFile: userlist(t, entry("ann", "the right one")), set: []string{"failed_login_delay=400ms"}})
	began := time.Now()
	const failures = 8
	for i := range failures {
		_, err := try(t, g.address, []string{"ann", "nobody"}[i%2], "the wrong one", "postgres")
		var said *pgconn.PgError
		if !errors.As(err, &said) || said.Code != "28P01" {
			t.Fatalf("%v", err)
		}
	}
	if name, err := try(t, g.address, "ann", "the right one", "postgres"); name != "postgres in postgres" {
		t.Errorf("%q, %v", name, err)
	}
	// After the fourth failure and each further one: 100, 200, 400, 400 and 400 ms.
	if waited, least := time.Since(began), 1500*time.Millisecond; waited < least {
		t.Errorf("all of it took %v, less than what has to be waited, %v", waited, least)
	}
	g.Stop()
	if n := strings.Count(g.Log(), `msg="login refused"`); n != failures {
		t.Errorf("%d lines tell of refusals, want %d", n, failures)
	}
	keepsSecrets(t, g, "right one", "wrong one")
}
