package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// sharing is the name of a second Cancello, where the first is in session mode for PgBouncer's sake.
const sharing = "cancello, transaction"

// startCancello starts it in the pool mode that PgBouncer will have.
func (s *stage) startCancello(ctx context.Context, program string) error {
	mode := "transaction"
	if s.prepared {
		version, err := pgBouncer.version(ctx)
		if err != nil {
			return err
		}
		mode = s.mode(version)
	}
	return s.startCancelloIn(ctx, "cancello", mode, program)
}

// startSharing starts a second Cancello where the first shares no servers. It is the last: the first is to be measured
// right beside PgBouncer.
func (s *stage) startSharing(ctx context.Context, program string) error {
	if s.mode(s.bouncerVersion) == "transaction" {
		return nil
	}
	return s.startCancelloIn(ctx, sharing, "transaction", program)
}

// mode is the pool mode that a PgBouncer of that version can have; empty: there is none.
func (s *stage) mode(version string) string {
	if s.prepared && version != "" && !sharesStatements(version) {
		return "session"
	}
	return "transaction"
}

func (s *stage) startCancelloIn(ctx context.Context, name, mode, program string) error {
	program, err := filepath.Abs(program)
	if err != nil {
		return err
	}
	if _, err := os.Stat(program); err != nil {
		return fmt.Errorf("%w: run `make build`, or name another with -cancello", err)
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	file, err := s.write("cancello-"+mode+".toml", s.cancelloFile(mode))
	if err != nil {
		return err
	}
	args := []string{"serve", file, "--listen", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	if s.password != "" {
		list, err := s.write("cancello-users.txt", fmt.Sprintf("%q %q\n", role, s.verifier))
		if err != nil {
			return err
		}
		args = append(args, "--auth", "scram-sha-256", "--auth-file", list)
	} else {
		args = append(args, "--auth", "trust")
	}
	if s.tls != (certificate{}) {
		args = append(args, "--set", "client_tls_sslmode=allow", "--set", "client_tls_cert_file="+s.tls.cert, "--set", "client_tls_key_file="+s.tls.key)
	}
	return s.add(ctx, name, port, nil, program, append(args, s.cancello...)...)
}

// cancelloFile is what all proxies are asked for, in Cancello's words.
func (s *stage) cancelloFile(mode string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[pool]\npool_mode = %q\ndefault_pool_size = %d\nmax_client_conn = %d\n[tls]\nserver_tls_sslmode = %q\n", mode, s.pool, s.clients, s.sslmode)
	host, port, _ := net.SplitHostPort(s.upstream) // it is one of ours
	for _, name := range s.databaseNames() {
		fmt.Fprintf(&b, "[databases.%s]\nhost = %q\nport = %s\ndbname = %q\nuser = %q\n", name, host, port, role, role)
	}
	return b.String()
}

// databaseNames are what clients may ask for.
func (s *stage) databaseNames() []string {
	if s.databases == 0 {
		return []string{role}
	}
	var names []string
	for i := range s.databases {
		names = append(names, databaseName(i))
	}
	return names
}
