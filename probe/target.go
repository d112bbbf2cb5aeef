package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Target is the server that a connection string names.
type Target struct {
	config *pgconn.Config
	places []place // as libpq would try them
	chosen int     // the one that answered; all cases stay with it
	About  About
}

// place is one address, and whether TLS is spoken there.
type place struct {
	network, address string // "tcp" or "unix"
	host             string // as given
	tls              *tls.Config
}

// About is what a first login told.
type About struct {
	Address       string // host:port or the socket's path
	TLS           bool
	User          string
	Database      string
	ServerVersion string // the parameter server_version; empty if the server doesn't say
	Major         int    // of it; 0 if it can't be read
}

// ParseTarget reads a connection string as libpq does (URI or key=value, PG* variables, service file, passfile) and says
// what it names. Nothing is dialed yet.
func ParseTarget(dsn string) (*Target, error) {
	c, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, err // pgconn has taken the password out
	}
	t := &Target{config: c}
	t.places = append(t.places, placeOf(c.Host, c.Port, c.TLSConfig))
	for _, f := range c.Fallbacks {
		t.places = append(t.places, placeOf(f.Host, f.Port, f.TLSConfig))
	}
	t.About = About{User: c.User, Database: c.Database}
	if t.About.Database == "" {
		t.About.Database = c.User
	}
	return t, nil
}

func placeOf(host string, port uint16, conf *tls.Config) place {
	p := strconv.Itoa(int(port))
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return place{network: "unix", address: filepath.Join(host, ".s.PGSQL."+p), host: host}
	}
	return place{network: "tcp", address: net.JoinHostPort(host, p), host: host, tls: conf}
}

func (t *Target) place() place { return t.places[t.chosen] }

// reach logs in once, at the first place that lets us, and stays with it. A server that can't be reached or that
// refuses is an error; one that breaks the protocol is not: that is for the cases to say.
func (t *Target) reach(ctx context.Context, o Options) error {
	var failures []error
	for i := range t.places {
		t.chosen = i
		err := t.tryPlace(ctx, o)
		var broken *brokenLogin
		if err == nil || errors.As(err, &broken) {
			t.About.Address, t.About.TLS = t.place().address, t.place().tls != nil
			return nil
		}
		if !slices.ContainsFunc(failures, func(other error) bool { return other.Error() == err.Error() }) {
			failures = append(failures, err)
		}
		if refusal := (*ServerError)(nil); errors.As(err, &refusal) && refusal.Code != "28000" && refusal.Code != "57P03" {
			break // it would say the same again
		}
	}
	return errors.Join(failures...)
}

// brokenLogin is a login that came to neither ReadyForQuery nor a refusal.
type brokenLogin struct{ error }

func (e *brokenLogin) Unwrap() error { return e.error }

func (t *Target) tryPlace(ctx context.Context, o Options) error {
	if err := t.resolve(ctx); err != nil {
		return err
	}
	b := newBench(t, o)
	defer b.close()
	c, err := b.Dial(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", t.place().address, err)
	}
	s, err := b.LoginOn(c, LoginOptions{})
	if err == nil {
		t.About.ServerVersion = s.Params["server_version"]
		t.About.Major = major(t.About.ServerVersion)
		return nil
	}
	var refusal *ServerError
	var method *authError
	if errors.As(err, &refusal) || errors.As(err, &method) {
		return fmt.Errorf("%s: %w", t.place().address, err)
	}
	return &brokenLogin{err}
}

// resolve looks a name up once: all connections of a check go to one machine, as a cancel goes where its session is.
func (t *Target) resolve(ctx context.Context) error {
	p := &t.places[t.chosen]
	if p.network == "unix" {
		return nil
	}
	host, port, err := net.SplitHostPort(p.address)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return fmt.Errorf("the host %s is not known: %w", host, err)
	}
	for _, a := range addrs {
		address := net.JoinHostPort(a, port)
		var c net.Conn
		if c, err = new(net.Dialer).DialContext(ctx, "tcp", address); err == nil {
			c.Close()
			p.address = address
			return nil
		}
	}
	return err
}

// major reads the major version off "15.18 (Debian ...)", "18devel" or "9.6.24".
func major(version string) int {
	n := 0
	for _, r := range version {
		if r < '0' || r > '9' {
			break
		}
		n = n*10 + int(r-'0')
	}
	return n
}
