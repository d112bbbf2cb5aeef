package engine

import "github.com/cockroachdb/datadriven"

// command gives a command of the console. Where it is refused, or a pause is under way, that is said.
func (w *world) command(td *datadriven.TestData) {
	database := ""
	if len(td.CmdArgs) > 0 {
		database = td.CmdArgs[0].Key
	}
	ok := true
	switch td.Cmd {
	case "pause":
		ok = w.e.Pause(w.now, database)
	case "resume":
		ok = w.e.Resume(w.now, database)
	case "reconnect":
		ok = w.e.Reconnect(w.now, database)
	case "disable":
		ok = w.e.Disable(w.now, database)
	case "enable":
		ok = w.e.Enable(w.now, database)
	case "kill":
		ok = w.e.Kill(w.now, database)
	case "cancel-client":
		w.say("%s", [...]string{"asked", "there is no such client", "it runs nothing", "it may be at a COMMIT"}[w.e.CancelClient(w.now, w.keys[database].pid)])
	case "kill-client":
		ok = w.e.KillClient(w.now, w.keys[database].pid)
	}
	if !ok {
		w.say("refused")
	}
	if td.Cmd == "disable" || td.Cmd == "enable" {
		return
	}
	w.say("%s", [...]string{"not paused", "the pause waits", "the pause holds"}[w.e.Pausing(w.now, database)])
}
