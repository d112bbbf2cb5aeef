package main

import (
	"fmt"
	"net"
)

func pgagroal(s *stage, port int, _ string) ([]string, error) {
	switch {
	case s.password != "":
		return nil, unable("its users are in a vault that only its own tools write")
	case s.databases > 0:
		return nil, unable("it has no names for databases of its own")
	case s.prepared:
		return nil, unable("it shares no prepared statements")
	case s.clients > mostChildren:
		return nil, unable(fmt.Sprintf("it has a process for each client: not with %d", s.clients))
	case s.sslmode != "disable":
		return nil, unable("it is not asked to speak TLS with servers")
	}
	who, err := s.credential()
	if err != nil {
		return nil, err
	}
	state := s.dir
	if who != nil {
		if state, err = s.folderFor(who, "pgagroal"); err != nil {
			return nil, err
		}
	}
	host, upstream, _ := net.SplitHostPort(s.upstream) // it is one of ours
	lease := "performance"                             // leases last as long as the client in both; this one does without TLS
	if s.tls != (certificate{}) {
		lease = "session"
	}
	conf := fmt.Sprintf(`[pgagroal]
host = 127.0.0.1
port = %d
log_type = console
log_level = warn
max_connections = %d
idle_timeout = 0
validation = off
pipeline = %s
backlog = 4096
unix_socket_dir = %s
`, port, s.clients, lease, state)
	if s.tls != (certificate{}) {
		conf += fmt.Sprintf("tls = on\ntls_cert_file = %s\ntls_key_file = %s\n", s.tls.cert, s.tls.key)
	}
	conf += fmt.Sprintf("[primary]\nhost = %s\nport = %s\n", host, upstream)
	file, err := s.write("pgagroal.conf", conf)
	if err != nil {
		return nil, err
	}
	hba, err := s.write("pgagroal_hba.conf", "host all all all trust\n")
	return []string{"-c", file, "-a", hba}, err
}
