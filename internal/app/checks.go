package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"cancello/internal/auth"
	"cancello/internal/config"
	"cancello/internal/proxy"
)

// readUserlist reads the auth_file; no path is no list.
func readUserlist(path string) (*auth.Userlist, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		var perr *fs.PathError
		if errors.As(err, &perr) {
			err = perr.Err
		}
		return nil, fmt.Errorf("cannot read the auth file %s: %w; give the file of users and passwords with --auth-file", path, err)
	}
	return auth.ParseUserlist(path, b)
}

// Check looks at a configuration as Start does, but at nothing outside of this machine. It tells how many users there are
// in the auth file.
func Check(c config.Config, getenv func(string) string) (users int, err error) {
	if err := config.Validate(&c); err != nil {
		return 0, err
	}
	list, err := readUserlist(c.Auth.File)
	if err == nil {
		_, err = readSecrets(&c, getenv)
	}
	if err == nil {
		_, err = proxy.LoadTLS(&c)
	}
	return list.Len(), err
}

// passwords says where passwords for servers are found, as libpq looks for them.
func passwords(users *auth.Userlist, getenv func(string) string) proxy.Passwords {
	p := proxy.Passwords{Userlist: users}
	if getenv == nil {
		return p
	}
	p.Environment = getenv("PGPASSWORD")
	if p.Passfile = getenv("PGPASSFILE"); p.Passfile == "" {
		if home := getenv("HOME"); home != "" {
			p.Passfile = filepath.Join(home, ".pgpass")
		}
	}
	return p
}

// lookUpTime bounds the look at the upstreams' names.
const lookUpTime = 5 * time.Second

// lookUp finds a mistyped upstream before the first client does. Only a name that is known not to be there is an
// error, and only where a database has no other: a name service that is slow to come up is not.
func lookUp(dbs []config.Database) error {
	ctx, cancel := context.WithTimeout(context.Background(), lookUpTime)
	defer cancel()
	for _, d := range dbs {
		if !slices.ContainsFunc(d.Upstreams(), func(u config.Upstream) bool { return !unknown(ctx, u.Host) }) {
			return fmt.Errorf("the host of the upstream for database %q, %s, is not known: correct it, or give its address", d.Name, d.Host)
		}
	}
	return nil
}

// unknown tells whether a host is a name that is not there.
func unknown(ctx context.Context, host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || net.ParseIP(host) != nil {
		return false
	}
	_, err := net.DefaultResolver.LookupHost(ctx, host)
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// makeRoomForLoop gives the loop's thread a processor of its own, so that logins never keep it waiting,
// and says whether it has one: not where the environment says how many there are.
func makeRoomForLoop() bool {
	if os.Getenv("GOMAXPROCS") != "" {
		return false
	}
	runtime.SetDefaultGOMAXPROCS()
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	return true
}
