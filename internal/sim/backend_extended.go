package sim

import (
	"encoding/binary"
	"strconv"
)

// extended takes one message of the extended protocol.
func (b *backend) extended(typ byte, body []byte) {
	switch typ {
	case 'P':
		b.parse(body)
	case 'B':
		b.bind(body)
	case 'D':
		b.describeMessage(body)
	case 'E':
		b.execute(body)
	case 'C':
		b.closeMessage(body)
	}
}

func (b *backend) parse(body []byte) {
	name, rest, ok := cstring(body)
	text, _, ok2 := cstring(rest)
	if !ok || !ok2 {
		b.fatal("08P01", "invalid string in message")
		return
	}
	t, _ := findTag(text)
	b.curTag = t
	b.own(t)
	if name == "" {
		delete(b.prepared, "")
	}
	p := prepared{text, parseSQL(text)}
	switch {
	case len(p.stmts) > 1:
		b.fail("42601", "cannot insert multiple commands into a prepared statement")
	case len(p.stmts) == 1 && p.stmts[0].kind == kBad:
		b.fail("42601", "syntax error")
	case b.block == 'E' && !p.exits() && len(p.stmts) > 0:
		b.fail("25P02", "current transaction is aborted, commands ignored until end of transaction block")
	case name != "" && b.has(name):
		b.fail("42P05", "prepared statement \""+name+"\" already exists")
	default:
		if b.prepared == nil {
			b.prepared = make(map[string]prepared)
		}
		b.prepared[name] = p
		if name != "" {
			b.dirty = t.client
		}
		b.out = message(b.out, '1', "")
	}
}

func (b *backend) has(name string) bool { _, ok := b.prepared[name]; return ok }

// exits is true for what is allowed in a failed transaction.
func (p prepared) exits() bool {
	return len(p.stmts) == 1 && (p.stmts[0].kind == kCommit || p.stmts[0].kind == kRollback)
}

func (b *backend) bind(body []byte) {
	portalName, name, param, ok := bindParts(body)
	if !ok {
		b.fatal("08P01", "insufficient data left in message")
		return
	}
	t, tagged := findTag(param)
	p, known := b.prepared[name]
	if tagged {
		b.curTag = t
		b.own(t)
	}
	switch {
	case !known:
		b.fail("26000", "prepared statement \""+name+"\" does not exist")
		return
	case b.block == 'E' && !p.exits():
		b.fail("25P02", "current transaction is aborted, commands ignored until end of transaction block")
		return
	}
	if text, ok := findTag(p.text); ok {
		if tagged && text.client != t.client && text.client != 0 {
			b.w.violate("P4", "%s binds the statement of %s on %s", t, text, b.name())
		}
		if !tagged {
			t = text
		}
	}
	if b.portals == nil {
		b.portals = make(map[string]*portal)
	}
	b.portals[portalName] = &portal{prepared: p, tag: t, left: -1}
	b.out = message(b.out, '2', "")
}

func (b *backend) describeMessage(body []byte) {
	name, _, ok := cstring(body[min(1, len(body)):])
	if !ok {
		b.fatal("08P01", "invalid string in message")
		return
	}
	var p prepared
	if body[0] == 'S' {
		var known bool
		if p, known = b.prepared[name]; !known {
			b.fail("26000", "prepared statement \""+name+"\" does not exist")
			return
		}
		b.out = message(b.out, 't', "\x00\x01\x00\x00\x00\x19")
	} else {
		o := b.portals[name]
		if o == nil {
			b.fail("34000", "portal \""+name+"\" does not exist")
			return
		}
		p = o.prepared
	}
	if len(p.stmts) == 1 && p.stmts[0].returnsRows() {
		b.out = message(b.out, 'T', rowDescription)
	} else {
		b.out = message(b.out, 'n', "")
	}
}

func (b *backend) execute(body []byte) {
	name, rest, ok := cstring(body)
	if !ok || len(rest) != 4 {
		b.fatal("08P01", "invalid message format")
		return
	}
	o := b.portals[name]
	if o == nil {
		b.fail("34000", "portal \""+name+"\" does not exist")
		return
	}
	if len(o.prepared.stmts) == 0 {
		b.out = message(b.out, 'I', "")
		return
	}
	s := o.prepared.stmts[0]
	limit := int(binary.BigEndian.Uint32(rest))
	b.portal = o
	switch {
	case o.left == -1:
		o.left = s.rows
	case s.kind == kSelect:
		s.dur = 0
	}
	if s.kind == kSelect {
		if limit > 0 && o.left > limit {
			b.suspend(s, o, limit)
			return
		}
		s.rows = o.left
	}
	b.start(s, o.tag)
}

// suspend is an Execute with a row limit that ends before the portal does. It takes no time.
func (b *backend) suspend(s statement, o *portal, limit int) {
	if b.block == 'E' {
		b.fail("25P02", "current transaction is aborted, commands ignored until end of transaction block")
		return
	}
	b.cur, b.curTag = s, o.tag
	for range limit {
		b.out = row(b.out, b.rowText(s.size))
	}
	o.left -= limit
	b.out = message(b.out, 's', "")
}

func (b *backend) closeMessage(body []byte) {
	name, _, ok := cstring(body[min(1, len(body)):])
	if !ok {
		b.fatal("08P01", "invalid string in message")
		return
	}
	if body[0] == 'S' {
		delete(b.prepared, name)
	} else {
		delete(b.portals, name)
	}
	b.out = message(b.out, '3', "")
}

// copyMessage takes one message while COPY IN waits for data.
func (b *backend) copyMessage(typ byte, body []byte) {
	switch typ {
	case 'd':
		if t, ok := findTag(body); ok && t != b.copyTag {
			b.w.violate("P4", "data of %s enters the COPY of %s on %s", t, b.copyTag, b.name())
		}
		b.copied++
		b.copyInterrupt()
	case 'c':
		if b.copyInterrupt() {
			return
		}
		b.state = bRunning
		b.writes = append(b.writes, b.copyTag)
		b.done("COPY " + strconv.Itoa(b.copied))
	case 'f':
		b.state = bRunning
		b.w.noteCopyFail(b.copyTag)
		b.curTag = b.copyTag
		b.fail("57014", "COPY from stdin failed")
	case 'S', 'H': // swallowed
	default:
		b.fatal("08P01", "unexpected message type during COPY from stdin")
	}
}

// copyInterrupt is the only moment at which a COPY IN heeds a signal.
func (b *backend) copyInterrupt() bool {
	if b.pending == nil {
		return false
	}
	b.w.checkRaise(b, b.pending)
	b.fail("57014", "canceling statement due to user request")
	return true
}

// copyRows sends left of all lines of a COPY OUT.
func (b *backend) copyRows(left, all int) {
	for left > 0 {
		b.out = message(b.out, 'd', b.rowText(b.cur.size)+"\n")
		left--
		if len(b.out) > 8<<10 {
			b.flush(func() { b.resume(func() { b.copyRows(left, all) }) })
			return
		}
	}
	b.out = message(b.out, 'c', "")
	b.done("COPY " + strconv.Itoa(all))
}
