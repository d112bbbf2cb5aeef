package takeover

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"
)

// Place is where a process can be found by those that come after it: a socket of its own, and the name that leads to the
// one in service. Create it with Open, end it with Close.
type Place struct {
	name string // takeover_socket: a symbolic link
	own  string // where it leads when this process is in service
	who  Identity
	host Host
	log  *slog.Logger

	patience time.Duration // servingTime, but for tests

	ln      *net.UnixListener
	running sync.WaitGroup

	mu       sync.Mutex
	sessions map[*net.UnixConn]struct{}
	stopping bool // nothing is taken back any more
	closed   bool // and sessions end
	service  state
}

// state is how a process stands to its service.
type state uint8

const (
	coming  state = iota // not in service yet
	present              // in service
	asked                // in service, and another process is getting ready
	gone                 // it was
)

// Open makes the process's own socket. Who connects to it may learn what judges keys: only processes of this user may.
func Open(name string, who Identity, h Host, log *slog.Logger) (*Place, error) {
	p := &Place{name: name, own: name + "." + who.Incarnation, who: who, host: h, log: log, patience: servingTime, sessions: map[*net.UnixConn]struct{}{}}
	ln, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: p.own, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("takeover_socket = %q: %w", name, reason(err))
	}
	if err := os.Chmod(p.own, 0o600); err != nil {
		ln.Close()
		return nil, fmt.Errorf("takeover_socket = %q: its mode cannot be set: %w", name, reason(err))
	}
	p.ln = ln
	p.running.Go(p.accept)
	return p, nil
}

// Path is the process's own socket.
func (p *Place) Path() string { return p.own }

// Point has the name lead to this process from now on.
func (p *Place) Point() error {
	if err := p.point(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.service = present
	return nil
}

func (p *Place) point() error {
	next := p.own + ".next"
	err := os.Symlink(filepath.Base(p.own), next)
	if err == nil {
		if err = os.Rename(next, p.name); err != nil {
			os.Remove(next)
		}
	}
	if err != nil {
		return fmt.Errorf("takeover_socket = %q: it cannot be made to lead to this process: %w", p.name, reason(err))
	}
	return nil
}

// Stopping says that this process is about to end: from its return on it does not go back into service, whatever becomes of
// one that is taking over. Sessions go on until Close.
func (p *Place) Stopping() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
}

// Close ends all that goes on with other processes, and takes the name away if it still leads here.
func (p *Place) Close() {
	p.mu.Lock()
	p.stopping, p.closed = true, true
	for c := range p.sessions {
		c.SetDeadline(longAgo)
	}
	p.mu.Unlock()
	p.ln.Close() // removes its file
	p.running.Wait()
	if to, err := os.Readlink(p.name); err == nil && to == filepath.Base(p.own) {
		os.Remove(p.name)
	}
}

// acceptPause is how long accepting pauses after a failure.
const acceptPause = 500 * time.Millisecond

func (p *Place) accept() {
	for {
		c, err := p.ln.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no descriptor is free: that passes
			p.log.Error("takeover: cannot accept; trying again", "error", err.Error())
			time.Sleep(acceptPause) // sleeps: nothing tells when there is one again
			continue
		}
		if !p.enter(c) {
			c.Close()
			return
		}
		p.running.Go(func() {
			defer p.leave(c)
			p.serve(c)
		})
	}
}

func (p *Place) enter(c *net.UnixConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.sessions[c] = struct{}{}
	}
	return !p.closed
}

// closing tells whether this process stops.
func (p *Place) closing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopping
}

func (p *Place) leave(c *net.UnixConn) {
	p.mu.Lock()
	delete(p.sessions, c)
	p.mu.Unlock()
	c.Close()
}

// Free tells whether no process is in service at name, and removes what processes left behind there that are no more.
func Free(name string) error {
	info, err := os.Lstat(name)
	if err == nil && info.Mode().Type() != os.ModeSymlink {
		return fmt.Errorf("takeover_socket = %q: there is a file of that name which is not Cancello's; remove it, or choose another name", name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("takeover_socket = %q: %w", name, reason(err))
	}
	if err == nil && alive(name) {
		return fmt.Errorf("takeover_socket = %q: another process is in service there; take its place with --takeover, or give this one a name of its own", name)
	}
	removeStale(name)
	return nil
}

var ownSocket = regexp.MustCompile(`\.[0-9a-f]{8}$`)

// removeStale removes the sockets beside name that nobody listens on.
func removeStale(name string) {
	others, err := filepath.Glob(escaped(name) + ".????????")
	if err != nil {
		return
	}
	for _, other := range others {
		info, err := os.Lstat(other)
		if err == nil && info.Mode().Type() == os.ModeSocket && ownSocket.MatchString(other) && !alive(other) {
			os.Remove(other)
		}
	}
}

// escaped keeps a name from being read as a pattern.
func escaped(name string) string {
	return regexp.MustCompile(`[\\*?[\]]`).ReplaceAllString(name, `\$0`)
}

// alive tells whether somebody listens on a socket.
func alive(path string) bool {
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err == nil {
		c.Close()
		return true
	}
	return !nobody(err)
}

// nobody tells whether an error of dialing means that there is no process.
func nobody(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}

// reason is the innermost reason of an error, without the path that the caller says.
func reason(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
