package sim

import (
	"fmt"
	"time"
)

// compose makes the client's next unit.
func (c *client) compose() *unit {
	w := c.w
	u := &unit{c: c, serial: len(c.units) + 1, end: -1, blockUnit: c.planBlock}
	b := &builder{u: u}
	if c.phase == active && c.settled() && c.setsOpen == 0 {
		u.app, u.checkApp = c.app, true
	}
	if c.replication != "" {
		b.replicate()
		return b.end()
	}
	if f := c.followUp; f != nil {
		c.followUp = nil
		if c.units[len(c.units)-1].failed == "" {
			f(b)
			return b.end()
		}
	}
	switch {
	case c.block == 'E' || w.calm && c.planBlock != 0:
		if w.calm || w.chance(0.85) {
			b.finishBlock()
			break
		}
		b.ordinary()
	case c.planBlock != 0 && w.chance(0.35):
		b.finishBlock()
	case w.k.single && w.gate != nil && w.chance(0.2):
		b.lonelyBlock()
	case c.planBlock == 0 && (!w.k.single || w.gate == nil) && w.chance(0.2):
		b.openBlock()
	default:
		b.ordinary()
	}
	return b.end()
}

// settled is true when the client knows what it was told last: nothing is under way.
func (c *client) settled() bool { return c.inflight() == 0 }

func (b *builder) query(text string) { b.send('Q', text+"\x00") }

// openBlock begins a transaction, alone or with an insert behind it.
func (b *builder) openBlock() {
	w, t := b.u.c.w, b.tag()
	b.u.kind, b.u.begins = "begin", true
	b.u.c.planBlock = b.u.serial
	text := fmt.Sprintf("begin /*%s*/", t)
	switch w.pick(0, 3) {
	case 0, 1:
		b.query(text)
		b.expectTag("BEGIN")
	case 2:
		in := b.tag()
		b.query(fmt.Sprintf("%s; insert %s us=%d", text, in, w.pick(10, 500)))
		b.expectTag("BEGIN")
		b.expectTag("INSERT 0 1")
		b.u.effects = append(b.u.effects, in)
	case 3:
		b.send('P', "\x00"+text+"\x00\x00\x00")
		b.send('B', "\x00\x00\x00\x00\x00\x00\x00\x00")
		b.send('E', "\x00\x00\x00\x00\x00")
		b.expect("12")
		b.expectTag("BEGIN")
		b.send('S', "")
	}
	b.u.blockUnit = b.u.serial
}

func (b *builder) finishBlock() {
	w := b.u.c.w
	b.u.c.planBlock = 0
	b.u.kind = "commit"
	if w.chance(0.3) || b.u.c.block == 'E' {
		b.u.kind = "rollback"
	}
	text := fmt.Sprintf("%s /*%s*/", b.u.kind, b.tag())
	if w.chance(0.7) {
		b.query(text)
		b.u.commitLen = len(b.cur.bytes)
	} else {
		b.send('P', "\x00"+text+"\x00\x00\x00")
		b.send('B', "\x00\x00\x00\x00\x00\x00\x00\x00")
		b.send('E', "\x00\x00\x00\x00\x00")
		b.u.commitLen = len(b.cur.bytes)
		b.send('S', "")
		b.expect("12")
	}
	b.expectTag("") // ROLLBACK where it failed before
}

// flavors of ordinary units, by weight.
var flavors = []struct {
	weight int
	make   func(*builder)
}{
	{20, (*builder).simple},
	{6, (*builder).several},
	{16, (*builder).batch},
	{8, (*builder).twoSteps},
	{5, (*builder).flushed},
	{3, (*builder).limited},
	{4, (*builder).set},
	{3, (*builder).copyIn},
	{3, (*builder).copyInExtended},
	{2, (*builder).copyOut},
	{2, (*builder).call},
	{2, (*builder).wrong},
	{2, (*builder).nothing},
	{3, (*builder).named},
	{14, (*builder).prepares},
	{2, (*builder).nameInUse},
	{2, (*builder).nameUnknown},
	{1, (*builder).deallocates},
	{2, (*builder).state},
	{3, (*builder).digits},
	{2, (*builder).failingBatch},
}

var flavorWeights = func() (n int) {
	for _, f := range flavors {
		n += f.weight
	}
	return
}()

func (b *builder) ordinary() {
	n := b.u.c.w.rng.IntN(flavorWeights)
	for _, f := range flavors {
		if n -= f.weight; n < 0 {
			f.make(b)
			return
		}
	}
}

// duration is how long a statement takes.
func (b *builder) duration() int {
	w := b.u.c.w
	if w.chance(w.k.longs) && !w.calm {
		b.u.long = true
		return int(w.k.long / time.Microsecond)
	}
	return w.pick(20, 3000)
}

// statement is a select or an insert: its text and what it answers.
func (b *builder) statement() (text string, t tag, rows int) {
	w := b.u.c.w
	t = b.tag()
	if w.chance(0.5) {
		b.u.effects = append(b.u.effects, t)
		return fmt.Sprintf("insert %s us=%d", t, b.duration()), t, -1
	}
	rows = w.pick(0, 3)
	size := 0
	if w.chance(w.k.bigRows) {
		rows, size = w.pick(50, 300), w.pick(500, 3000)
	}
	return fmt.Sprintf("select %s rows=%d size=%d us=%d", t, rows, size, b.duration()), t, rows
}

// answer expects what a statement answers to an Execute or inside a Query.
func (b *builder) answer(t, text tag, rows int) {
	if rows < 0 {
		b.expectTag("INSERT 0 1")
		return
	}
	b.expectRows('D', rows, t, text)
	b.expectTag(fmt.Sprintf("SELECT %d", rows))
}

func (b *builder) simple() {
	b.u.kind = "query"
	text, t, rows := b.statement()
	if rows >= 0 {
		b.expect("T")
	}
	b.answer(t, t, rows)
	b.query(text)
}

func (b *builder) several() {
	b.u.kind = "several"
	all := ""
	for range b.u.c.w.pick(2, 3) {
		text, t, rows := b.statement()
		all += text + ";"
		if rows >= 0 {
			b.expect("T")
		}
		b.answer(t, t, rows)
	}
	if b.u.c.w.chance(0.2) {
		b.u.mustFail = "22012"
		all += fmt.Sprintf("error %s", b.tag())
	}
	b.query(all)
}

// one is Parse, Bind, Describe and Execute of one statement.
func (b *builder) one() {
	text, t, rows := b.statement()
	b.send('P', "\x00"+text+"\x00\x00\x00")
	b.send('B', bind("", "", t.String()))
	b.expect("12")
	if b.u.c.w.chance(0.6) {
		b.send('D', "P\x00")
		if rows >= 0 {
			b.expect("T")
		} else {
			b.expect("n")
		}
	}
	b.send('E', "\x00\x00\x00\x00\x00")
	b.answer(t, t, rows)
}

func (b *builder) batch() {
	b.u.kind = "batch"
	for range b.u.c.w.pick(1, 3) {
		b.one()
	}
	if w, l := b.u.c.w, b.u.c.w.k.config.Limits.IdleTransaction; l > 0 && w.chance(0.3) { // left open for a while
		b.send('H', "")
		b.wait(false)
		b.cur.pause = w.between(l/2, 2*l)
	}
	b.send('S', "")
}

// twoSteps is what lib/pq does: Parse, Describe and Sync, then Bind, Execute and Sync of the unnamed statement.
func (b *builder) twoSteps() {
	b.u.kind = "prepare"
	text, t, rows := b.statement()
	b.u.effects = nil
	b.send('P', "\x00"+text+"\x00\x00\x00")
	b.send('D', "S\x00")
	b.send('S', "")
	b.expect("1t")
	if rows >= 0 {
		b.expect("T")
	} else {
		b.expect("n")
	}
	c := b.u.c
	again := c.w.chance(0.3)
	var second func(b *builder)
	second = func(b *builder) {
		b.u.kind = "execute"
		x := b.tag()
		if rows < 0 {
			b.u.effects = append(b.u.effects, x)
		}
		b.send('B', bind("", "", x.String()))
		if c.w.chance(0.3) {
			b.send('D', "P\x00")
			b.expect("2")
			if rows >= 0 {
				b.expect("T")
			} else {
				b.expect("n")
			}
		} else {
			b.expect("2")
		}
		b.send('E', "\x00\x00\x00\x00\x00")
		b.answer(x, t, rows)
		b.send('S', "")
		if again {
			again = false
			c.followUp = second
		}
	}
	c.followUp = second
}

// flushed asks step by step, waiting for each answer before the next message.
func (b *builder) flushed() {
	b.u.kind = "flushed"
	text, t, rows := b.statement()
	b.send('P', "\x00"+text+"\x00\x00\x00")
	b.send('H', "")
	b.expect("1")
	b.wait(false)
	b.send('B', bind("", "", t.String()))
	b.send('E', "\x00\x00\x00\x00\x00")
	b.send('H', "")
	b.expect("2")
	b.answer(t, t, rows)
	b.wait(false)
	b.send('S', "")
}

// limited fetches a result in two Executes.
func (b *builder) limited() {
	b.u.kind = "limited"
	t := b.tag()
	b.send('P', fmt.Sprintf("\x00select %s rows=5 us=%d\x00\x00\x00", t, b.duration()))
	b.send('B', bind("", "", t.String()))
	b.send('E', "\x00\x00\x00\x00\x02")
	b.send('E', "\x00\x00\x00\x00\x00")
	b.send('S', "")
	b.expect("12")
	b.expectRows('D', 2, t, t)
	b.expect("s")
	b.expectRows('D', 3, t, t)
	b.expectTag("SELECT 3")
}

func (b *builder) set() {
	b.u.kind, b.u.setsApp, b.u.checkApp = "set", true, false
	w := b.u.c.w
	name, value := "application_name", fmt.Sprintf("c%du%d", b.u.c.id, b.u.serial)
	if w.chance(0.3) {
		name, value = "TimeZone", "utc"
	}
	text := fmt.Sprintf("set %s to '%s' /*%s*/", name, value, b.tag())
	if w.chance(0.7) {
		b.query(text)
	} else {
		b.send('P', "\x00"+text+"\x00\x00\x00")
		b.send('B', "\x00\x00\x00\x00\x00\x00\x00\x00")
		b.send('E', "\x00\x00\x00\x00\x00")
		b.send('S', "")
		b.expect("12")
	}
	b.expectTag("SET")
}

// copyData is a few CopyData and, at the end, CopyDone or sometimes CopyFail.
func (b *builder) copyData(t tag) {
	n := b.u.c.w.pick(0, 3)
	for i := range n {
		b.send('d', fmt.Sprintf("%s line %d\n", t, i))
	}
	if b.u.mustFail != "" {
		b.send('f', "no more\x00")
	} else {
		b.send('c', "")
	}
}

func (b *builder) copyIn() {
	b.u.kind = "copy in"
	w, t := b.u.c.w, b.tag()
	b.u.effects = append(b.u.effects, t)
	if w.chance(0.15) {
		b.u.mustFail = "57014"
	}
	b.query(fmt.Sprintf("copy in %s us=%d", t, w.pick(10, 1000)))
	b.expect("G")
	if w.chance(0.7) {
		b.wait(true)
	}
	b.copyData(t)
	b.expectTag("")
}

func (b *builder) copyInExtended() {
	b.u.kind = "copy in batch"
	w, t := b.u.c.w, b.tag()
	b.u.effects = append(b.u.effects, t)
	if w.chance(0.15) {
		b.u.mustFail = "57014"
	}
	b.send('P', fmt.Sprintf("\x00copy in %s us=%d\x00\x00\x00", t, w.pick(10, 1000)))
	b.send('B', bind("", "", t.String()))
	b.send('E', "\x00\x00\x00\x00\x00")
	b.expect("12G")
	if w.chance(0.5) {
		b.send('S', "") // swallowed once the COPY waits
		b.wait(true)
	} else {
		b.send('H', "")
		b.wait(false)
	}
	b.copyData(t)
	b.send('S', "")
	b.expectTag("")
}

func (b *builder) copyOut() {
	b.u.kind = "copy out"
	w, t := b.u.c.w, b.tag()
	rows, size := w.pick(0, 5), 10
	if w.chance(w.k.bigRows) {
		rows, size = w.pick(50, 300), w.pick(500, 3000)
	}
	text := fmt.Sprintf("copy out %s rows=%d size=%d us=%d", t, rows, size, w.pick(10, 1000))
	if w.chance(0.6) {
		b.query(text)
	} else {
		b.send('P', "\x00"+text+"\x00\x00\x00")
		b.send('B', bind("", "", t.String()))
		b.send('E', "\x00\x00\x00\x00\x00")
		b.send('S', "")
		b.expect("12")
	}
	b.expect("H")
	b.expectRows('d', rows, t, t)
	b.expect("c")
	b.expectTag(fmt.Sprintf("COPY %d", rows))
}

func (b *builder) call() {
	b.u.kind, b.u.checkApp = "function call", false
	t := b.tag()
	b.send('F', call(t.String()))
	b.u.items = append(b.u.items, item{typ: 'V', tag: t})
}

// wrong is a text that cannot be parsed.
func (b *builder) wrong() {
	b.u.kind, b.u.mustFail = "wrong", "42601"
	text := fmt.Sprintf("bogus %s", b.tag())
	if b.u.c.w.chance(0.5) {
		b.query(text)
		return
	}
	b.send('P', "\x00"+text+"\x00\x00\x00")
	b.send('S', "")
}

// nothing is an empty Query or a lone Sync.
func (b *builder) nothing() {
	b.u.kind = "nothing"
	if b.u.c.w.chance(0.5) {
		b.query(fmt.Sprintf("/*%s*/", b.tag()))
		b.expect("I")
		return
	}
	b.send('S', "")
}

// named uses a named statement in one batch.
func (b *builder) named() {
	c := b.u.c
	b.u.kind = "named"
	text, t, rows := b.statement()
	c.names++
	name := fmt.Sprintf("s%d", c.names)
	b.send('P', name+"\x00"+text+"\x00\x00\x00")
	b.send('B', bind("", name, t.String()))
	b.send('E', "\x00\x00\x00\x00\x00")
	b.expect("12")
	b.answer(t, t, rows)
	if c.w.chance(0.5) {
		b.send('C', "S"+name+"\x00")
		b.expect("3")
	}
	b.send('S', "")
}

// state leaves session state behind: LISTEN, or a setting that is not reported.
func (b *builder) state() {
	b.u.kind = "state"
	c := b.u.c
	switch {
	case c.w.chance(0.5):
		c.listens = true
		b.query(fmt.Sprintf("listen ch /*%s*/", b.tag()))
		b.expectTag("LISTEN")
	case c.w.chance(0.5):
		b.query(fmt.Sprintf("notify ch /*%s*/", b.tag()))
		b.expectTag("NOTIFY")
	default:
		b.query(fmt.Sprintf("set work_mem to '1MB' /*%s*/", b.tag()))
		b.expectTag("SET")
	}
}

// failingBatch is an insert with an error behind it: Sync must undo the insert.
func (b *builder) failingBatch() {
	b.u.kind, b.u.mustFail = "failing batch", "22012"
	b.one()
	t := b.tag()
	b.send('P', fmt.Sprintf("\x00error %s\x00\x00\x00", t))
	b.send('B', bind("", "", t.String()))
	b.send('E', "\x00\x00\x00\x00\x00")
	b.send('S', "")
	b.expect("12")
}
