package fake

import "time"

// CancelKnobs are about CancelRequest.
type CancelKnobs struct {
	Ignore   bool   // no request ends anything
	Deaf     string // what no request ends: "query", "extended", "copy-out", "copy-in", "waiting"
	FromTLS  bool   // requests over TLS are dropped
	FromText bool   // requests in clear are dropped
	ForTLS   bool   // requests for sessions over TLS are dropped
	ForText  bool   // requests for sessions in clear are dropped
	Busy     int    // requests are dropped while that many sessions are busy
	DropNth  int    // every n-th request is dropped

	Answer   bool   // the request is answered with a message
	Reset    bool   // its connection is reset
	KeepOpen bool   // its connection is not closed
	Code     string // default 57014
	Fatal    bool   // the whole session ends
	Finish   bool   // the statement ends without an error

	RunBehind bool // what stands in a batch behind the cancelled statement runs
	Confused  bool // another ReadyForQuery behind the cancelled statement's
	BreakNext bool // the session's next query is not answered
	KeepBlock bool // the transaction block goes on
	UnasBlock bool // it is said to have failed and goes on
	StuckCopy bool // COPY FROM STDIN heeds a request at CopyDone only

	AnySecret bool // the secret is not looked at
	AnyPID    bool // the pid is not looked at
	NoKey     bool // a request without a key counts
	Prefix    bool // the beginning of the key is enough
	Suffix    bool // what stands behind the key is not looked at
	Zeros     bool // pid 0 and a key of zeros is everybody
	Stranger  bool // a request ends another session's statement
	KeysLive  bool // a key outlives its session, and then ends others' statements

	Calm   time.Duration // how long ReadyForQuery comes after its statement's end: requests under way arrive in it. No fault
	Sticky bool          // a request while nothing runs ends the next statement
	Second bool          // of two requests for a statement the other ends the next one
	Twice  bool          // a request ends two pipelined queries, as up to PostgreSQL 17
	Lag    time.Duration // a request takes effect that much after its connection's end
}
