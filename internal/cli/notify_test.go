package cli

import (
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"cancello/internal/pgtest/fake"
)

// systemd is told when it listens, while it reloads, and when it stops.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	want := func(pattern string) {
		t.Helper()
		b := make([]byte, 1000)
		told.SetReadDeadline(time.Now().Add(fake.Patience))
		n, err := told.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile("^(?s)" + pattern + "$").Match(b[:n]) {
			t.Errorf("systemd is told %q, want %s", b[:n], pattern)
		}
	}
	t.Setenv("NOTIFY_SOCKET", path)
	p := serveProcess(t, fake.NewServer(t, fake.Config{}))
	want("READY=1")
	p.signal(syscall.SIGHUP)
	want(`RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+`)
	want("READY=1")
	p.signal(syscall.SIGTERM)
	want("STOPPING=1")
	p.ended()
}

// The units are what systemd takes for some.
func TestUnitFile(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	for _, unit := range []string{"cancello.service", "cancello@.service", "cancello.socket"} {
		out, err := exec.Command(analyze, "verify", "--man=no", filepath.Join("..", "..", "packaging", unit)).CombinedOutput()
		name, _, _ := strings.Cut(unit, ".")
		for line := range strings.SplitSeq(string(out), "\n") {
			if strings.Contains(line, name) && !strings.Contains(line, "is not executable") { // it is not installed here
				t.Errorf("%s: %v: %s", unit, err, line)
			}
		}
	}
}
