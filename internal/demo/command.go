package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"cancello/internal/postgres"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// Command is `cancello demo`. It returns an error if there is no PostgreSQL, if something else was seen than is
// promised, and if it was interrupted before the end of the tour.
func Command() *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use:   "demo [--once]",
		Short: "Show on a throwaway PostgreSQL what becomes of a cancel",
		Long: `Start a throwaway PostgreSQL and Cancello in front of it, and show in five scenes what becomes of a cancel. Then
stay, so that you can try it with psql, until Ctrl-C. Takes less than a minute, needs no set-up, leaves nothing behind.

PostgreSQL is looked for in CANCELLO_PG_BIN, on PATH, where pg_config and Debian's layout say, and in the cache that
"make demo" fills. Under root it runs as another user.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			defer keepPipes()()
			install, err := postgres.Find(0)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			return run(ctx, options{
				install: install, out: out, colour: wantsColour(out),
				stay: !once && isTerminal(cmd.InOrStdin()),
			})
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "end after the tour")
	return cmd
}

// options are what a run depends on.
type options struct {
	install  postgres.Install
	template bool // use the cache, which keeps a template then
	out      io.Writer
	colour   bool
	stay     bool // until ctx ends
}

// errInterrupted: the tour did not come to its end.
var errInterrupted = errors.New("interrupted before the end of the tour")

// run is the whole demo.
func run(ctx context.Context, o options) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Where nobody can read on, nobody needs the rest.
	scr := &screen{out: o.out, colour: o.colour, lost: func(err error) { cancel(fmt.Errorf("write to standard output: %w", err)) }}

	scr.text("Starting PostgreSQL %s for this demo alone ...", o.install.Version)
	st, err := openStage(ctx, o.install, o.template)
	if err != nil {
		if ctx.Err() != nil {
			return interruption(ctx)
		}
		return err
	}
	defer func() {
		if closeErr := st.close(); closeErr != nil {
			err = errors.Join(err, closeErr)
			return
		}
		scr.text("Stopped. Nothing is left behind.")
	}()
	t := &tour{screen: scr, stage: st}
	if err := t.play(ctx); err != nil {
		if ctx.Err() != nil {
			return interruption(ctx)
		}
		scr.failure(err)
		return fmt.Errorf("the demo saw something else than Cancello promises: %w", err)
	}
	t.invite(o.stay)
	if o.stay {
		return t.linger(ctx)
	}
	return nil
}

// interruption says why ctx ended.
func interruption(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return errInterrupted
}

// keepPipes makes a write to a reader that has gone an error in place of a sudden end, which would leave things
// behind. The function returned undoes that.
func keepPipes() func() {
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGPIPE)
	return func() { signal.Stop(ignored) }
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
func wantsColour(out io.Writer) bool {
	return isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
