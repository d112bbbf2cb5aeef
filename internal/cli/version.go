package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is the one that is being made.
const version = "0.1.0-dev"

func newVersion(s surroundings) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(s.stdout, versionLine())
			return ran(err)
		},
	}
}

// versionLine names the version, the commit where the build knows it, and the compiler.
func versionLine() string {
	line := "cancello " + version
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, kv := range info.Settings {
			if kv.Key == "vcs.revision" {
				line += " (" + kv.Value[:min(12, len(kv.Value))] + ")"
			}
		}
	}
	return line + " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
}
