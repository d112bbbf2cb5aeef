package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cancello/internal/postgres"
)

const (
	poolSize   = 20
	maxClients = 200
	role       = "postgres" // and database

	readyLimit = 10 * time.Second
)

// target is what a load can be sent to.
type target struct {
	name string
	addr string
	*process
}

// lastWords is what its process said last; nothing for the server.
func (t target) lastWords() string {
	if t.process == nil {
		return ""
	}
	return t.process.lastWords()
}

// stage is everything that is measured, running.
type stage struct {
	cluster *postgres.Cluster
	setup
	dir            string
	direct         target
	proxies        []target
	bouncerVersion string
}

// setup is what the proxies are asked for, each the same.
type setup struct {
	upstream      string // address of the server; empty: the cluster's own
	pool, clients int
	sslmode       string   // with the server
	pair          *keyPair // to show to clients; nil: they come in clear
	cancello      []string // further arguments of Cancello
	bouncer       []string // further lines of PgBouncer's
}

// openStage makes a folder for the proxies' files that the account that runs PostgreSQL can enter.
func openStage(cluster *postgres.Cluster, as setup) (*stage, error) {
	root := os.TempDir()
	if os.Geteuid() == 0 {
		root = "/var/tmp" // TMPDIR of root is often 0700
	}
	dir, err := os.MkdirTemp(root, "bench-cancello-")
	if err != nil {
		return nil, err
	}
	if as.upstream == "" {
		as.upstream = cluster.Addr()
	}
	s := &stage{cluster: cluster, setup: as, dir: dir, direct: target{name: "direct", addr: cluster.Addr()}}
	return s, os.Chmod(dir, 0o755)
}

func (s *stage) close() error {
	var err error
	for _, p := range s.proxies {
		err = errors.Join(err, p.stop())
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

func (s *stage) names() []string {
	var names []string
	for _, p := range s.proxies {
		names = append(names, p.name)
	}
	if len(names) == 1 {
		names = append(names, "direct (no PgBouncer here: run `make pg`, put it on PATH, or set PGBOUNCER)")
	}
	return names
}

// add starts a proxy and waits until a client gets in.
func (s *stage) add(ctx context.Context, name string, port int, who *syscall.Credential, program string, args ...string) error {
	p, err := launch(name, filepath.Join(s.dir, name+".log"), who, program, args...)
	if err != nil {
		return err
	}
	t := target{name: name, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), process: p}
	s.proxies = append(s.proxies, t)
	return t.awaitReady(ctx)
}

func (t target) awaitReady(ctx context.Context) error {
	limit := time.NewTimer(readyLimit)
	defer limit.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		c, err := login(t.addr, role, role)
		if err == nil {
			c.leave()
			return nil
		}
		select {
		case <-again.C:
		case <-t.done:
			return fmt.Errorf("%s ended while it started (%v)%s", t.name, t.err, t.lastWords())
		case <-limit.C:
			return fmt.Errorf("%s lets nobody in %s after its start: %w%s", t.name, readyLimit, err, t.lastWords())
		case <-ctx.Done():
			return errors.New("interrupted")
		}
	}
}

func (s *stage) startCancello(ctx context.Context, program string) error {
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
	return s.add(ctx, "cancello", port, nil, program, append([]string{"serve",
		"--listen", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		"--upstream", fmt.Sprintf("postgres://%s@%s/%s?sslmode=%s", role, s.upstream, role, s.sslmode),
		"--pool-mode", "transaction", "--pool-size", strconv.Itoa(s.pool), "--auth", "trust",
		"--set", fmt.Sprintf("max_client_conn=%d", s.clients)}, s.cancello...)...)
}

// startPgBouncer starts it if it is here; without it the bench goes on.
func (s *stage) startPgBouncer(ctx context.Context) error {
	program, err := findPgBouncer()
	if err != nil || program == "" {
		return err
	}
	version, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return fmt.Errorf("%s --version: %w", program, err)
	}
	s.bouncerVersion = parseBouncerVersion(string(version))
	port, err := freePort()
	if err != nil {
		return err
	}
	list := filepath.Join(s.dir, "userlist.txt")
	if err := os.WriteFile(list, []byte(fmt.Sprintf("%q \"\"\n", role)), 0o644); err != nil {
		return err
	}
	ini := filepath.Join(s.dir, "pgbouncer.ini")
	if err := os.WriteFile(ini, []byte(bouncerIni(s.setup, port, list)), 0o644); err != nil {
		return err
	}
	who, err := s.credential()
	if err != nil {
		return err
	}
	return s.add(ctx, "pgbouncer", port, who, program, ini)
}

// findPgBouncer says where it is; empty where it isn't. One that PGBOUNCER names must be there.
func findPgBouncer() (string, error) {
	if path := os.Getenv("PGBOUNCER"); path != "" {
		found, err := exec.LookPath(path)
		if err != nil {
			return "", fmt.Errorf("PGBOUNCER: %w", err)
		}
		return found, nil
	}
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if found, err := exec.LookPath(name); err == nil {
			return found, nil
		}
	}
	return "", nil
}

// bouncerIni asks of PgBouncer what Cancello is asked: one pool, the same limits, and no line for each connection.
func bouncerIni(as setup, port int, userlist string) string {
	host, upstream, _ := net.SplitHostPort(as.upstream) // it is one of ours
	return fmt.Sprintf(`[databases]
%[1]s = host=%[2]s port=%[3]s dbname=%[1]s user=%[1]s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %[4]d
unix_socket_dir =
auth_type = trust
auth_file = %[5]s
pool_mode = transaction
default_pool_size = %[6]d
max_client_conn = %[7]d
server_tls_sslmode = %[8]s
log_connections = 0
log_disconnections = 0
%[9]s
`, role, host, upstream, port, userlist, as.pool, as.clients, as.sslmode, strings.Join(as.bouncer, "\n"))
}

// parseBouncerVersion reads the number out of "PgBouncer 1.18.0" and what follows.
func parseBouncerVersion(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(strings.TrimPrefix(line, "PgBouncer "))
}

// credential is the account that runs PostgreSQL, as which PgBouncer runs too: it refuses to be root. Nil where we
// are not root.
func (s *stage) credential() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	who, err := user.Lookup(s.cluster.Account())
	if err != nil {
		return nil, err
	}
	uid, uidErr := strconv.ParseUint(who.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(who.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(uidErr, gidErr)
}

// freePort finds a port nobody listens on at this moment.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
