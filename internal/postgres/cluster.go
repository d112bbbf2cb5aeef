package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	host        = "127.0.0.1"
	startLimit  = 60 * time.Second
	fastLimit   = 10 * time.Second // a fast stop; then it is told to quit
	quitLimit   = 5 * time.Second  // an immediate stop; then it is killed
	logTail     = 64 << 10         // bytes of Log
	portRetries = 5
)

// Options say what cluster New makes.
type Options struct {
	Install  Install           // from Find
	Settings map[string]string // over our own: fsync off, a log to stderr. Not port, listen_addresses, unix_socket_directories
	Auth     Auth              // over TCP; over the Unix socket it is trust
	HBA      string            // a whole pg_hba.conf, in place of Auth's
	Account  string            // who runs it under root; empty: postgres, else nobody
	Files    map[string][]byte // put into the data folder, readable by the server alone
	Template bool              // copy a data folder kept in the cache instead of running initdb
}

// Cluster is a PostgreSQL that runs on 127.0.0.1 and on a Unix socket, with the superuser postgres. Its methods may
// be called from any goroutine.
type Cluster struct {
	install Install
	who     account
	port    int
	folder  *folder

	mu      sync.Mutex // over what follows, held while the server starts or stops
	server  *process   // nil when it doesn't run
	stopped bool
	tail    string // the log's end, once the folder is gone
}

// New makes a cluster and starts it; it accepts connections when New returns. The error holds the end of the
// server's log. ctx bounds New, not the life of the cluster: that lasts until Stop, at most as long as this process.
func New(ctx context.Context, o Options) (*Cluster, error) {
	if o.Install.BinDir == "" {
		return nil, errors.New("no PostgreSQL given: Options.Install comes from Find")
	}
	who, err := serverAccount(o.Account)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("PostgreSQL did not start within %s", startLimit))
	defer cancel()
	f, err := newFolder(who)
	if err != nil {
		return nil, fmt.Errorf("folder for a cluster: %w", err)
	}
	c := &Cluster{install: o.Install, who: who, folder: f}
	if err := c.build(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("PostgreSQL %s as %s: %w", o.Install.Version, who.name, err), c.Stop())
	}
	return c, nil
}

func (c *Cluster) build(ctx context.Context, o Options) error {
	fill := initdb
	if o.Template {
		fill = fillFromTemplate
	}
	if err := fill(ctx, c.install, c.who, c.folder.data()); err != nil {
		return err
	}
	if err := configure(c.who, c.folder.data(), o); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for try := 1; ; try++ {
		port, err := freePort()
		if err != nil {
			return err
		}
		c.port = port
		err = c.start(ctx)
		// The port was free a moment ago; somebody was quicker.
		if err == nil || try == portRetries || !strings.Contains(err.Error(), "Address already in use") {
			return err
		}
	}
}

// freePort finds a port nobody listens on at this moment.
func freePort() (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return 0, fmt.Errorf("free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// start runs the server on the port and waits until it accepts.
func (c *Cluster) start(ctx context.Context) error {
	out, err := os.OpenFile(c.folder.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close() // the server has its own
	// Not under ctx: that ends with New, and an end would kill the server.
	cmd := command(context.Background(), c.who, c.folder.path, filepath.Join(c.install.BinDir, "postgres"),
		"-D", c.folder.data(), "-h", host, "-p", strconv.Itoa(c.port), "-k", c.folder.socket())
	cmd.Stdout, cmd.Stderr = out, out
	p, err := launch(cmd)
	if err != nil {
		return err
	}
	if err := c.awaitReady(ctx, p); err != nil {
		killErr := p.killTree()
		return errors.Join(fmt.Errorf("%w%s", err, indent(lastLines(c.readLog(), 15))), killErr)
	}
	c.server = p
	return nil
}

// awaitReady waits until the server's own status says that it accepts connections, as pg_ctl does: an attempt to
// connect would meet the rules of pg_hba.conf.
func (c *Cluster) awaitReady(ctx context.Context, p *process) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	pid := strconv.Itoa(p.cmd.Process.Pid)
	for {
		// A file of a killed predecessor has another pid.
		if lines := readPidFile(c.folder.data()); len(lines) >= 8 && lines[0] == pid && lines[7] == "ready" {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("the server ended while it started (%w)", orZero(p.err))
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func orZero(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// Stop stops the server, open transactions rolled back, and removes the folder. A server that doesn't stop within
// 10 s is told to quit, and killed 5 s later. Stopping again does nothing.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true
	err := c.halt()
	c.tail = c.readLog()
	return errors.Join(err, c.folder.remove())
}

// halt ends the server; the folder stays.
func (c *Cluster) halt() error {
	p := c.server
	c.server = nil
	if p == nil {
		return nil
	}
	for _, step := range []struct {
		signal syscall.Signal
		limit  time.Duration
	}{{syscall.SIGINT, fastLimit}, {syscall.SIGQUIT, quitLimit}} {
		// A failure means that it ended already.
		_ = p.cmd.Process.Signal(step.signal)
		if p.gone(step.limit) {
			return nil
		}
	}
	return p.killTree()
}

// Kill kills the server and all its backends at once, as a power cut would. The folder stays, for Restart or Stop.
func (c *Cluster) Kill() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.server
	c.server = nil
	if p == nil {
		return errors.New("kill PostgreSQL: it does not run")
	}
	return p.killTree()
}

// Restart stops the server if it runs and starts it again on the same port and data.
func (c *Cluster) Restart(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errors.New("restart PostgreSQL: the cluster was removed")
	}
	if err := c.halt(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("PostgreSQL did not start within %s", startLimit))
	defer cancel()
	return c.start(ctx)
}

// Install is what the cluster runs.
func (c *Cluster) Install() Install { return c.install }

// Account is the name of the account that runs the server.
func (c *Cluster) Account() string { return c.who.name }

// Host is the address it listens on.
func (c *Cluster) Host() string { return host }

// Port is the TCP port, which also names the Unix socket.
func (c *Cluster) Port() int { return c.port }

// Addr is host:port.
func (c *Cluster) Addr() string { return net.JoinHostPort(host, strconv.Itoa(c.port)) }

// SocketDir is the folder of the Unix socket, over which everybody is trusted unless Options.HBA said otherwise.
func (c *Cluster) SocketDir() string { return c.folder.socket() }

// DataDir is the data folder.
func (c *Cluster) DataDir() string { return c.folder.data() }

// PID is the postmaster's, 0 when it doesn't run.
func (c *Cluster) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == nil {
		return 0
	}
	return c.server.cmd.Process.Pid
}

// DSN is the URL of a database over TCP, without a password and without TLS.
func (c *Cluster) DSN(user, database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(user), Host: c.Addr(), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// SocketDSN is the URL of a database over the Unix socket.
func (c *Cluster) SocketDSN(user, database string) string {
	query := url.Values{"host": {c.SocketDir()}, "port": {strconv.Itoa(c.port)}}
	u := url.URL{Scheme: "postgres", User: url.User(user), Path: "/" + database, RawQuery: query.Encode()}
	return u.String()
}

// Log is the end of the server's log, at most 64 KB. It stays after Stop.
func (c *Cluster) Log() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return c.tail
	}
	return c.readLog()
}

func (c *Cluster) readLog() string {
	file, err := os.Open(c.folder.log())
	if err != nil {
		return ""
	}
	defer file.Close()
	if size, err := file.Seek(0, io.SeekEnd); err == nil {
		_, _ = file.Seek(max(0, size-logTail), io.SeekStart)
	}
	b, _ := io.ReadAll(file) // what could be read is the best there is
	return string(b)
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
