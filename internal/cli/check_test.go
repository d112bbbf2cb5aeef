package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cancello/probe"
	"cancello/probe/fake"
)

// runCheck runs the command and returns what a caller sees.
func runCheck(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	status = Main(context.Background(), append([]string{"check"}, args...), &out, &err)
	return status, out.String(), err.String()
}

func TestCheckCommandLine(t *testing.T) {
	const try = "Try 'cancello check --help'.\n"
	for _, tt := range []struct {
		args   []string
		status int
		stdout string // a part
		stderr string // whole
	}{
		{[]string{"--help"}, 0, "THEY MAY END ANOTHER SESSION'S QUERY", ""},
		{[]string{"--list"}, 0, "startup.order", ""},
		{[]string{"--list", "--only", "key.*"}, 0, "key.zeros", ""},
		{nil, 2, "", "cancello: give one DSN, such as \"postgres://USER@HOST:PORT/DB\"; \"\" takes all from PG* variables\n" + try},
		{[]string{"--list", "x"}, 2, "", "cancello: --list takes no DSN\n" + try},
		{[]string{"--tries", "0", "x"}, 2, "", "cancello: --tries must be at least 1 and --connections at least 2\n" + try},
		{[]string{"--only", "nothing.*", "host=x"}, 2, "", "cancello: --only: no case is named \"nothing.*\": --list shows their names\n" + try},
		{[]string{"--known", "/nowhere/known.json", "host=x"}, 2, "", "cancello: --known /nowhere/known.json: open /nowhere/known.json: no such file or directory\n"},
		{[]string{"postgres://ann:secret@127.0.0.1:1/db?sslmode=disable"}, 2, "", "cancello: dial tcp 127.0.0.1:1: connect: connection refused\n"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			status, stdout, stderr := runCheck(t, tt.args...)
			if status != tt.status || !strings.Contains(stdout, tt.stdout) || tt.stdout == "" && stdout != "" || stderr != tt.stderr {
				t.Errorf("status %d, want %d; stdout:\n%s\nstderr:\n%s", status, tt.status, stdout, stderr)
			}
		})
	}
	if _, stdout, _ := runCheck(t, "--list", "--only", "key.*"); strings.Contains(stdout, "startup.") {
		t.Errorf("--only does not hold for --list:\n%s", stdout)
	}
}

// TestCheckStatus: 0 where nothing fails, 1 where something does, 0 again where that is known. The files are whole.
func TestCheckStatus(t *testing.T) {
	good := fake.Start(t, fake.Knobs{}).DSN()
	status, stdout, stderr := runCheck(t, "--only", "startup.[ok]*", good)
	if status != 0 || stderr != "" || !strings.Contains(stdout, "pass  startup.order  ") || strings.Contains(stdout, "\x1b") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	bad := fake.Start(t, fake.Knobs{Key: fake.KeyKnobs{Twice: true}}).DSN()
	dir := t.TempDir()
	report, junit := filepath.Join(dir, "report.json"), filepath.Join(dir, "report.xml")
	status, stdout, stderr = runCheck(t, "--only", "startup.[ok]*", "--json", report, "--junit", junit, bad)
	if status != 1 || stderr != "cancello: 1 of 2 cases fail\n" || !strings.Contains(stdout, "BackendKeyData comes 2 times\n") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	var findings []probe.Finding
	if text, err := os.ReadFile(report); err != nil || json.Unmarshal(text, &findings) != nil || len(findings) != 2 || findings[1].Verdict != probe.Fail {
		t.Errorf("%v: %+v", err, findings)
	}
	if text, err := os.ReadFile(junit); err != nil || !strings.Contains(string(text), `failures="1"`) {
		t.Errorf("%v: %s", err, text)
	}
	known := filepath.Join(dir, "known.json")
	if err := os.WriteFile(known, []byte(`[{"id": "startup.key", "reason": "it stutters"}, {"id": "startup.order", "reason": "long ago"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr = runCheck(t, "--only", "startup.[ok]*", "--known", known, bad)
	if status != 0 || stderr != "cancello: --known: startup.order does not fail any more (pass): take the entry out\n" || !strings.Contains(stdout, "Accepted: it stutters") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	status, stdout, _ = runCheck(t, "--only", "startup.[ok]*", "--json", "-", good)
	if status != 0 || json.Unmarshal([]byte(stdout), &findings) != nil {
		t.Errorf("status %d; with --json - standard output is:\n%s", status, stdout)
	}
}

// TestCheckInterrupted: what did not run is no success.
func TestCheckInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, err bytes.Buffer
	status := Main(ctx, []string{"check", fake.Start(t, fake.Knobs{}).DSN()}, &out, &err)
	if status != 2 {
		t.Errorf("status %d\n%s%s", status, &out, &err)
	}
}
