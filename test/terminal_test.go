package test

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a program that runs in a terminal of its own, as a person would use it: Ctrl-C reaches it as SIGINT
// from the kernel, and psql stays interactive.
type terminal struct {
	t    testing.TB
	cmd  *exec.Cmd
	keys *os.File
	said *transcript
	read chan struct{} // closed at the end of what it says
}

// runInTerminal starts the program; what still runs at the end of the test is killed.
func runInTerminal(t testing.TB, cmd *exec.Cmd) *terminal {
	t.Helper()
	keys, screen, err := openTerminal()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = screen, screen, screen
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	term := &terminal{t: t, cmd: cmd, keys: keys, said: newTranscript(), read: make(chan struct{})}
	err = cmd.Start()
	screen.Close() // the program has its own
	if err != nil {
		keys.Close()
		t.Fatal(err)
	}
	go func() {
		term.said.fill(keys) // ends with EIO when the program has gone
		close(term.read)
	}()
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		keys.Close()
		<-term.read
		if t.Failed() {
			t.Logf("on the terminal:\n%s", term.said)
		}
	})
	return term
}

// openTerminal makes a pseudo terminal (pty(7)).
func openTerminal() (keys, screen *os.File, err error) {
	keys, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	raw, err := keys.SyscallConn()
	if err != nil {
		return nil, nil, errors.Join(err, keys.Close())
	}
	var number uint32
	var failed error
	err = raw.Control(func(fd uintptr) {
		if failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failed == nil {
			number, failed = unix.IoctlGetUint32(int(fd), unix.TIOCGPTN)
		}
	})
	if err = errors.Join(err, failed); err == nil {
		screen, err = os.OpenFile("/dev/pts/"+strconv.FormatUint(uint64(number), 10), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(err, keys.Close())
	}
	return keys, screen, nil
}

// interrupt is what the key Ctrl-C sends.
const interrupt = "\x03"

// Type types keys.
func (x *terminal) Type(keys string) {
	x.t.Helper()
	if _, err := x.keys.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

// Await waits until the expression is on the screen and returns what it found.
func (x *terminal) Await(expr string) []string {
	x.t.Helper()
	return x.said.await(x.t, regexp.MustCompile(expr))
}
