package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const stopLimit = 5 * time.Second

// process is a proxy that runs.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string // file
	done chan struct{}
	err  error // how it ended; valid once done is closed
}

// launch starts a program whose words go to a file. It ends with us, however we end: for that the kernel wants the
// thread alive that started it.
func launch(name, log string, who *syscall.Credential, program string, args ...string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the program has its own
	p := &process{name: name, cmd: exec.Command(program, args...), log: log, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: who}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends it: in order, and after a while without asking.
func (p *process) stop() error {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		_ = p.cmd.Process.Signal(signal) // a failure: it has ended
		timer := time.NewTimer(stopLimit)
		select {
		case <-p.done:
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
	return fmt.Errorf("%s (process %d) does not end", p.name, p.pid())
}

// lastWords is the end of its log, set off for an error.
func (p *process) lastWords() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return "\n    " + p.name + " says: " + strings.Join(lines[max(0, len(lines)-5):], "\n    ")
}
