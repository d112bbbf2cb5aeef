package main

import (
	"fmt"
	"net"
	"strings"
)

// mostChildren is how many clients Pgpool-II is asked to let in: it has a process for each, and each has a server.
const mostChildren = 250

func pgpool(s *stage, port int, _ string) ([]string, error) {
	switch {
	case s.databases > 0:
		return nil, unable("it has no names for databases of its own")
	case s.clients > mostChildren:
		return nil, unable(fmt.Sprintf("it has a process and a server for each client: not with %d", s.clients))
	case s.sslmode != "disable":
		return nil, unable("its TLS with servers can't be asked for apart from that with clients")
	}
	pcp, err := freePort()
	if err != nil {
		return nil, err
	}
	state := s.dir // of files that it writes itself
	if who, err := s.credential(); err != nil {
		return nil, err
	} else if who != nil {
		if state, err = s.folderFor(who, "pgpool"); err != nil {
			return nil, err
		}
	}
	host, upstream, _ := net.SplitHostPort(s.upstream) // it is one of ours
	var b strings.Builder
	fmt.Fprintf(&b, `backend_clustering_mode = 'raw'
listen_addresses = '127.0.0.1'
port = %d
socket_dir = '%[2]s'
pcp_socket_dir = '%[2]s'
pcp_port = %[3]d
wd_ipc_socket_dir = '%[2]s'
backend_hostname0 = '%[4]s'
backend_port0 = %[5]s
num_init_children = %[6]d
max_pool = 1
listen_backlog_multiplier = 4
pid_file_name = '%[2]s/pgpool.pid'
logdir = '%[2]s'
`, port, state, pcp, host, upstream, s.clients)
	if s.tls != (certificate{}) {
		fmt.Fprintf(&b, "ssl = on\nssl_cert = '%s'\nssl_key = '%s'\n", s.tls.cert, s.tls.key)
	}
	hba := "host all all all trust\n"
	b.WriteString("enable_pool_hba = on\npool_passwd = 'pool_passwd'\n")
	if s.password != "" {
		hba = "host all all all scram-sha-256\n"
	}
	names := []string{}
	for _, f := range [][2]string{
		{"pgpool.conf", b.String()}, {"pool_hba.conf", hba}, {"pool_passwd", role + ":TEXT" + s.password + "\n"}, {"pcp.conf", ""},
	} {
		path, err := s.write(f[0], f[1])
		if err != nil {
			return nil, err
		}
		names = append(names, path)
	}
	return []string{"-n", "-f", names[0], "-a", names[1], "-F", names[3]}, nil
}
