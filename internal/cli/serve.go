package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"cancello/internal/app"
	"cancello/internal/config"

	"github.com/spf13/cobra"
)

// defaultListen is where serve listens when nothing is said.
const defaultListen = "127.0.0.1:6432"

// serveFlags are the flags of serve as given.
type serveFlags struct {
	upstreams, listen, set []string
	poolMode, auth         string
	poolSize               int
	authFile               string
	allowRemoteTrust       bool
	http                   string
}

func newServe(s surroundings) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve --upstream DSN [flags]",
		Short: "Run the gate",
		Long: `Run the gate: listen for clients, pool their work over connections to PostgreSQL, and carry their cancels.

The database of an upstream's DSN is the name that clients ask for (none: any name, passed on); its user, if given,
logs in for every client, otherwise each client's own name does. The password comes from the DSN, the auth file,
PGPASSWORD or a passfile.

SIGTERM (or Ctrl-C) drains: new clients are turned away, running work is finished, cancels are still carried. A second
one stops at once.

` + settingsHelp(),
		Example: `  cancello serve --upstream "postgres://app@db.example.com:5432/shop" --pool-mode transaction --pool-size 20`,
		Args:    f.noFile,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.config(cmd)
			if err != nil {
				return err
			}
			return ran(serve(cmd.Context(), c, s))
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringArrayVar(&f.upstreams, "upstream", nil, "a PostgreSQL, as `DSN`: postgres://USER@HOST:PORT/DB (repeatable, needed)")
	fl.StringArrayVar(&f.listen, "listen", []string{defaultListen}, "`ADDR` to listen on, as HOST:PORT (repeatable)")
	fl.StringVar(&f.poolMode, "pool-mode", "", "when a server goes to another client: `MODE` is session or transaction (default session)")
	fl.IntVar(&f.poolSize, "pool-size", 0, "servers per database and user: default_pool_size, `N` (default 20)")
	fl.StringVar(&f.auth, "auth", "", "how clients prove who they are: `METHOD` is trust, plain or scram-sha-256 (default trust)")
	fl.StringVar(&f.authFile, "auth-file", "", "`FILE` of users and passwords, as PgBouncer's userlist.txt")
	fl.BoolVar(&f.allowRemoteTrust, "allow-remote-trust", false, "let --auth trust listen on an address that others can reach")
	fl.StringArrayVar(&f.set, "set", nil, "any other setting, as `KEY=VALUE` (repeatable)")
	fl.StringVar(&f.http, "http", "", "")
	_ = fl.MarkHidden("http") // known only to be declined in words
	return cmd
}

// settingsHelp lists what --set reaches.
func settingsHelp() string {
	var b strings.Builder
	b.WriteString("Settings for --set, with their defaults (a time is in seconds, or has a unit: ms, s, min, h):\n")
	for _, d := range config.Describe() {
		fmt.Fprintf(&b, "  %-26s %-12s %s\n", d.Name, d.Default, d.About)
	}
	return strings.TrimRight(b.String(), "\n")
}

// noFile declines what serve will take one day.
func (f *serveFlags) noFile(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s: a configuration file is not supported yet: give flags", args[0])
	}
	return nil
}

// config makes the configuration from what was given.
func (f *serveFlags) config(cmd *cobra.Command) (config.Config, error) {
	c := config.Default()
	given := cmd.Flags().Changed
	if given("http") {
		return c, errors.New("--http is not supported yet")
	}
	if len(f.upstreams) == 0 {
		return c, errors.New(`--upstream is needed: give the PostgreSQL to speak to, as --upstream "postgres://USER@HOST:PORT/DB"`)
	}
	for _, dsn := range f.upstreams {
		d, err := config.ParseDSN(dsn)
		if err != nil {
			return c, fmt.Errorf("--upstream: %w", err)
		}
		c.Databases = append(c.Databases, d)
	}
	c.Listen = f.listen
	c.AllowRemoteTrust = f.allowRemoteTrust
	c.Auth.File = f.authFile
	var err error
	if c.Auth.Method, err = parseMethod(f.auth); err != nil {
		return c, err
	}
	for _, kv := range f.set {
		key, value, ok := strings.Cut(kv, "=")
		if !ok {
			return c, fmt.Errorf("--set %s: give it as KEY=VALUE", kv)
		}
		if err := config.Set(&c, key, value); err != nil {
			return c, fmt.Errorf("--set: %w", err)
		}
	}
	if given("pool-mode") {
		if err := config.Set(&c, "pool_mode", f.poolMode); err != nil {
			return c, fmt.Errorf("--pool-mode: %w", err)
		}
	}
	if given("pool-size") {
		if err := config.Set(&c, "default_pool_size", strconv.Itoa(f.poolSize)); err != nil {
			return c, fmt.Errorf("--pool-size: %w", err)
		}
	}
	return c, config.Validate(&c)
}

// parseMethod reads --auth; not given is trust.
func parseMethod(word string) (config.Method, error) {
	for _, m := range []config.Method{config.Trust, config.Plain, config.SCRAM} {
		if word == m.String() || word == "" {
			return m, nil
		}
	}
	return config.Trust, fmt.Errorf("--auth %q is not a method: give trust, plain or scram-sha-256", word)
}

// serve runs until it is drained, stopped, or has failed.
func serve(ctx context.Context, c config.Config, s surroundings) error {
	log := slog.New(slog.NewTextHandler(s.stderr, nil))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	a, err := app.Start(app.Options{Config: c, Log: log, Getenv: s.getenv})
	if err != nil {
		return err
	}
	defer a.Stop()
	for _, line := range introduction(a, c) {
		fmt.Fprintln(s.stderr, line)
	}
	for asked := 0; ; {
		select {
		case sig := <-signals:
			if asked++; asked > 1 {
				log.Warn("stopping at once", "signal", sig.String())
				return nil
			}
			a.Drain()
			log.Info("draining: clients may finish, cancels are still carried; once more to stop at once", "signal", sig.String())
		case <-a.Drained():
			return nil
		case err := <-a.Failed():
			return err
		case <-ctx.Done():
			return nil
		}
	}
}

// introduction says what is listened on and who is spoken to.
func introduction(a *app.App, c config.Config) []string {
	var lines []string
	for _, addr := range a.Addrs() {
		lines = append(lines, fmt.Sprintf("cancello: listening on %s (auth %s, pool_mode %s, %d servers per database and user)",
			addr, c.Auth.Method, c.Pool.Mode, c.Pool.DefaultSize))
	}
	for _, d := range c.Databases {
		name := fmt.Sprintf("database %q", d.Name)
		if d.Name == "*" {
			name = "any database"
		}
		as := "each client's own user"
		if d.User != "" {
			as = fmt.Sprintf("user %q", d.User)
		}
		lines = append(lines, fmt.Sprintf("cancello: %s is on %s, port %d, as %s", name, d.Host, d.Port, as))
	}
	return lines
}
