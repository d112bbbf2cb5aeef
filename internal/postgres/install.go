package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Install is a PostgreSQL found on this machine.
type Install struct {
	BinDir  string // holds postgres and initdb
	LibDir  string // holds its own libpq.so.5, for LD_LIBRARY_PATH; empty where the system's libpq serves
	Major   int    // 18
	Version string // as the server says it: "18.4", "15.20 (Debian 15.20-0+deb12u1)"
}

// place is a folder that may hold a PostgreSQL, and how we came upon it.
type place struct {
	dir, how string
	stated   bool // by the operator: it must be usable
}

// Find finds a PostgreSQL server of a major version, or with 0 of any: then the newest. Where several fit, the
// first of these is taken:
//
//  1. CANCELLO_PG18_BIN (or another major version's number), a folder that holds postgres and initdb; with 0,
//     only CANCELLO_PG_BIN, which for a given version is taken only if it is of that version. A folder so named
//     that holds no usable server is an error, not passed over.
//  2. postgres on PATH
//  3. what pg_config --bindir says
//  4. Debian's and Red Hat's layouts, /usr/lib/postgresql/*/bin and /usr/pgsql-*/bin
//  5. the cache, which scripts/fetch-postgres fills
//
// Under root a server counts only if the account that would run it can. The error is one line that says what to
// install.
func Find(major int) (Install, error) {
	who, err := serverAccount("")
	if err != nil {
		return Install{}, err
	}
	if major != 0 {
		name := fmt.Sprintf("CANCELLO_PG%d_BIN", major)
		if dir := os.Getenv(name); dir != "" {
			found, err := inspect(who, dir)
			if err == nil && found.Major != major {
				err = fmt.Errorf("it is PostgreSQL %s", found.Version)
			}
			if err != nil {
				return Install{}, fmt.Errorf("%s=%s: %w", name, dir, err)
			}
			return found, nil
		}
	}
	var best Install
	var flaws []string
	for _, p := range places() {
		found, err := inspect(who, p.dir)
		if err != nil && p.stated {
			return Install{}, fmt.Errorf("%s=%s: %w", p.how, p.dir, err)
		}
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				flaws = append(flaws, fmt.Sprintf("%s (%s): %v", p.dir, p.how, err))
			}
			continue
		}
		if p.stated && (major == 0 || found.Major == major) {
			return found, nil
		}
		if found.Major == major {
			return found, nil
		}
		if major == 0 && found.Major > best.Major {
			best = found
		}
	}
	if best.Major != 0 {
		return best, nil
	}
	return Install{}, notFound(major, flaws)
}

func notFound(major int, flaws []string) error {
	what, pkg, variable := "PostgreSQL", "postgresql", "CANCELLO_PG_BIN"
	if major != 0 {
		what, pkg, variable = fmt.Sprintf("PostgreSQL %d", major), fmt.Sprintf("postgresql-%d", major), fmt.Sprintf("CANCELLO_PG%d_BIN", major)
	}
	seen := ""
	if len(flaws) > 0 {
		seen = " (passed over: " + strings.Join(flaws, "; ") + ")"
	}
	return fmt.Errorf("no %s server on this machine%s: run `make pg`, or install the package %s, or set %s to the folder that holds postgres and initdb", what, seen, pkg, variable)
}

// places lists where a PostgreSQL may be, in the order of preference.
func places() []place {
	var all []place
	if dir := os.Getenv("CANCELLO_PG_BIN"); dir != "" {
		all = append(all, place{dir, "CANCELLO_PG_BIN", true})
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		// A link beside initdb's link: the real folder has the rest.
		if target, err := filepath.EvalSymlinks(path); err == nil {
			all = append(all, place{dir: filepath.Dir(target), how: "PATH"})
		}
	}
	if path, err := exec.LookPath("pg_config"); err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if out, err := exec.CommandContext(ctx, path, "--bindir").Output(); err == nil {
			all = append(all, place{dir: strings.TrimSpace(string(out)), how: "pg_config"})
		}
	}
	patterns := []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"}
	if cache, err := CacheDir(); err == nil {
		patterns = append(patterns, filepath.Join(cache, "postgres-*", "native", "bin"))
	}
	for _, pattern := range patterns {
		dirs, _ := filepath.Glob(pattern) // an error means a bad pattern; a cache path may hold one: nothing found
		slices.Sort(dirs)
		for _, dir := range dirs {
			all = append(all, place{dir: dir, how: "known place"})
		}
	}
	return all
}

var versionLine = regexp.MustCompile(`^postgres \(PostgreSQL\) (([0-9]+)\S*.*)$`)

// inspect asks the server in a folder for its version, as the account that would run it. The error is an
// fs.ErrNotExist where there is none.
func inspect(who account, dir string) (Install, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Install{}, err
	}
	for _, program := range []string{"postgres", "initdb"} {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
			return Install{}, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := run(command(ctx, who, "/", filepath.Join(dir, "postgres"), "--version"))
	if errors.Is(err, fs.ErrPermission) {
		return Install{}, fmt.Errorf("account %s, which would run it, cannot enter", who.name)
	}
	if err != nil {
		return Install{}, err
	}
	m := versionLine.FindStringSubmatch(strings.TrimSpace(out))
	if m == nil {
		return Install{}, fmt.Errorf("postgres --version says %q", strings.TrimSpace(out))
	}
	major, err := strconv.Atoi(m[2])
	if err != nil {
		return Install{}, err
	}
	found := Install{BinDir: dir, Major: major, Version: m[1]}
	lib := filepath.Join(filepath.Dir(dir), "lib")
	if _, err := os.Stat(filepath.Join(lib, "libpq.so.5")); err == nil {
		found.LibDir = lib
	}
	return found, nil
}
