package probe

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

// formCase is a CancelRequest that names no session, or not rightly. The statement must run on, and the connection that
// carried it must end as that of a right one does: whoever guesses learns nothing, and nobody waits for ever.
func formCase(name, title string, hit Verdict, packet func(*Session) []byte) Case {
	return Case{
		ID: "cancel." + name, Group: GroupCancel, Title: title,
		Source:   "protocol.sgml, CancelRequest; src/backend/tcop/backend_startup.c ProcessCancelRequestPacket, src/backend/storage/ipc/procsignal.c SendCancelRequest",
		Expected: "the statement runs on; no byte, then FIN",
		Means:    "Who doesn't know the key can end statements, or a client that sends such a request hangs.",
		Run:      func(ctx context.Context, b *Bench) Result { return cancelForm(ctx, b, hit, packet) },
	}
}

// cancelForm judges one such request; hit is what it means if the statement ends.
func cancelForm(ctx context.Context, b *Bench, hit Verdict, packet func(*Session) []byte) Result {
	s, err := b.loginWithKey(ctx)
	if err != nil {
		return excused(err)
	}
	if err := b.start(s, simpleQuery); err != nil {
		return excused(err)
	}
	request, err := b.Cancel(ctx, AsSession, packet(s))
	if err != nil {
		return excused(err)
	}
	// What a request does, it does at once; one that is carried on by a proxy may take a moment more.
	lost := s.linger(b.Quiet)
	switch {
	case lost != nil:
		return Conclude(Fail, "it ends the whole session")
	case s.holds('E'):
		return Conclude(hit, "it ends the statement")
	case s.holds('Z') && request.How != Open:
		return Conclude(Unknown, "the statement ended by itself too early")
	}
	if request.How != Open {
		b.quit(ctx, s)
	}
	return judgeClose(request, "the statement runs on, ")
}

// judgeClose judges what came back for a request that had no effect.
func judgeClose(a CancelAnswer, prefix string) Result {
	but := prefix
	if prefix != "" {
		but += "but "
	}
	switch {
	case len(a.Bytes) > 0:
		return Conclude(Differs, "%sthe request is answered with %s", but, describeBytes(a.Bytes))
	case a.How == Open:
		r := Conclude(Fail, "%sthe request's connection is still open after %s", but, a.After.Round(time.Second))
		r.Means = "Clients wait for the end of that connection; PQcancel, and psql with it, for ever."
		return r
	case a.How == Reset:
		return Conclude(Differs, "%sthe request's connection is reset and not closed in order", but)
	}
	return Conclude(Pass, "%snothing is answered and the connection is closed", prefix)
}

// describeBytes puts into words what should not have come.
func describeBytes(p []byte) string {
	if n := frameLength(p); n <= len(p) {
		_, text := describeReceived(p[:n])
		return text
	}
	return fmt.Sprintf("%d bytes", len(p))
}

// wrongSecret is the session's key with one bit changed.
func wrongSecret(s *Session) []byte {
	key := bytes.Clone(s.Key)
	key[len(key)-1] ^= 1
	return CancelPacket(s.PID, key)
}

// padded is a key with zeros behind it, n bytes in all, or more if it was longer.
func padded(key []byte, n int) []byte {
	return append(bytes.Clone(key), make([]byte, max(0, n-len(key)))...)
}

// cancelAnswer looks at the connection that carried a right request.
func cancelAnswer(ctx context.Context, b *Bench) Result {
	s, err := b.loginWithKey(ctx)
	if err != nil {
		return excused(err)
	}
	t, err := b.try(ctx, s, simpleQuery, AsSession)
	if err != nil {
		return excused(err)
	}
	r := judgeClose(t.request, "")
	if r.Verdict == Differs {
		r.Verdict = Fail // here libpq says that the cancel failed
	}
	if r.Verdict == Pass && !t.ended() {
		return Conclude(Unknown, "the connection is closed without a byte, but the request had no effect: that it was understood can't be seen")
	}
	return r
}
