package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// account is who runs the server.
type account struct {
	name     string
	uid, gid int
	drop     bool // we are root, and become this account for everything of PostgreSQL's
}

// serverAccount is the account that runs the server: ourselves, or under root the named one. An empty name means
// postgres, else nobody.
func serverAccount(name string) (account, error) {
	if os.Geteuid() != 0 {
		who, err := user.Current()
		if err != nil {
			return account{}, fmt.Errorf("who runs this is unknown: %w", err)
		}
		if name != "" && name != who.Username {
			return account{}, fmt.Errorf("only root can run PostgreSQL as %s, and this is %s", name, who.Username)
		}
		return account{name: who.Username, uid: os.Getuid(), gid: os.Getgid()}, nil
	}
	names := []string{"postgres", "nobody"}
	if name != "" {
		names = []string{name}
	}
	for _, name := range names {
		who, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(who.Uid)
		gid, gidErr := strconv.Atoi(who.Gid)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return account{}, fmt.Errorf("account %s has no usable number: %w", name, err)
		}
		if uid == 0 {
			return account{}, fmt.Errorf("account %s is root, as which PostgreSQL refuses to run", name)
		}
		return account{name: name, uid: uid, gid: gid, drop: true}, nil
	}
	return account{}, fmt.Errorf("PostgreSQL refuses to run as root, and there is no account %q to run it: create one", names[0])
}

// attributes make a child run as the account and quit when we die. Its process group is its own, so that the
// Ctrl-C of a terminal reaches us alone.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGQUIT}
	if a.drop {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}

// own gives a file to the account.
func (a account) own(path string) error {
	if !a.drop {
		return nil
	}
	return os.Lchown(path, a.uid, a.gid)
}

// makeDir makes a folder of the account's with exactly these permissions, whatever the umask.
func (a account) makeDir(path string, mode os.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	return a.own(path)
}
