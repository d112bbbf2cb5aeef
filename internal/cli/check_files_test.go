package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cancello/probe/fake"
)

// TestCheckPage: the page is written beside the table, or instead of it.
func TestCheckPage(t *testing.T) {
	dsn := fake.Start(t, fake.Knobs{}).DSN()
	file := filepath.Join(t.TempDir(), "report.html")
	status, stdout, stderr := runCheck(t, "--only", "key.zeros", "--html", file, dsn)
	page, err := os.ReadFile(file)
	if status != 0 || stderr != "" || !strings.Contains(stdout, "key.zeros") || err != nil || !strings.Contains(string(page), `id="key.zeros"`) {
		t.Errorf("status %d, %v\n%s%s%s", status, err, stdout, stderr, page)
	}
	if status, stdout, _ = runCheck(t, "--only", "key.zeros", "--html", "-", dsn); status != 0 || !strings.HasPrefix(stdout, "<!doctype html>") || !strings.HasSuffix(stdout, "</html>\n") {
		t.Errorf("status %d\n%s", status, stdout)
	}
}

// TestCheckCompare: both systems are shown, and the first one decides the status.
func TestCheckCompare(t *testing.T) {
	good := fake.Start(t, fake.Knobs{}).DSN()
	bad := fake.Start(t, fake.Knobs{Key: fake.KeyKnobs{Key: func(_ int, _ uint32, n int) []byte { return make([]byte, n) }}}).DSN()
	for _, c := range []struct {
		first, second string
		status        int
		line          string
	}{{good, bad, 0, "* pass  fail  key.zeros\n"}, {bad, good, 1, "* fail  pass  key.zeros\n"}, {good, good, 0, "  pass  pass  key.zeros\n"}} {
		status, stdout, stderr := runCheck(t, "--only", "key.zeros", "--compare", c.second, c.first)
		if status != c.status || !strings.Contains(stdout, c.line) {
			t.Errorf("status %d, want %d and %q\n%s%s", status, c.status, c.line, stdout, stderr)
		}
	}
	file := filepath.Join(t.TempDir(), "both.html")
	if status, stdout, stderr := runCheck(t, "--only", "key.zeros", "--json", "-", "--html", file, "--compare", bad, good); status != 0 || !strings.Contains(stdout, `"differ": true`) || strings.Contains(stdout, "\nKey\n") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	if page, err := os.ReadFile(file); err != nil || !strings.Contains(string(page), "two systems side by side") {
		t.Errorf("%v\n%s", err, page)
	}
	if status, _, stderr := runCheck(t, "--only", "key.zeros", "--compare", "postgres://ann@127.0.0.1:1/db?sslmode=disable", good); status != 2 || !strings.Contains(stderr, "--compare: ") {
		t.Errorf("status %d\n%s", status, stderr)
	}
}
