package postgres

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// spawned is this test binary, running one cluster.
type spawned struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	pid     int
	path    string
	account string
}

func spawn(t *testing.T, program string, attr *syscall.SysProcAttr, env ...string) spawned {
	t.Helper()
	cmd := exec.Command(program)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), append(env, childEnv+"=1")...)
	cmd.SysProcAttr = attr
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	s := spawned{cmd: cmd, stdin: stdin}
	if _, scanErr := fmt.Sscanf(line, "running %d %s %s", &s.pid, &s.path, &s.account); scanErr != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("the child says %q (%v)", line, err)
	}
	return s
}

// A process that is killed takes its server along, and the next one removes the folder.
func TestKilledOwner(t *testing.T) {
	install(t, 0)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := spawn(t, self, nil)
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait() // "signal: killed", as wanted
	if err := awaitGone([]int{s.pid}, 10*time.Second); err != nil {
		t.Errorf("the server outlived its owner: %v", err)
	}
	root := filepath.Dir(s.path)
	sweep(root)
	if _, err := os.Stat(s.path); err != nil {
		t.Errorf("swept within the grace: %v", err)
	}
	old := time.Now().Add(-2 * lockGrace)
	if err := os.Chtimes(filepath.Join(s.path, "lock"), old, old); err != nil {
		t.Fatal(err)
	}
	sweep(root)
	if _, err := os.Stat(s.path); err == nil {
		t.Errorf("%s is still there", s.path)
	}
}

// A folder in use is not swept, however old.
func TestSweepSparesTheLiving(t *testing.T) {
	c := start(t, Options{Install: install(t, 0)})
	old := time.Now().Add(-2 * lockGrace)
	if err := os.Chtimes(filepath.Join(c.folder.path, "lock"), old, old); err != nil {
		t.Fatal(err)
	}
	sweep(filepath.Dir(c.folder.path))
	if _, err := os.Stat(c.DataDir()); err != nil {
		t.Fatal(err)
	}
	// Nor is one whose owner has gone while the server still runs.
	if err := c.folder.lock.Close(); err != nil {
		t.Fatal(err)
	}
	c.folder.lock = nil
	sweep(filepath.Dir(c.folder.path))
	if _, err := os.Stat(c.DataDir()); err != nil {
		t.Fatal(err)
	}
}

// Somebody who is not root runs the server under his own name, in his own temporary folder.
func TestOrdinaryUser(t *testing.T) {
	install(t, 0)
	if os.Geteuid() != 0 {
		t.Skip("the other tests ran as an ordinary user already")
	}
	cache, err := CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := serverAccount("nobody")
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.MkdirTemp("/var/tmp", "cancello-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// go test's own folder may be closed to nobody.
	program := filepath.Join(home, "test")
	if err := copyFile(nobody, self, program); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(program, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(home, nobody.uid, nobody.gid); err != nil {
		t.Fatal(err)
	}
	attr := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(nobody.uid), Gid: uint32(nobody.gid)}}
	s := spawn(t, program, attr, "HOME="+home, "TMPDIR="+home, "CANCELLO_CACHE="+cache)
	if s.account != "nobody" || !strings.HasPrefix(s.path, home) {
		t.Errorf("run by %s in %s", s.account, s.path)
	}
	s.stdin.Close()
	if err := s.cmd.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.path); err == nil {
		t.Errorf("%s is still there", s.path)
	}
}
