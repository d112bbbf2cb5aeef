package lease

// Chore is one query that Cancello runs on a server between two clients; its ReadyForQuery is awaited.
type Chore string

// The chores, in the order in which they are due.
const (
	Rollback   Chore = "ROLLBACK"
	DiscardAll Chore = "DISCARD ALL"
	// KeepAwake undoes a client's own idle_session_timeout, which would end the server in the pool (trap B2). RESET
	// returns to the 0 that the server was started with.
	KeepAwake Chore = "RESET idle_session_timeout"
)

// State is what a client leaves behind on its server.
type State struct {
	Tx        byte // status of the last ReadyForQuery
	Prepared  bool // the tag PREPARE or LISTEN was seen
	Set       bool // the tag SET was seen
	StaysOpen bool // the server was started with idle_session_timeout = 0
	Session   bool // the client had the server for itself
	Identity  bool // session_authorization is not what it was at login

	Reset  Chore // server_reset_query: due after a session; empty: none
	Always bool  // server_reset_query_always: due after a transaction, too
}

// Chores lists what has to be done before somebody else may have the server.
func Chores(s State) []Chore {
	var todo []Chore
	if s.Tx != 'I' {
		todo = append(todo, Rollback)
	}
	// What a session leaves is for server_reset_query to undo, whatever it undoes. Between two transactions of different
	// clients, and where the server runs as somebody else, only DISCARD ALL is sure to.
	clean := s.Identity || s.Prepared && !s.Session
	if clean {
		todo = append(todo, DiscardAll)
	}
	if due := s.Session || s.Always; due && s.Reset != "" && !(clean && s.Reset == DiscardAll) {
		todo = append(todo, s.Reset)
		clean = clean || s.Reset == DiscardAll
	}
	if s.Set && s.StaysOpen && !clean {
		todo = append(todo, KeepAwake)
	}
	return todo
}
