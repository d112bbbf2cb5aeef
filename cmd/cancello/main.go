// Command cancello is a PostgreSQL proxy and pooler through which query cancellation always works.
package main

import (
	"context"
	"os"

	"cancello/internal/cli"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
