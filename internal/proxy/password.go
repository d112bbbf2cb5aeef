package proxy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"cancello/internal/auth"
	"cancello/internal/engine"

	"github.com/jackc/pgpassfile"
)

// Passwords are the places where a password for a server is looked for when its DSN has none, in this order.
type Passwords struct {
	// Userlist is the auth_file; nil for none. An md5 hash in it logs in to servers that ask for md5, a SCRAM verifier to
	// those that keep the same one, once a client has lent its keys.
	Userlist *auth.Userlist
	// Environment is the value of PGPASSWORD.
	Environment string
	// Passfile is the path of a file as libpq has it (PGPASSFILE, else ~/.pgpass); empty for none. It is read at
	// each login, so a change counts at once.
	Passfile string
}

// newLogin begins a login to a server with all that is known for it.
func (p *Proxy) newLogin(t engine.Target, nonce []byte) *auth.Login {
	l := auth.NewLogin(t.User, p.password(t), nonce)
	if t.Entry.Password == "" {
		p.access.Load().passwords.Userlist.Equip(l, p.lent.get(t.User))
	}
	return l
}

// password finds what to log in to a server with; empty when nothing is known.
func (p *Proxy) password(t engine.Target) string {
	if t.Entry.Password != "" {
		return t.Entry.Password
	}
	from := p.access.Load().passwords
	if pw, ok := from.Userlist.Password(t.User); ok {
		return pw
	}
	if from.Environment != "" {
		return from.Environment
	}
	pw, err := from.passfile(t)
	if err != nil {
		p.set.Log.Warn("passfile ignored", "reason", err.Error())
	}
	return pw
}

// passfile looks into the passfile. Like libpq it ignores one that others may read, and says so.
func (w Passwords) passfile(t engine.Target) (string, error) {
	if w.Passfile == "" {
		return "", nil
	}
	info, err := os.Stat(w.Passfile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a plain file", w.Passfile)
	case info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("%s can be read by others; its permissions should be 0600", w.Passfile)
	}
	file, err := pgpassfile.ReadPassfile(w.Passfile)
	if err != nil {
		return "", fmt.Errorf("%s cannot be read", w.Passfile)
	}
	host := t.Host
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		host = "localhost" // what a passfile calls a Unix socket
	}
	return file.FindPassword(host, strconv.Itoa(t.Port), t.Database, t.User), nil
}
