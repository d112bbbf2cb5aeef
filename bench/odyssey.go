package main

import (
	"fmt"
	"net"
	"strings"
)

func odyssey(s *stage, port int, _ string) ([]string, error) {
	if s.sslmode != "disable" {
		return nil, unable("it is not asked to speak TLS with servers")
	}
	host, upstream, _ := net.SplitHostPort(s.upstream) // it is one of ours
	var b strings.Builder
	fmt.Fprintf(&b, `daemonize no
log_to_stdout yes
log_format "%%p %%t %%l %%m\n"
log_session no
log_query no
log_stats no
workers 1
client_max %d
listen {
	host "127.0.0.1"
	port %d
	backlog 4096
`, s.clients, port)
	if s.tls != (certificate{}) {
		fmt.Fprintf(&b, "\ttls \"allow\"\n\ttls_cert_file \"%s\"\n\ttls_key_file \"%s\"\n", s.tls.cert, s.tls.key)
	}
	fmt.Fprintf(&b, "}\nstorage \"server\" {\n\ttype \"remote\"\n\thost \"%s\"\n\tport %s\n}\n", host, upstream)
	proof := `authentication "none"`
	if s.password != "" {
		proof = fmt.Sprintf("authentication \"scram-sha-256\"\n\t\tpassword \"%s\"", s.verifier)
	}
	reserve := ""
	if s.prepared {
		reserve = "\n\t\tpool_reserve_prepared_statement yes"
	}
	for _, name := range s.databaseNames() {
		fmt.Fprintf(&b, `database "%s" {
	user "%s" {
		%s
		storage "server"
		storage_db "%[2]s"
		storage_user "%[2]s"
		pool "transaction"
		pool_size %[4]d
		pool_discard no%[5]s
	}
}
`, name, role, proof, s.pool, reserve)
	}
	path, err := s.write("odyssey.conf", b.String())
	return []string{path}, err
}
