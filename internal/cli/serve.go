package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"cancello/internal/app"
	"cancello/internal/config"
	"cancello/internal/takeover"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
)

// serveFlags are the flags of serve as given.
type serveFlags struct {
	upstreams, listen, set []string
	poolMode, auth         string
	poolSize               int
	authFile               string
	allowRemoteTrust       bool
	check                  bool
	http, logFormat        string
	takeover               bool
}

func newServe(s surroundings) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve [FILE.toml] [--upstream DSN]... [flags]",
		Short: "Run the gate",
		Long: `Run the gate: listen for clients, pool their work over connections to PostgreSQL, and carry their cancels.

What is to be done is said in a configuration file, by flags, or both: flags go before the file, those of their own
before --set. SIGHUP reads the file, the auth file and certificates again, all or nothing; --check only looks at them.

The database of an upstream's DSN is the name that clients ask for (none: any name, passed on); its user, if given,
logs in for every client, otherwise each client's own name does. The password comes from the DSN, the auth file,
PGPASSWORD or a passfile. An upstream takes the place of the file's entry of that name.

SIGTERM (or Ctrl-C) drains: new clients are turned away, running work is finished, cancels are still carried. A second
one stops at once.

--takeover takes the place of the process that runs at takeover_socket, without a connection refused or a cancel lost: its
listening sockets come over when nothing can fail any more, it drains, and cancels reach its clients all the same. SIGUSR2
has the running process start its successor itself, from the program that lies where it was started from.

` + settingsHelp(),
		Example: `  cancello serve cancello.toml
  cancello serve cancello.toml --check
  cancello serve --upstream "postgres://app@db.example.com:5432/shop" --pool-mode transaction --pool-size 20`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			from := source{flags: &f, given: cmd.Flags().Changed}
			if len(args) > 0 {
				from.path = args[0]
			}
			c, err := from.load()
			switch {
			case err != nil && f.check:
				return ran(err)
			case err != nil:
				return err
			case f.check:
				return ran(check(c, s))
			}
			return ran(serve(cmd.Context(), c, from, s))
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.StringArrayVar(&f.upstreams, "upstream", nil, "a PostgreSQL, as `DSN`: postgres://USER@HOST:PORT/DB (repeatable; needed without a file)")
	fl.StringArrayVar(&f.listen, "listen", nil, "`ADDR` to listen on, as HOST:PORT, or HOST:PORT?client_keys=always|3.2|never (repeatable; default "+config.DefaultListen+")")
	fl.StringVar(&f.poolMode, "pool-mode", "", "when a server goes to another client: `MODE` is session, transaction, statement or passthrough (default session)")
	fl.IntVar(&f.poolSize, "pool-size", 0, "servers per database and user: default_pool_size, `N` (default 20)")
	fl.StringVar(&f.auth, "auth", "", "how clients prove who they are: `METHOD` is trust, plain, md5, scram-sha-256 or cert (default trust)")
	fl.StringVar(&f.authFile, "auth-file", "", "`FILE` of users and passwords, as PgBouncer's userlist.txt")
	fl.BoolVar(&f.allowRemoteTrust, "allow-remote-trust", false, "let --auth trust listen on an address that others can reach")
	fl.StringArrayVar(&f.set, "set", nil, "any other setting, as `KEY=VALUE` (repeatable)")
	fl.BoolVar(&f.check, "check", false, "only look at the configuration, say what would be done, and end with 0, or 1 if something is wrong")
	fl.StringVar(&f.http, "http", "", "serve /healthz, /readyz and /metrics (Prometheus) on `ADDR`: HOST:PORT, or PORT for this machine alone (default nowhere)")
	fl.BoolVar(&f.takeover, "takeover", false, "take the place of the process that runs at takeover_socket, if there is one: its listening sockets come over, it drains")
	fl.StringVar(&f.logFormat, "log-format", "", "the form of the log's lines: `FORM` is text or json (default text)")
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

func logHandler(f config.LogFormat, w io.Writer) slog.Handler {
	if f == config.LogJSON {
		return slog.NewJSONHandler(w, nil)
	}
	return slog.NewTextHandler(w, nil)
}

// check says what would be done.
func check(c config.Config, s surroundings) error {
	users, err := app.Check(c, s.getenv)
	if err != nil {
		return err
	}
	for _, line := range preview(c, users) {
		if _, err := fmt.Fprintln(s.stdout, line); err != nil {
			return err
		}
	}
	return nil
}

// serve runs until it is drained, stopped, or has failed.
func serve(ctx context.Context, c config.Config, from source, s surroundings) error {
	log := slog.New(logHandler(c.LogFormat, s.stderr))
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Stop(signals)
	sockets, err := takeover.FromSystemd()
	if err != nil {
		return err
	}
	a, err := app.Start(app.Options{
		Config: c, Load: from.load, Log: log, Version: version, Getenv: s.getenv, Takeover: from.flags.takeover, Sockets: sockets,
	})
	if err != nil {
		return err
	}
	defer a.Stop()
	var addrs []string
	for _, addr := range a.Addrs() {
		addrs = append(addrs, addr.String())
	}
	lines := introduction("listening", addrs, c)
	if addr := a.HTTPAddr(); addr != nil {
		lines = append(lines, fmt.Sprintf("health and metrics on http://%s", addr))
	}
	for _, line := range lines {
		if c.LogFormat == config.LogJSON { // what reads the log wants nothing else in it
			log.Info(line)
			continue
		}
		fmt.Fprintln(s.stderr, "cancello: "+line)
	}
	notify(log, daemon.SdNotifyReady+mainProcess(a))
	return run(ctx, a, log, signals)
}

// run waits for what is to be done to a running Cancello, until it ends.
func run(ctx context.Context, a *app.App, log *slog.Logger, signals <-chan os.Signal) error {
	last := daemon.SdNotifyStopping // what systemd is told at the end
	defer func() { notify(log, last) }()
	for asked := 0; ; {
		select {
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				notify(log, reloading())
				_ = a.Reload() // it is in the log
				notify(log, daemon.SdNotifyReady)
				continue
			}
			if sig == syscall.SIGUSR2 {
				upgrade(log)
				continue
			}
			if asked++; asked > 1 {
				log.Warn("stopping at once", "signal", sig.String())
				return nil
			}
			notify(log, last)
			a.Drain()
			log.Info("draining: clients may finish, cancels are still carried; once more to stop at once", "signal", sig.String())
		case to := <-a.TakenOver():
			if to.Invocation != "" && to.Invocation == a.Identity().Invocation { // the unit lives on in the other process
				notify(log, fmt.Sprintf("MAINPID=%d", to.PID))
				last = ""
				continue
			}
			notify(log, fmt.Sprintf("STATUS=draining: process %d has taken over", to.PID))
		case <-a.Drained():
			return nil
		case <-a.StopAsked():
			log.Warn("stopping at once: asked for at the console")
			return nil
		case err := <-a.Failed():
			return err
		case <-ctx.Done():
			return nil
		}
	}
}
