package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ is 100 on every Linux.
const tick = 10 * time.Millisecond

// cpuTime is what the kernel has charged a process with, its threads that have ended, its children and theirs
// included. The process' own part is exact to the nanosecond: it comes from its CPU clock, which counts what
// /proc/PID/stat shows in ticks.
func cpuTime(pid int) (time.Duration, error) {
	sum, err := ownTime(pid)
	if err != nil {
		return 0, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	reaped, err := parseReaped(string(stat))
	if err != nil {
		return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	sum += reaped
	children, err := childrenOf(pid)
	if err != nil {
		return 0, err
	}
	for _, child := range children {
		t, err := cpuTime(child)
		switch {
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ESRCH), errors.Is(err, os.ErrNotExist):
			return cpuTime(pid) // it has ended since it was listed, and what it was charged with is its parent's now
		case err != nil:
			return 0, err
		}
		sum += t
	}
	return sum, nil
}

// ownTime is cpuTime without the children.
func ownTime(pid int) (time.Duration, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(processClock(pid), &now); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(now.Nano()), nil
}

// processClock is the clock of another process, as clock_getcpuclockid(3) makes it: CPUCLOCK_SCHED of the process.
func processClock(pid int) int32 { return int32(^pid<<3 | 2) }

// parseReaped reads out of a /proc/PID/stat (proc_pid_stat(5)) what was charged to children that have ended and
// were waited for: cutime and cstime.
func parseReaped(line string) (time.Duration, error) {
	// "pid (name) state ...": the name may hold anything, brackets and blanks too.
	end := strings.LastIndex(line, ") ")
	if end < 0 {
		return 0, errors.New("no name in brackets")
	}
	fields := strings.Fields(line[end+2:])
	const cutime, cstime = 16 - 3, 17 - 3 // the first of the fields is the third of the line
	if len(fields) <= cstime {
		return 0, fmt.Errorf("%d fields behind the name", len(fields))
	}
	user, userErr := strconv.ParseInt(fields[cutime], 10, 64)
	system, systemErr := strconv.ParseInt(fields[cstime], 10, 64)
	return time.Duration(user+system) * tick, errors.Join(userErr, systemErr)
}

// childrenOf lists the children that a process has now.
func childrenOf(pid int) ([]int, error) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, err
	}
	var children []int
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if errors.Is(err, os.ErrNotExist) {
			continue // the thread has ended
		}
		if err != nil {
			return nil, err
		}
		for _, field := range strings.Fields(string(b)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", list, err)
			}
			children = append(children, child)
		}
	}
	return children, nil
}
