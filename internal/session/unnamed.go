package session

import "encoding/binary"

// maxKept bounds the Parse that is kept for a client's unnamed statement, in bytes. A longer one works within its own
// transaction; used in a later one it is refused.
const maxKept = 256 << 10

// tooLong stands in the place of a Parse above maxKept.
const tooLong = 0xff

// unnamed is a client's unnamed statement: it survives Sync (trap A1), so in a shared server it has to be sent again
// before it is used in another lease.
type unnamed struct {
	cur  []byte // the Parse message that succeeded last; empty: none
	sent []byte // Parse messages sent and not yet answered, one after the other
	// governed: the server's unnamed statement is what this client made it in this lease, or none.
	governed bool
	sentIn   uint64 // serial of the unit in which a Parse went out that is not answered yet; 0: none
}

// begin keeps a Parse from its header on; body is its length.
func (u *unnamed) begin(header []byte, body int) (keep bool) {
	if len(u.sent)+len(header)+body > maxKept {
		u.sent = append(u.sent, tooLong)
		return false
	}
	u.sent = append(u.sent, header...)
	return true
}

func (u *unnamed) more(piece []byte) { u.sent = append(u.sent, piece...) }

// next is the length of the oldest Parse in sent.
func (u *unnamed) next() int {
	if u.sent[0] == tooLong {
		return 1
	}
	return 1 + int(binary.BigEndian.Uint32(u.sent[1:5]))
}

// cut tells whether the oldest Parse was sent in part only: no server can have answered it.
func (u *unnamed) cut() bool { return u.next() > len(u.sent) }

// succeeded: the oldest Parse was answered, it is the statement now.
func (u *unnamed) succeeded() {
	n := u.next()
	if n == len(u.sent) {
		u.cur, u.sent = u.sent, u.cur[:0]
		u.rest()
		return
	}
	u.cur = append(u.cur[:0], u.sent[:n]...)
	u.skipped()
}

// skipped: the oldest Parse was discarded by the server unread, perhaps before all of it was sent.
func (u *unnamed) skipped() {
	n := min(u.next(), len(u.sent))
	u.sent = u.sent[:copy(u.sent, u.sent[n:])]
}

// failed: the oldest Parse ended in an error, which leaves no statement.
func (u *unnamed) failed() { u.skipped(); u.drop() }

// drop: there is no unnamed statement any more.
func (u *unnamed) drop() { u.cur = u.cur[:0]; u.rest() }

// rest gives large buffers back.
func (u *unnamed) rest() {
	if cap(u.cur) > 4096 && len(u.cur) == 0 {
		u.cur = nil
	}
	if cap(u.sent) > 4096 && len(u.sent) == 0 {
		u.sent = nil
	}
}

// sql is the text of the statement, nil if there is none or it was too long to keep.
func (u *unnamed) sql() []byte {
	if len(u.cur) < 6 {
		return nil
	}
	return u.cur[6:] // type, length, empty name
}
