package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"cancello/probe"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// checkFlags are the flags of check as given.
type checkFlags struct {
	races, list                bool
	only                       string
	json, html, junit, compare string
	known                      string
	tries, connections         int
}

func newCheck(s surroundings) *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check DSN [flags]",
		Short: "Find out what a server, pooler or proxy really does about keys, cancel and negotiation",
		Long: `Find out what a PostgreSQL-compatible server, pooler or proxy really does about startup, keys, negotiation, encryption
and cancel, from outside, with the bytes as evidence. Takes about a minute, needs no special rights, leaves nothing
behind, and never asks for a password: it takes that from the DSN, PGPASSWORD or a passfile. The DSN is read as libpq
reads it, with PG* variables and service files; "" is all from there.

Exit status 0: nothing fails but what --known accepts. 1: something fails. 2: it could not run.

--races also runs the cases that try what must not happen, again and again: cancels with zeros, with wrong numbers and
too late. On a faulty pooler THEY MAY END ANOTHER SESSION'S QUERY. Don't use it where somebody else works.`,
		Example: `  cancello check "postgres://app@db.example.com:5432/shop"
  cancello check --only "key.*" "host=localhost dbname=shop"
  cancello check --json report.json --html report.html --known known.json service=pooler`,
		Args: f.arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return f.run(ctx, s, args)
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.BoolVar(&f.races, "races", false, "also run what may end another session's query on a faulty pooler")
	fl.StringVar(&f.only, "only", "", "only the cases whose ids match `GLOB`, such as \"key.*\"")
	fl.BoolVar(&f.list, "list", false, "list the cases and end")
	fl.StringVar(&f.json, "json", "", "write the findings to `FILE` as JSON (docs/check.schema.json); - is standard output")
	fl.StringVar(&f.html, "html", "", "write a page to `FILE`")
	fl.StringVar(&f.junit, "junit", "", "write the findings to `FILE` as JUnit's XML")
	fl.StringVar(&f.compare, "compare", "", "check `DSN2` too, and show both side by side: through a proxy and direct; the exit status is of the first")
	fl.IntVar(&f.tries, "tries", probe.DefaultTries, "how often what depends on luck is tried, `N`")
	fl.IntVar(&f.connections, "connections", probe.DefaultConnections, "how many connections may be used at once, `N`")
	fl.StringVar(&f.known, "known", "", "`FILE` of accepted failures: a JSON array of {\"id\", \"reason\"}")
	return cmd
}

// arguments wants one DSN, and none with --list.
func (f *checkFlags) arguments(_ *cobra.Command, args []string) error {
	switch {
	case f.tries < 1 || f.connections < 2:
		return errors.New("--tries must be at least 1 and --connections at least 2")
	case f.list && len(args) > 0:
		return errors.New("--list takes no DSN")
	case !f.list && len(args) != 1:
		return errors.New(`give one DSN, such as "postgres://USER@HOST:PORT/DB"; "" takes all from PG* variables`)
	}
	return nil
}

func (f *checkFlags) run(ctx context.Context, s surroundings, args []string) error {
	cases, err := probe.Select(probe.Cases(), f.only)
	if err != nil {
		return fmt.Errorf("--only: %w", err)
	}
	if f.list {
		return ran(probe.WriteList(s.stdout, cases))
	}
	var known []probe.Accepted
	if f.known != "" {
		if known, err = readKnown(f.known); err != nil {
			return unable(fmt.Errorf("--known %s: %w", f.known, err))
		}
	}
	target, err := probe.ParseTarget(args[0])
	if err != nil {
		return err
	}
	var second *probe.Target
	if f.compare != "" {
		if second, err = probe.ParseTarget(f.compare); err != nil {
			return fmt.Errorf("--compare: %w", err)
		}
	}
	report, err := f.check(ctx, s, target)
	if err != nil {
		return unable(err)
	}
	for _, remark := range report.Accept(known) {
		fmt.Fprintf(s.stderr, "cancello: --known: %s\n", remark)
	}
	if second == nil {
		err = f.write(s, report)
	} else {
		var other probe.Report
		if other, err = f.check(ctx, s, second); err != nil {
			return unable(fmt.Errorf("--compare: %w", err))
		}
		err = f.writeBoth(s, probe.Comparison{A: report, B: other})
	}
	if err != nil {
		return unable(err)
	}
	if ctx.Err() != nil {
		return unable(errors.New("interrupted: the rest of the cases did not run"))
	}
	if n := len(report.Failures()); n > 0 {
		return ran(fmt.Errorf("%d of %d cases fail", n, len(report.Findings)))
	}
	return nil
}

func (f *checkFlags) check(ctx context.Context, s surroundings, t *probe.Target) (probe.Report, error) {
	progress := func(probe.Progress) {}
	if isTerminal(s.stderr) {
		progress = func(p probe.Progress) {
			if p.ID == "" {
				fmt.Fprint(s.stderr, "\r\x1b[K")
				return
			}
			fmt.Fprintf(s.stderr, "\r\x1b[K[%d/%d] %s", p.Done+1, p.Total, p.ID)
		}
	}
	return probe.Run(ctx, t, probe.Options{Races: f.races, Only: f.only, Tries: f.tries, Connections: f.connections}, progress)
}

// write makes every output that was asked for, and the table unless JSON goes where it would.
func (f *checkFlags) write(s surroundings, r probe.Report) error {
	for _, out := range []struct {
		file  string
		write func(io.Writer, probe.Report) error
	}{
		{f.json, probe.WriteJSON},
		{f.junit, probe.WriteJUnit},
		{f.html, probe.WriteHTML},
	} {
		if err := toFile(s, out.file, func(w io.Writer) error { return out.write(w, r) }); err != nil {
			return err
		}
	}
	if f.json == "-" || f.junit == "-" || f.html == "-" {
		return nil
	}
	return probe.WriteText(s.stdout, r, wantsColour(s))
}

// writeBoth is write for a comparison. JUnit's XML is of the first system alone.
func (f *checkFlags) writeBoth(s surroundings, c probe.Comparison) error {
	for _, out := range []struct {
		file  string
		write func(io.Writer) error
	}{
		{f.json, func(w io.Writer) error { return probe.WriteCompareJSON(w, c) }},
		{f.junit, func(w io.Writer) error { return probe.WriteJUnit(w, c.A) }},
		{f.html, func(w io.Writer) error { return probe.WriteCompareHTML(w, c) }},
	} {
		if err := toFile(s, out.file, out.write); err != nil {
			return err
		}
	}
	if f.json == "-" || f.junit == "-" || f.html == "-" {
		return nil
	}
	return probe.WriteCompareText(s.stdout, c, wantsColour(s))
}

// toFile writes a file whole; "-" is standard output, "" nothing.
func toFile(s surroundings, name string, write func(io.Writer) error) error {
	switch name {
	case "":
		return nil
	case "-":
		return write(s.stdout)
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}

func readKnown(name string) ([]probe.Accepted, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return probe.ReadKnown(file)
}

func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// wantsColour: a terminal, unless it or its user can't stand it (no-color.org).
func wantsColour(s surroundings) bool {
	return isTerminal(s.stdout) && s.getenv("NO_COLOR") == "" && s.getenv("TERM") != "dumb"
}
