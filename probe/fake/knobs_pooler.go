package fake

// PoolerKnobs are about sharing sessions.
type PoolerKnobs struct {
	VirtualPID bool   // the pid in BackendKeyData is not pg_backend_pid()
	Size       int    // how many server processes there are; 0: one for each session
	Session    bool   // a client keeps its process until it leaves, not just for a transaction
	LeakDuring bool   // others find what a client left while it is connected
	LeakAfter  bool   // others find what a client left when it has gone
	Stuck      bool   // what was left can't be undone
	NoPID      bool   // pg_backend_pid() is not known
	DeadWaiter bool   // a client whose wait was cancelled is never answered again
	WaitCode   string // the error of a cancelled wait; default 57014
	HitHolder  bool   // the cancel of a client that waits ends the session that holds a process
}
