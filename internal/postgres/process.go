package postgres

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a child that quits when we die.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child is gone and reaped
	err  error         // how it went; valid once done is closed
}

// command prepares a program of PostgreSQL's: as the account, in a folder it can enter, in an environment that
// says nothing of ours (a PGDATA or LD_LIBRARY_PATH of the caller would send it elsewhere).
func command(ctx context.Context, who account, dir, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = who.attributes()
	return cmd
}

// launch starts the child and reaps it. The goroutine keeps its thread until the child is gone: the kernel sends
// the parent death signal when the starting thread ends, not the process.
func launch(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// run is launch for a program that ends by itself. Its output is part of the error.
func run(cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// A grandchild may hold the pipe open after the child was killed.
	cmd.WaitDelay = 2 * time.Second
	p, err := launch(cmd)
	if err == nil {
		<-p.done
		err = p.err
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w%s", filepath.Base(cmd.Path), err, indent(out.String()))
	}
	return out.String(), nil
}

// gone waits for the end of the child for at most limit, and says whether it came.
func (p *process) gone(limit time.Duration) bool {
	select {
	case <-p.done:
		return true
	default:
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	}
}

// killTree kills a server and its children as a power cut would, and waits until none of them is left: only then
// does PostgreSQL let another server start on the folder.
func (p *process) killTree() error {
	pid := p.cmd.Process.Pid
	// Stopped first, so that it has no further child between the list and the end.
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		<-p.done
		return nil
	}
	family, err := children(pid)
	if err != nil {
		return err
	}
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	<-p.done
	for _, child := range family {
		// ESRCH: it was quicker. The number can't be another's yet, we have only just read it.
		if err := syscall.Kill(child, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("kill %d: %w", child, err)
		}
	}
	return awaitGone(family, 5*time.Second)
}

// children lists the children of a process.
func children(pid int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, path := range stats {
		if parent, _, ok := readStat(path); ok && parent == pid {
			child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				return nil, err
			}
			found = append(found, child)
		}
	}
	return found, nil
}

// awaitGone waits until each process has ended. One that nobody reaps (a container's first process may not)
// counts as ended.
func awaitGone(pids []int, limit time.Duration) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for _, pid := range pids {
		for {
			_, state, ok := readStat(fmt.Sprintf("/proc/%d/stat", pid))
			if !ok || state == "Z" || state == "X" {
				break
			}
			select {
			case <-tick.C:
			case <-deadline.C:
				return fmt.Errorf("process %d still runs %s after SIGKILL", pid, limit)
			}
		}
	}
	return nil
}

// readStat reads parent and state from a /proc/PID/stat; false when the process is gone.
func readStat(path string) (parent int, state string, ok bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, "", false
	}
	// "pid (name) state parent ...": the name may hold anything, brackets too.
	_, rest, ok := cutLast(string(b), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 2 {
		return 0, "", false
	}
	parent, err = strconv.Atoi(fields[1])
	return parent, fields[0], err == nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// indent sets a program's words off from ours, below them.
func indent(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return ""
	}
	return "\n    " + strings.ReplaceAll(s, "\n", "\n    ")
}
