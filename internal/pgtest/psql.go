package pgtest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// programLimit ends a program that hangs: longer than any wait a test expects of Cancello.
const programLimit = 2 * time.Minute

// SystemLibpq is for Program: the libpq that the machine's psql was built with (15 on Debian 12).
const SystemLibpq = 15

// Output is what a program said, and how it ended.
type Output struct {
	Stdout, Stderr string
	Code           int // exit status; -1 after a signal
}

// PSQL runs psql with a libpq of the major version and no startup file, and waits for its end. With libpq 18 a
// connection string may say max_protocol_version=3.2. A failure of psql's is in the Output, not the test's.
func PSQL(t testing.TB, libpq int, args ...string) Output {
	t.Helper()
	cmd := Program(t, libpq, "psql", append([]string{"-X"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hung := time.AfterFunc(programLimit, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !hung.Stop() {
		t.Fatalf("psql hung for %s; it said:\n%s%s", programLimit, stdout.String(), stderr.String())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return Output{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode()}
}

// Program prepares one of PostgreSQL's programs (psql, pgbench ...) with a libpq of the major version, for tests that
// talk to it while it runs or interrupt it: SIGINT makes psql send a CancelRequest. No PG* variable of the caller's
// reaches it. Where the program or the libpq is missing the test is skipped, or fails under CI.
func Program(t testing.TB, libpq int, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, ok := findProgram(name)
	if !ok {
		Missing(t, name+": run `make pg`, or install the package postgresql-client")
	}
	cmd := exec.Command(path, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "PG") || strings.HasPrefix(variable, "LD_LIBRARY_PATH=")
	})
	// Nothing of the home: no .pgpass, no .psqlrc, no .psql_history.
	cmd.Env = append(cmd.Env, "HOME=/nonexistent", "PGCONNECT_TIMEOUT=30", "LC_ALL=C", "PSQL_HISTORY=/dev/null")
	if libpq != SystemLibpq {
		in := find(t, libpq)
		if in.LibDir == "" {
			Missing(t, "libpq of PostgreSQL "+in.Version+": it is not beside "+in.BinDir)
		}
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+in.LibDir)
	}
	return cmd
}

// findProgram prefers the program itself: on PATH Debian has a wrapper in Perl.
func findProgram(name string) (string, bool) {
	paths, err := filepath.Glob(filepath.Join("/usr/lib/postgresql", "*", "bin", name))
	if err == nil && len(paths) > 0 {
		return slices.Max(paths), true
	}
	path, err := exec.LookPath(name)
	return path, err == nil
}
