package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/wire"
)

// A replication client asks for a walsender of its own. It speaks the simple protocol alone, and streams: the server sends
// what there is, the client tells how far it got, and ends it with CopyDone.

// drawReplication decides how many clients replicate.
func (k *Knobs) drawReplication(seed uint64) {
	k.replication = newWorld(seed^0x3c6ef372, Knobs{}, nil).some(0.2, 0.6)
}

// replicates makes a new client one that replicates, perhaps.
func (c *client) replicates() {
	w := c.w
	if w.gate != nil && w.chance(w.k.replication) {
		c.replication = "true"
		if w.chance(0.5) {
			c.replication = "database"
		}
	}
}

// replicationParam is how the client says so.
func (c *client) replicationParam() wire.Param {
	value := c.replication
	if value == "true" {
		value = []string{"true", "on", "yes", "1"}[c.w.pick(0, 3)]
	}
	return wire.Param{Name: "replication", Value: value}
}

// replicate is a unit of such a client.
func (b *builder) replicate() {
	w := b.u.c.w
	if w.chance(0.4) {
		b.stream()
		return
	}
	verb := "identify"
	if b.u.c.replication == "database" && w.chance(0.5) {
		verb = "select"
	}
	t, rows := b.tag(), w.pick(0, 2)
	b.u.kind = verb
	b.query(fmt.Sprintf("%s %s rows=%d us=%d", verb, t, rows, b.duration()))
	b.expect("T")
	b.expectRows('D', rows, t, t)
	b.expectTag(fmt.Sprintf("SELECT %d", rows))
}

// stream is START_REPLICATION: so many messages, one after the other.
func (b *builder) stream() {
	w, t := b.u.c.w, b.tag()
	b.u.kind = "stream"
	rows, gap := w.pick(0, 4), w.between(0, 5*time.Millisecond)
	if w.chance(0.2) && !w.calm {
		b.u.long = true
		rows, gap = 1, w.k.long
	}
	b.query(fmt.Sprintf("start_replication %s rows=%d size=%d us=%d", t, rows, w.pick(0, 50), gap/time.Microsecond))
	b.expect("W")
	b.wait(true)
	b.send('d', t.String()+" so far\n")
	b.expectRows('d', rows, t, t)
	b.wait(true)
	b.send('c', "")
	b.expect("c")
	b.expectTag("START_REPLICATION")
}

// streamOut is the walsender's side: left messages are still to be sent, one in a while. While it sends, it reads what its
// client says, and heeds a signal soon.
func (b *backend) streamOut(left int) {
	b.state = bStreaming
	b.readSoon()
	if b.pending != nil {
		b.streamInterrupted()
	}
	if left == 0 {
		return
	}
	job := b.job
	b.w.after(max(b.cur.dur, time.Microsecond), func() {
		if b.job != job || b.state != bStreaming {
			return
		}
		b.out = message(b.out, 'd', b.rowText(b.cur.size)+"\n")
		b.flush(func() { b.streamOut(left - 1) })
	})
}

// streamInterrupted ends a stream because of a signal, at its next look.
func (b *backend) streamInterrupted() {
	job := b.job
	b.w.after(b.w.between(0, 150*time.Microsecond), func() {
		if b.job == job && b.state == bStreaming && b.pending != nil {
			b.w.checkRaise(b, b.pending)
			b.fail("57014", "canceling statement due to user request")
		}
	})
}

// streamMessage takes one message of the client's while it is sent the stream.
func (b *backend) streamMessage(typ byte, body []byte) {
	switch typ {
	case 'd':
		if t, ok := findTag(body); ok && t != b.curTag {
			b.w.violate("P4", "data of %s enters the stream of %s on %s", t, b.curTag, b.name())
		}
	case 'c':
		b.state = bRunning
		b.out = message(b.out, 'c', "")
		b.done("START_REPLICATION")
	case 'X':
		b.die("Terminate")
	default:
		b.fatal("08P01", "unexpected message type during COPY BOTH")
	}
}

// soleOf is whom a walsender is opened for: it bears his name; nil of a server for everybody.
func (g *gate) soleOf(t engine.Target) *client {
	if t.Replication == "" {
		return nil
	}
	for _, c := range g.logins {
		if c.replication == t.Replication && slices.Contains(t.Params, wire.Param{Name: "application_name", Value: c.name()}) {
			return c
		}
	}
	g.w.violate("P8", "a server for replication (%s) is opened that nobody asked for: %v", t.Replication, t.Params)
	return nil
}

// becomes makes a server its client's own, with what that asked for.
func (b *backend) becomes(c *client, params []wire.Param) {
	b.sole = c
	for _, p := range params {
		name, value := p.Name, p.Value
		if name == "options" {
			name, value, _ = strings.Cut(strings.TrimPrefix(value, "-c "), "=")
		}
		if i := settingIndex(name); i >= 0 {
			b.now.value[i] = canonical(i, value)
		}
	}
	b.saved, b.told = b.now, b.now
}

// refusesSole is how a server refuses what a replication client asks for; an empty code: it does not.
func refusesSole(params []wire.Param) engine.Failure {
	for _, p := range params {
		if p.Name == "options" || p.Name == "application_name" {
			continue
		}
		if code, text := refuses(p.Name, p.Value); code != "" {
			return engine.Failure{Refused: true, Code: code, Message: text}
		}
	}
	return engine.Failure{}
}

// checkSole sees a statement run: of a replication client on its own server, and there of nobody else (P4).
func (b *backend) checkSole(t tag) {
	c := b.w.clients[t.client-1]
	switch {
	case b.sole != nil && b.sole != c:
		b.w.violate("P4", "%s runs on %s, which is for the replication of %s alone", t, b.name(), b.sole.name())
	case b.sole == nil && c.replication != "":
		b.w.violate("P4", "%s, of a replication client, runs on %s, which is for everybody", t, b.name())
	}
}

// checkWalsender sees a message reach a walsender: it takes Query, what belongs to a stream, and Terminate; and nothing that
// its client did not say.
func (b *backend) checkWalsender(typ byte, body []byte) {
	_, tagged := findTag(body)
	if b.sole == nil || strings.IndexByte("Xcd", typ) >= 0 || typ == 'Q' && tagged {
		return
	}
	b.w.violate("P4", "%s, a walsender, is sent %c %s", b.name(), typ, brief(body))
}

// checkParted sees a replication client's server told to terminate: that has left.
func (w *World) checkParted(k *conn) {
	if c := k.backend.sole; c.phase == active && !c.departed && !c.conn.closing && !c.conn.over {
		w.violate("P8", "%s is told to terminate, and %s replicates from it", k.name(), c.name())
	}
}

// watchSole looks again and again whether a replication client waits to be let in though there is room for its server and
// none is being opened.
func (w *World) watchSole() {
	const often, limit = 20 * time.Millisecond, 60 * time.Millisecond
	if w.k.replication == 0 {
		return
	}
	var since [len(clientUsers)]time.Duration
	var look func()
	look = func() {
		for user := range clientUsers {
			switch {
			case !w.gate.soleHungers(user):
				since[user] = 0
			case since[user] == 0:
				since[user] = w.now
			case w.now-since[user] > limit:
				w.violate("P5", "a replication client has waited for %v for a server of %q, though there is room", w.now-since[user], clientUsers[user])
			}
		}
		w.after(often, look)
	}
	w.after(often, look)
}

// soleHungers tells whether more replication clients wait than servers are being opened for, though there is room.
func (g *gate) soleHungers(user int) bool {
	w := g.w
	if g.paused || w.draining || !g.settings.configured() {
		return false
	}
	share, _ := g.settings.live.Share(theDatabase, clientUsers[user])
	if n := g.serversOf(); n[user]+g.ghosts(user) >= share.Size || g.full(user) {
		return false
	}
	waiting := 0
	for i, c := range g.logins {
		if c.user == user && c.replication != "" && !g.answers[i] && !c.conn.over {
			waiting++
		}
	}
	return waiting > g.soleDials[user]
}

// limits are those that hold for a client: for one that replicates none do, since a stream is one long query.
func (c *client) limits() config.Limits {
	if c.replication != "" {
		return config.Limits{}
	}
	return c.w.k.config.Limits
}
