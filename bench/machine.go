package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine says in a line what this is.
func machine() string {
	cpu := runtime.GOARCH
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		cpu = parseModel(string(info), cpu)
	}
	var u unix.Utsname
	release := ""
	if err := unix.Uname(&u); err == nil {
		release = " " + unix.ByteSliceToString(u.Release[:])
	}
	return fmt.Sprintf("%s, %d cores, Linux%s, %s", cpu, runtime.NumCPU(), release, runtime.Version())
}

// parseModel finds the name of the first processor in /proc/cpuinfo; ARM's has none.
func parseModel(info, otherwise string) string {
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return otherwise
}

// buildOf is a Cancello's version, and the commit of the working tree, from which it was made in all likelihood; where
// either can't be told it is left out.
func buildOf(ctx context.Context, program string) string {
	version := "of an unknown version"
	if said, err := exec.CommandContext(ctx, program, "version").Output(); err == nil {
		if words := strings.Fields(string(said)); len(words) > 1 {
			version = words[1]
		}
	}
	commit, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=10", "HEAD").Output()
	if err != nil {
		return version
	}
	at := strings.TrimSpace(string(commit))
	if exec.CommandContext(ctx, "git", "diff", "--quiet", "HEAD", "--", "*.go").Run() != nil {
		at += " and changes to it"
	}
	return version + " at " + at
}

// loadAverage is that of the last minute: above the number of cores the machine had other work.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	one, _, ok := strings.Cut(string(b), " ")
	if err != nil || !ok {
		return "unknown"
	}
	return one
}
