package cli

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"cancello/internal/app"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// notify tells systemd what state the service is in, where it runs under one of Type=notify. That it could not be told
// is worth a line and no more.
func notify(log *slog.Logger, state string) {
	if state == "" {
		return
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd could not be told", "state", state, "reason", err.Error())
	}
}

// mainProcess has a unit go on with this process as its main one, where it took over from one of the same run of it.
func mainProcess(a *app.App) string {
	if from := a.TookOver(); from.PID == 0 || from.Invocation == "" || from.Invocation != a.Identity().Invocation {
		return ""
	}
	return fmt.Sprintf("\nMAINPID=%d", os.Getpid())
}

// reloading is the state in a reload: systemd wants the time with it.
func reloading() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return daemon.SdNotifyReloading
	}
	return fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, time.Duration(now.Nano()).Microseconds())
}
