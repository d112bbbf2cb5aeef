package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// resident is what a process and its children hold of this machine's memory, in KB; what several share counts once.
func resident(pid int) (float64, error) { return overTree(pid, "smaps_rollup", "Pss:") }

// forgetPeak begins a new measurement of the most that was held.
func forgetPeak(t target) error {
	if t.process == nil {
		return nil
	}
	return eachOf(t.pid(), func(pid int) error {
		return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0) // proc_pid_clear_refs(5)
	})
}

// peak is the most that was held since, in MB.
func peak(t target) (float64, error) {
	kb, err := overTree(t.pid(), "status", "VmHWM:")
	return kb / 1000, err
}

// overTree adds up a line of a file in /proc over a process and all below it.
func overTree(pid int, file, line string) (sum float64, err error) {
	err = eachOf(pid, func(pid int) error {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
		if err != nil {
			return err
		}
		kb, err := parseKB(string(b), line)
		sum += kb
		return err
	})
	return sum, err
}

func parseKB(text, line string) (float64, error) {
	for l := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(l, line); ok {
			return strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
		}
	}
	return 0, errors.New("there is no " + line)
}

func eachOf(pid int, do func(pid int) error) error {
	if err := do(pid); err != nil {
		return err
	}
	children, err := childrenOf(pid)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := eachOf(child, do); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// idlers is what a client costs that is logged in and does nothing: as soon as the last of them is in, and after a while.
func idlers(clients int, after time.Duration) trial {
	return trial{name: fmt.Sprintf("%d idle clients", clients), run: func(ctx context.Context, t target, p pace) (figures, error) {
		if _, err := queries(t, simple, 20, p); err != nil { // what everybody shares is there
			return nil, err
		}
		before, err := resident(t.pid())
		if err != nil {
			return nil, err
		}
		l, err := openLoad(t, simple, clients)
		if err != nil {
			return nil, err
		}
		defer l.close()
		if _, err := l.run(0); err != nil { // each has asked once
			return nil, err
		}
		f := figures{}
		for _, key := range []string{"idle", "settled"} {
			now, err := resident(t.pid())
			if err != nil {
				return nil, err
			}
			f[key] = (now - before) / float64(clients)
			if key == "settled" {
				break
			}
			select {
			case <-time.After(after):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		return f, nil
	}}
}
