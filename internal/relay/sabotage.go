package relay

// Bug is a deliberate bug: the simulation must find each of them, or it proves nothing.
type Bug uint8

// The deliberate bugs.
const (
	NoBug            Bug = iota
	BugReadOnArrive      // a request counts as read when it arrives at its owner
	BugForwardTwice      // what came over a link and is nobody's here goes on to another node
	BugReleaseEarly      // the client's connection is closed when the request has been written to the link, or goes as a plain one
	BugKinNotAsked       // other processes of the owner's node are not asked
	BugRepeatAnew        // a request is repeated under a new id, as if it had been read just now
	BugNoRepeat          // a request whose link broke is not repeated
	BugNoLimit           // nothing ends the wait for an owner that does not answer
	BugGuess             // a request goes out before the owner's clock is known, as if it were our own
	BugKinForgotten      // another process of the owner's node counts as ended when its link breaks
	BugToldOnce          // an outcome that was lost with a link is not told again
	BugBeginsIgnored     // the owner is not told by when the request had been read
	BugPlainAgain        // what was written to a link that broke goes as a plain request, too
	BugGuessersFirst     // keys of four bytes may take every place
)

// Sabotage puts a deliberate bug in. For the simulation only; nothing else calls it.
func (r *Relay) Sabotage(b Bug) { r.bug = b }
