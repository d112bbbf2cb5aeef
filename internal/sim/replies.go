package sim

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"
)

// effect is an insert or COPY of a client, and what the client knows of its fate.
type effect struct {
	tag   tag
	block int // blockID it ran in; 0 none
	fate  fate
}

type fate uint8

const (
	unknownFate fate = iota
	mustCommit
	mustNot
)

func (c *client) arrived() {
	if c.reading || c.phase != active {
		return
	}
	c.reading = true
	d := c.w.between(0, 40*time.Microsecond)
	if c.slow && !c.w.calm {
		d = c.w.between(time.Millisecond, 20*time.Millisecond)
		if c.w.chance(0.05) {
			d = c.w.between(100*time.Millisecond, time.Second)
		}
	}
	c.w.after(d, c.read)
}

func (c *client) read() {
	c.reading = false
	if c.phase != active {
		return
	}
	n := len(c.end.in)
	if c.slow && !c.w.calm {
		n = min(n, 4<<10)
	}
	c.inbuf = append(c.inbuf, c.end.read(n)...)
	for c.phase == active {
		if len(c.inbuf) < 5 {
			break
		}
		l := int(binary.BigEndian.Uint32(c.inbuf[1:])) + 1
		if l < 5 || l > 1<<20 {
			c.w.violate("P4", "%s reads %s, which is no message", c.name(), brief(c.inbuf))
			c.drop("lost")
			return
		}
		if len(c.inbuf) < l {
			break
		}
		typ, body := c.inbuf[0], c.inbuf[5:l]
		c.inbuf = c.inbuf[l:]
		if c.w.trace != nil && typ != 'D' && typ != 'd' {
			c.w.tracef("%s reads %c %s", c.name(), typ, brief(body))
		}
		c.take(typ, body)
	}
	switch {
	case c.phase != active:
	case len(c.end.in) > 0:
		c.arrived()
	case c.end.rst || c.end.eof:
		c.checkClose()
		c.drop("closed by the other side")
	}
}

// drop ends a client whose connection is gone.
func (c *client) drop(why string) {
	if c.phase != active {
		return
	}
	c.phase, c.why, c.closedAt = dropped, why, c.w.now
	c.w.tracef("%s ends: %s", c.name(), why)
	c.end.close()
	c.planDeparted()
}

// take checks one message against what is expected.
func (c *client) take(typ byte, body []byte) {
	w := c.w
	if c.fatal != "" {
		w.violate("P8", "%s reads %c after a FATAL", c.name(), typ)
		return
	}
	switch typ {
	case 'N', 'A':
		c.takeAsync(typ, body)
		return
	case 'S':
		name, rest, _ := cstring(body)
		value, _, _ := cstring(rest)
		if name == settingNames[setApp] {
			c.app = value
		}
		return
	case 'E':
		c.takeError(body)
		return
	}
	if c.answered >= len(c.units) {
		w.violate("P4", "%s reads %c %s but asked nothing", c.name(), typ, brief(body))
		return
	}
	u := c.units[c.answered]
	if typ == 'Z' {
		c.takeReady(u, body)
		return
	}
	if u.failed != "" || u.pos >= len(u.items) {
		w.violate("P4", "%s reads %c %s after the error of unit %d", c.name(), typ, brief(body), u.serial)
		return
	}
	it := &u.items[u.pos]
	if it.typ != typ {
		w.violate("P4", "%s reads %c %s where unit %d (%s) expects %c", c.name(), typ, brief(body), u.serial, u.kind, it.typ)
		return
	}
	switch typ {
	case 'D', 'd':
		c.takeRow(u, it, typ, body)
		if it.rows--; it.rows > 0 {
			return
		}
	case 'C':
		text, _, _ := cstring(body)
		if it.want != "" && it.want != text {
			w.violate("P4", "%s reads %q where unit %d expects %q", c.name(), text, u.serial, it.want)
		}
		c.takeTag(u, text)
	case 'V':
		if t, ok := findTag(body); !ok || t != it.tag {
			w.violate("P4", "%s reads the result of %s for unit %d", c.name(), t, u.serial)
		}
	case 'G':
		u.copying = true
	}
	u.pos++
	c.wake()
}

func (c *client) takeRow(u *unit, it *item, typ byte, body []byte) {
	text, ok := string(body), true
	if typ == 'D' {
		text, ok = rowText(body)
	}
	words := strings.Split(strings.TrimRight(text, "\n"), " ")
	if !ok || len(words) < 3 {
		c.w.violate("P4", "%s reads a torn row for unit %d: %s", c.name(), u.serial, brief(body))
		return
	}
	ran, _ := findTag(words[0])
	from, _ := findTag(words[1])
	if ran != it.tag || from != it.text {
		c.w.violate("P4", "%s reads a row of %s from %s where unit %d expects %s from %s", c.name(), ran, from, u.serial, it.tag, it.text)
	}
	if u.checkApp && words[2] != u.app {
		c.w.violate("P8", "unit %d of %s ran under application_name %q, the client was told %q", u.serial, c.name(), words[2], u.app)
	}
}

// takeTag follows the transaction by the tags of CommandComplete.
func (c *client) takeTag(u *unit, text string) {
	switch {
	case text == "BEGIN":
		if c.block == 'I' && u.mustFail != noBlocks {
			c.block = 'T'
			c.blockID++
			c.begunBy = u.serial
		}
	case text == "COMMIT":
		c.settleBlock(mustCommit)
		c.block = 'I'
	case text == "ROLLBACK":
		c.settleBlock(mustNot)
		c.block = 'I'
	case strings.HasPrefix(text, "INSERT"), strings.HasPrefix(text, "COPY") && u.copying:
		for _, t := range u.effects {
			if !c.knows(t) {
				e := effect{tag: t}
				if c.block != 'I' {
					e.block = c.blockID
				}
				c.effects = append(c.effects, e)
				break
			}
		}
	}
}

func (c *client) knows(t tag) bool {
	for _, e := range c.effects {
		if e.tag == t {
			return true
		}
	}
	return false
}

func (c *client) settleBlock(f fate) {
	for i := range c.effects {
		if e := &c.effects[i]; e.block == c.blockID && e.block != 0 && e.fate == unknownFate {
			e.fate = f
		}
	}
}

func (c *client) takeError(body []byte) {
	w := c.w
	severity, code := field(body, 'V'), field(body, 'C')
	if severity != "ERROR" && severity != "FATAL" {
		w.violate("P8", "%s reads an error of severity %q", c.name(), severity)
	}
	if severity == "FATAL" {
		c.fatal = code
		c.checkFatal(code)
		return
	}
	if c.answered >= len(c.units) {
		w.violate("P4", "%s reads ERROR %s but asked nothing", c.name(), code)
		return
	}
	u := c.units[c.answered]
	if u.failed != "" {
		w.violate("P4", "%s reads a second ERROR %s for unit %d", c.name(), code, u.serial)
		return
	}
	u.failed = code
	c.checkError(u, code)
	for u.pos < len(u.items)-1 {
		u.pos++
	}
	lost := code == "08007" // may have been committed
	for _, t := range u.effects {
		if !c.knows(t) {
			e := effect{tag: t, fate: mustNot}
			if lost {
				e.fate = unknownFate
			}
			c.effects = append(c.effects, e)
		}
	}
	if !lost {
		for i := range c.effects {
			e := &c.effects[i]
			if e.fate == unknownFate && (e.block == 0 && e.tag.unit == u.serial || e.block != 0 && e.block == c.blockID && c.block != 'I') {
				e.fate = mustNot
			}
		}
	}
	switch {
	case code[:2] == "08" && c.begunBy == u.serial: // the server is lost, and the transaction with it
		c.block = 'I'
	case c.block == 'T' && w.k.single && w.gate != nil:
		c.block = 'I' // the block does not outlive its unit
	case c.block == 'T':
		c.block = 'E'
	}
	c.wake()
}

func (c *client) takeReady(u *unit, body []byte) {
	w := c.w
	if u.failed == "" && u.pos != len(u.items)-1 {
		w.violate("P4", "%s reads ReadyForQuery where unit %d (%s) expects %c", c.name(), u.serial, u.kind, u.items[u.pos].typ)
	}
	if u.failed == "" && u.mustFail != "" && !w.deadClient(c) {
		w.violate("P8", "unit %d of %s (%s) should have failed with %s", u.serial, c.name(), u.kind, u.mustFail)
	}
	if len(body) != 1 || body[0] != c.block {
		w.violate("P8", "%s is told status %s after unit %d (%s), expects %c", c.name(), brief(body), u.serial, u.kind, c.block)
		if len(body) == 1 {
			c.block = body[0]
		}
	}
	u.done = true
	c.answered++
	if u.setsApp {
		c.setsOpen--
	}
	if u.failed == "" {
		for i := range c.effects {
			if e := &c.effects[i]; e.block == 0 && e.tag.unit == u.serial && e.fate == unknownFate {
				e.fate = mustCommit
			}
		}
	}
	if c.block == 'I' && c.inflight() == 0 {
		c.planBlock = 0
	}
	c.lateCancel(u)
	c.wake()
}

// deadClient is true for a client of whom nothing more can be said.
func (w *World) deadClient(c *client) bool { return c.phase != active }

// takeAsync checks a NOTICE or NotificationResponse.
func (c *client) takeAsync(typ byte, body []byte) {
	w := c.w
	text := field(body, 'M')
	if typ == 'A' {
		_, rest, _ := cstring(body[min(4, len(body)):])
		text, _, _ = cstring(rest)
		if !c.listens {
			w.violate("P4", "%s reads a notification but never listened", c.name())
		}
	}
	number, ok := strings.CutPrefix(text, "async ")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n >= len(w.asyncs) {
		return
	}
	a := w.asyncs[n]
	if a.seen++; a.seen > 1 {
		w.violate("P4", "%s reads async %d, which was told before", c.name(), n)
	}
	w.checkAsync(c, n, a)
}
