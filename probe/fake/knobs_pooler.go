package fake

// PoolerKnobs are about sharing sessions.
type PoolerKnobs struct {
	VirtualPID bool // the pid in BackendKeyData is not pg_backend_pid()
}
