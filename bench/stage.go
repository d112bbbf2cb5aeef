package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"cancello/internal/auth"
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
	door
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
	tls            certificate // none: clients come in clear
	verifier       string      // of the role's password, where one is asked for
	direct         target
	proxies        []target
	bouncerVersion string
	versions       map[string]string // of all that run, by name
	absent         []string          // who does not run, and why
}

// setup is what the proxies are asked for, each the same.
type setup struct {
	upstream      string // address of the server; empty: the cluster's own
	pool, clients int
	sslmode       string   // with the server
	pair          *keyPair // to show to clients; nil: they come in clear
	password      string   // of the role, asked for by SCRAM; empty: everybody is trusted
	databases     int      // names there are for the one database; 0: its own
	prepared      bool     // named statements must work, if need be in session mode
	others        bool     // whoever else is found runs, too
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
	s := &stage{cluster: cluster, setup: as, dir: dir, versions: map[string]string{}, direct: target{name: "direct", addr: cluster.Addr()}}
	return s, os.Chmod(dir, 0o755)
}

func (s *stage) close() error {
	var err error
	for _, p := range s.proxies {
		err = errors.Join(err, p.stop())
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// add starts a proxy and waits until a client gets in.
func (s *stage) add(ctx context.Context, name string, port int, who *syscall.Credential, program string, args ...string) error {
	p, err := launch(name, filepath.Join(s.dir, name+".log"), who, program, args...)
	if err != nil {
		return err
	}
	t := target{name: name, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), process: p, door: s.door()}
	s.proxies = append(s.proxies, t)
	return t.awaitReady(ctx)
}

// door is how the proxies are entered.
func (s *stage) door() door {
	d := door{over: inClear, password: s.password, databases: s.databases}
	if s.password != "" {
		d.keys = &atomic.Pointer[auth.LoginKeys]{}
	}
	if s.tls != (certificate{}) {
		d.over = withTLS
	}
	return d
}

func (t target) awaitReady(ctx context.Context) error {
	limit := time.NewTimer(readyLimit)
	defer limit.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		v, err := enter(t, t.database(0))
		if err == nil {
			v.leave()
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

// write puts a file of a proxy into the stage's folder, for everybody to read.
func (s *stage) write(name, text string) (path string, err error) {
	path = filepath.Join(s.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// folderFor makes a folder that an account may write to.
func (s *stage) folderFor(who *syscall.Credential, name string) (string, error) {
	dir := filepath.Join(s.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	return dir, os.Chown(dir, int(who.Uid), int(who.Gid))
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
