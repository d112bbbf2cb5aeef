package demo

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pair of a terminal and what a person types into it.
func openTerminal(t *testing.T) (terminal, keyboard *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return terminal, keyboard
}

// Signals end it as a process, wherever it is, with nothing left and the right exit status.
func TestSignals(t *testing.T) {
	install(t, 0)
	terminal, _ := openTerminal(t)
	for name, c := range map[string]struct {
		args   string
		stdin  *os.File // nil: no terminal
		when   string
		signal syscall.Signal
		code   int
	}{
		"SIGTERM in the middle": {"--once", terminal, "2. A cancel", syscall.SIGTERM, 1},
		"SIGINT in the middle":  {"", terminal, "✓ 100 answers", syscall.SIGINT, 1},
		"Ctrl-C at the end":     {"", terminal, "Ctrl-C here ends the demo.", syscall.SIGINT, 0},
		"no terminal":           {"", nil, "", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childEnv+"="+c.args)
			if c.stdin != nil {
				cmd.Stdin = c.stdin
			}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			hung := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
			defer hung.Stop()
			left, text := follow(t, cmd, stdout, c.when, c.signal)
			_ = cmd.Wait() // the status is looked at
			if got := cmd.ProcessState.ExitCode(); got != c.code {
				t.Errorf("exit status %d, want %d\n%s%s", got, c.code, text, stderr.String())
			}
			left.wantGone(t)
			if !strings.HasSuffix(strings.TrimSpace(text), "Stopped. Nothing is left behind.") {
				t.Error(text)
			}
		})
	}
}

// follow reads what a demo says, and sends it a signal when it says a certain thing.
func follow(t *testing.T, cmd *exec.Cmd, stdout io.Reader, when string, signal syscall.Signal) (left remains, text string) {
	t.Helper()
	var all strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		all.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "1. Ten") {
			left = look(t, cmd.Process.Pid)
		}
		if when != "" && strings.Contains(lines.Text(), when) {
			if err := cmd.Process.Signal(signal); err != nil {
				t.Error(err)
			}
			when = ""
		}
	}
	if when != "" {
		t.Errorf("it never said %q", when)
	}
	return left, all.String()
}

// Whoever pipes it into something that stops reading leaves nothing behind either: no sudden end by SIGPIPE.
func TestClosedPipe(t *testing.T) {
	install(t, 0)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=--once")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hung := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer hung.Stop()
	var left remains
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if strings.Contains(lines.Text(), "1. Ten") {
			left = look(t, cmd.Process.Pid)
			break
		}
	}
	stdout.Close()
	_ = cmd.Wait() // the status is looked at
	if got := cmd.ProcessState.ExitCode(); got != 1 {
		t.Errorf("exit status %d, want 1", got)
	}
	left.wantGone(t)
}

// Colour is for terminals, and for those only that want it.
func TestColour(t *testing.T) {
	terminal, _ := openTerminal(t)
	file, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if !wantsColour(terminal) {
		t.Error("none on a terminal")
	}
	if wantsColour(file) || wantsColour(&bytes.Buffer{}) {
		t.Error("in a file")
	}
	t.Setenv("TERM", "dumb")
	if wantsColour(terminal) {
		t.Error("on a terminal that can't")
	}
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "1")
	if wantsColour(terminal) {
		t.Error("though it is not wanted")
	}
}

func TestWrap(t *testing.T) {
	for text, want := range map[string]string{
		"one two three":       "one two|three",
		"":                    "",
		"longerthanaline":     "longerthanaline",
		"a longerthanaline b": "a|longerthanaline|b",
		"αβγδ εζη θ":          "αβγδ εζη|θ",
	} {
		if got := strings.Join(wrap(text, 8), "|"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		ms(1234 * time.Microsecond):                 "1.2 ms",
		ms(250*time.Millisecond + time.Microsecond): "250 ms",
		number(7):       "7",
		number(1234567): "1,234,567",
		times(1):        "once",
		times(3):        "3 times",
		digits(9):       "nine",
		digits(11):      "11",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
