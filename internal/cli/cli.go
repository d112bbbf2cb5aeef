package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"cancello/internal/demo"

	"github.com/spf13/cobra"
)

// The exit statuses.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2 // or a check that could not be made
)

// Main runs the command line and returns the exit status. ctx ends the command; a signal does so too where a
// command says it.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot(newSurroundings(stdout, stderr))
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(stderr, "cancello: %s\n", line)
	}
	var ran *runError
	var unable *unableError
	switch {
	case errors.As(err, &ran):
		return exitFailure
	case errors.As(err, &unable):
		return exitUsage
	}
	fmt.Fprintf(stderr, "Try '%s --help'.\n", cmd.CommandPath())
	return exitUsage
}

// surroundings are what a command has of the system.
type surroundings struct {
	stdout, stderr io.Writer
	getenv         func(string) string
}

func newSurroundings(stdout, stderr io.Writer) surroundings {
	return surroundings{stdout: stdout, stderr: stderr, getenv: os.Getenv}
}

// runError is an error of a command that was understood. All others are errors in the command line.
type runError struct{ error }

func (e *runError) Unwrap() error { return e.error }

// ran marks an error as one of running.
func ran(err error) error {
	if err == nil {
		return nil
	}
	return &runError{err}
}

// unableError is an error of a check that could not be made: its exit status 1 says something else.
type unableError struct{ error }

func (e *unableError) Unwrap() error { return e.error }

// unable marks an error as one of a check that could not be made.
func unable(err error) error { return &unableError{err} }

// running marks every error of a command from elsewhere as one of running; cobra finds those of its command line.
func running(cmd *cobra.Command) *cobra.Command {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return ran(run(cmd, args)) }
	return cmd
}

func newRoot(s surroundings) *cobra.Command {
	root := &cobra.Command{
		Use:           "cancello",
		Short:         "A PostgreSQL proxy and pooler through which query cancellation always works",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(newHelp(root))
	root.AddCommand(newServe(s), newCheck(s), running(demo.Command()), newVersion(s))
	return root
}

// newHelp says what --help says, as people ask for it.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:    "help [COMMAND]",
		Short:  "What --help says",
		Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			about, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return fmt.Errorf("unknown command %q", strings.Join(args, " "))
			}
			return about.Help()
		},
	}
}
