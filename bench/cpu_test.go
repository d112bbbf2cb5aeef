package main

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseReaped(t *testing.T) {
	const tail = " R 1 2 3 4 5 6 7 8 9 10 700 300 21 9 20 0 1 0 12345 0 0"
	for name, c := range map[string]struct {
		line string
		want time.Duration
		fail bool
	}{
		"plain":          {line: "17 (pgbouncer)" + tail, want: 300 * time.Millisecond},
		"name with all":  {line: "17 (a) b (c) 9)" + tail, want: 300 * time.Millisecond},
		"no name":        {line: "17 pgbouncer" + tail, fail: true},
		"too few fields": {line: "17 (x) R 1 2 3", fail: true},
		"not a number":   {line: "17 (x) R 1 2 3 4 5 6 7 8 9 10 7 3 x 9 20", fail: true},
	} {
		got, err := parseReaped(c.line)
		if got != c.want && !c.fail || (err != nil) != c.fail {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// rusage is what getrusage says this process has spent.
func rusage(t *testing.T) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// What is burnt is charged: by ourselves, and by a child while it runs and once it has gone.
func TestCPUTime(t *testing.T) {
	before := mustCPU(t, os.Getpid())
	for spent := rusage(t); rusage(t) < spent+50*time.Millisecond; { // by the other of the kernel's accounts, not by the clock
		burn(time.Millisecond)
	}
	if got := mustCPU(t, os.Getpid()) - before; got < 40*time.Millisecond {
		t.Errorf("%v charged for 50 ms of work", got)
	}

	child := exec.Command("/bin/sh", "-c", "while :; do :; done")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ours := mustOwn(t, os.Getpid())
	for limit := time.Now().Add(10 * time.Second); mustOwn(t, child.Process.Pid) < 100*time.Millisecond; {
		if time.Now().After(limit) {
			t.Fatal("the child doesn't work")
		}
		burn(time.Millisecond)
	}
	if got := mustCPU(t, os.Getpid()) - ours; got < 100*time.Millisecond {
		t.Errorf("%v with a child that has spent 100 ms", got)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // "signal: killed", as wanted
	if got := mustCPU(t, os.Getpid()) - ours; got < 90*time.Millisecond {
		t.Errorf("%v after a child that had spent 100 ms has gone", got)
	}
	if _, err := cpuTime(child.Process.Pid); err == nil {
		t.Error("a process that has gone has a CPU time")
	}
}

// burn spends CPU time, however long that takes.
func burn(d time.Duration) {
	for began := time.Now(); time.Since(began) < d; {
	}
}

func mustCPU(t *testing.T, pid int) time.Duration {
	t.Helper()
	d, err := cpuTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustOwn(t *testing.T, pid int) time.Duration {
	t.Helper()
	d, err := ownTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
