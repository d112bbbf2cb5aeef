package app

import (
	"fmt"
	"slices"
	"strings"

	"cancello/internal/auth"
	"cancello/internal/config"
	"cancello/internal/proxy"
)

// Reload reads the configuration, the auth file, certificates and keys again and puts in force what needs no restart. It has two phases:
// whatever can fail comes first and touches nothing; from then on nothing can. The error, with a line for each fault,
// is in the log already, as is each change.
func (a *App) Reload() error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	next, err := a.read()
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			a.log.Error("reload refused: nothing was changed", "reason", line)
		}
		return err
	}
	a.commit(next)
	return nil
}

// configInForce is the configuration as it is now.
func (a *App) configInForce() config.Config {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	return a.config
}

// prepared is what a reload would put in force.
type prepared struct {
	wanted config.Config // as read
	config config.Config // with what needs a restart as it is
	users  *auth.Userlist
	tls    *proxy.TLS
	shared secrets
}

// read reads the configuration and prepares it.
func (a *App) read() (prepared, error) {
	if a.load == nil {
		return a.prepare(a.config)
	}
	wanted, err := a.load()
	if err != nil {
		return prepared{}, err
	}
	return a.prepare(wanted)
}

// Set changes one setting of those in force, as --set would; the next Reload undoes it. What needs a restart can't be
// changed.
func (a *App) Set(key, value string) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	wanted := a.config
	if err := config.Alter(&wanted, key, value); err != nil {
		return err
	}
	next, err := a.prepare(wanted)
	if err != nil {
		return err
	}
	a.commit(next)
	return nil
}

// prepare is the phase that may fail.
func (a *App) prepare(wanted config.Config) (prepared, error) {
	n := prepared{wanted: wanted}
	if err := config.Validate(&n.wanted); err != nil {
		return n, err
	}
	n.config = config.Keep(a.config, n.wanted)
	if err := config.Validate(&n.config); err != nil {
		return n, fmt.Errorf("with what needs a restart as it is: %w", err)
	}
	var err error
	if n.users, err = readUserlist(n.config.Auth.File); err != nil {
		return n, err
	}
	if n.shared, err = readSecrets(&n.config, a.getenv); err != nil {
		return n, err
	}
	if n.tls, err = proxy.LoadTLS(&n.config); err != nil {
		return n, err
	}
	if err := checkDescriptors(n.config); err != nil {
		return n, err
	}
	return n, lookUp(slices.DeleteFunc(slices.Clone(n.config.Databases), a.knows))
}

// knows tells whether a database's host was looked up before: a name service that is down is no reason to refuse what
// concerns something else.
func (a *App) knows(d config.Database) bool {
	return slices.ContainsFunc(a.config.Databases, func(e config.Database) bool { return e.Host == d.Host })
}

// useSecrets has keys be made under the cluster's secrets as they are now, and judged under them.
func (a *App) useSecrets(s secrets) {
	next, changed := s.orOwn(a.own).after(a.secrets)
	a.secrets = next
	a.minter = a.minter.Under(next.list()...)
	a.proxy.UseKeys(a.minter)
	a.hub.Configure(hubConfig(&a.config, next))
	if changed {
		a.log.Info("reload: the cluster's secret is another one; what is made under the former one stays good")
	}
}

// commit is the phase that cannot fail.
func (a *App) commit(n prepared) {
	changes := config.Diff(&a.config, &n.wanted)
	a.config = n.config
	a.proxy.UseTLS(n.tls)
	a.proxy.Reconfigure(n.config, auth.NewVerifier(method(n.config.Auth.Method), n.users, a.mock), passwords(n.users, a.getenv))
	a.useSecrets(n.shared)
	needRestart := 0
	for _, c := range changes {
		what := []any{"setting", c.Name, "old", c.Old, "new", c.New}
		if c.When == config.Restart {
			needRestart++
			a.log.Warn("reload: this needs a restart; the old value stays in force", what...)
			continue
		}
		a.log.Info("reload: changed", append(what, "holds", c.When.String())...)
	}
	a.log.Info("reloaded", "changes", len(changes)-needRestart, "need_restart", needRestart, "users", n.users.Len())
}
