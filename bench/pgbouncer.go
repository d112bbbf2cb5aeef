package main

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

func pgbouncer(s *stage, port int, version string) ([]string, error) {
	list, err := s.write("userlist.txt", fmt.Sprintf("%q %q\n", role, s.verifier))
	if err != nil {
		return nil, err
	}
	ini, err := s.write("pgbouncer.ini", s.bouncerIni(port, list, version))
	return []string{ini}, err
}

// bouncerIni asks of PgBouncer what Cancello is asked: the same pools and limits. Both have their line in the log for each
// connection. The backlog is what the others have: with its default of 128 part of a crowd would wait a second for a SYN.
func (s *stage) bouncerIni(port int, userlist, version string) string {
	var b strings.Builder
	b.WriteString("[databases]\n")
	host, upstream, _ := net.SplitHostPort(s.upstream) // it is one of ours
	for _, name := range s.databaseNames() {
		fmt.Fprintf(&b, "%s = host=%s port=%s dbname=%[4]s user=%[4]s\n", name, host, upstream, role)
	}
	auth := "trust"
	if s.password != "" {
		auth = "scram-sha-256"
	}
	fmt.Fprintf(&b, `[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
listen_backlog = 4096
unix_socket_dir =
auth_type = %s
auth_file = %s
pool_mode = %s
default_pool_size = %d
max_client_conn = %d
server_tls_sslmode = %s
`, port, auth, userlist, s.mode(version), s.pool, s.clients, s.sslmode)
	if s.prepared && sharesStatements(version) {
		b.WriteString("max_prepared_statements = 200\n")
	}
	if s.tls != (certificate{}) {
		fmt.Fprintf(&b, "client_tls_sslmode = allow\nclient_tls_cert_file = %s\nclient_tls_key_file = %s\n", s.tls.cert, s.tls.key)
	}
	b.WriteString(strings.Join(s.bouncer, "\n") + "\n")
	return b.String()
}

// sharesStatements: PgBouncer has had named statements in transaction mode since 1.21.
func sharesStatements(version string) bool {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	return errA == nil && errB == nil && (a > 1 || a == 1 && b >= 21)
}
