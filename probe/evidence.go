package probe

import (
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Directions of an exchange.
const (
	Sent     = "sent"
	Received = "received"
	Noted    = "note" // a remark of the probe's: nothing went over the wire
)

// Exchange is one message of the evidence.
type Exchange struct {
	Connection int    `json:"connection"` // from 1 in each case; 0 for a note about none
	AtMS       int64  `json:"at_ms"`      // since the case began
	Direction  string `json:"direction"`
	Bytes      int    `json:"bytes"` // how many went over the wire
	Hex        string `json:"hex"`   // what of them may be shown
	Decoded    string `json:"decoded"`
}

// Limits of what is kept as evidence.
const (
	shownBytes     = 200 // of one message
	shownExchanges = 40  // of one case: the first and the last of them
	keptExchanges  = 20000
)

// recorder keeps what went over the wire, in order.
type recorder struct {
	since time.Time
	mu    sync.Mutex
	kept  []Exchange
}

func (r *recorder) add(conn int, direction string, bytes int, shown []byte, decoded string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.kept) >= keptExchanges {
		return
	}
	cut := ""
	if len(shown) > shownBytes {
		shown, cut = shown[:shownBytes], ".."
	}
	if len(shown) < bytes && cut == "" {
		cut = ".."
	}
	r.kept = append(r.kept, Exchange{
		Connection: conn, AtMS: time.Since(r.since).Milliseconds(), Direction: direction,
		Bytes: bytes, Hex: hex.EncodeToString(shown) + cut, Decoded: decoded,
	})
}

func (r *recorder) note(conn int, text string) { r.add(conn, Noted, 0, nil, text) }

// sent records what we send: one packet, or frames one behind the other.
func (r *recorder) sent(conn int, p []byte) {
	for _, part := range splitSent(p) {
		shown, text := describeSent(part)
		r.add(conn, Sent, len(part), shown, text)
	}
}

func (r *recorder) received(conn int, frame []byte) {
	shown, text := describeReceived(frame)
	r.add(conn, Received, len(frame), shown, text)
}

func (r *recorder) receivedBytes(conn int, p []byte) {
	r.add(conn, Received, len(p), p, fmt.Sprintf("byte %q", p))
}

// ended records how a wait ended without a whole message, with the bytes that had come.
func (r *recorder) ended(conn int, rest []byte, err error) {
	if len(rest) > 0 {
		r.add(conn, Received, len(rest), rest, "bytes that are no whole message")
	}
	switch ending(err) {
	case Closed:
		r.note(conn, "closed by the server")
	case Reset:
		r.note(conn, "ended: "+err.Error())
	default:
		r.note(conn, "nothing more came")
	}
}

// shortened keeps the first and the last of what fits.
func (r *recorder) shortened(fits func(Exchange) bool) []Exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []Exchange{}
	for _, e := range r.kept {
		if fits(e) {
			out = append(out, e)
		}
	}
	left := len(out) - shownExchanges
	if left <= 1 {
		return out
	}
	half := shownExchanges / 2
	gap := Exchange{Direction: Noted, AtMS: out[half].AtMS, Decoded: fmt.Sprintf("%d exchanges are left out", left)}
	return append(append(out[:half:half], gap), out[len(out)-half:]...)
}

// String is one line, for a terminal.
func (e Exchange) String() string {
	arrow := map[string]string{Sent: "->", Received: "<-"}[e.Direction]
	if arrow == "" {
		arrow = "  "
	}
	return strings.TrimRight(fmt.Sprintf("%4d ms  #%d %s %s  %s", e.AtMS, e.Connection, arrow, e.Decoded, e.Hex), " ")
}
