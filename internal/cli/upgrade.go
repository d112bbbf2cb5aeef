package cli

import (
	"log/slog"
	"os"
	"os/exec"
	"slices"
)

// upgrade starts the program that lies where this one was started from, with the same arguments, to take over from this
// process. What becomes of it the log says.
func upgrade(log *slog.Logger) {
	path, err := os.Executable()
	if err != nil {
		log.Error("a new process cannot be started; this one goes on", "reason", err.Error())
		return
	}
	args := os.Args[1:]
	if !slices.Contains(args, "--takeover") {
		args = append(slices.Clone(args), "--takeover")
	}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		log.Error("a new process cannot be started; this one goes on", "reason", err.Error())
		return
	}
	log.Info("a new process was started to take over", "process", cmd.Process.Pid, "program", path)
	go func() {
		if err := cmd.Wait(); err != nil {
			log.Error("the new process has ended; this one goes on unless it has been taken over from", "process", cmd.Process.Pid, "reason", err.Error())
		}
	}()
}
