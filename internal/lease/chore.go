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
}

// Chores lists what has to be done before somebody else may have the server.
func Chores(s State) []Chore {
	var todo []Chore
	if s.Tx != 'I' {
		todo = append(todo, Rollback)
	}
	switch {
	case s.Session || s.Prepared || s.Identity:
		todo = append(todo, DiscardAll)
	case s.Set && s.StaysOpen:
		todo = append(todo, KeepAwake)
	}
	return todo
}
