package sim

import "fmt"

// noBlocks is what a client is told in statement mode that would leave a transaction block open.
const noBlocks = "0A000"

// lonelyBlock opens a transaction block in statement mode: refused before anything of it runs, or undone where it
// can't be foreseen; or ended in the same Query, which is in order.
func (b *builder) lonelyBlock() {
	w, t := b.u.c.w, b.tag()
	b.u.kind, b.u.begins, b.u.mustFail = "lone begin", true, noBlocks
	begin := fmt.Sprintf("begin /*%s*/", t)
	switch w.pick(0, 4) {
	case 0:
		b.query(begin)
	case 1:
		in := b.tag()
		b.u.effects = append(b.u.effects, in)
		b.query(fmt.Sprintf("%s; insert %s us=%d", begin, in, w.pick(10, 500)))
	case 2:
		b.one()
		b.send('P', "\x00"+begin+"\x00\x00\x00")
		b.send('B', "\x00\x00\x00\x00\x00\x00\x00\x00")
		b.send('E', "\x00\x00\x00\x00\x00")
		b.send('S', "")
	case 3: // what the backslash means, and so what is a literal, is not known
		b.u.kind = "hidden begin"
		in, after := b.tag(), b.tag()
		b.u.effects = append(b.u.effects, in, after)
		b.query(fmt.Sprintf(`insert %s us=%d '\'; %s; insert %s us=%d`, in, w.pick(10, 500), begin, after, w.pick(10, 500)))
		b.expectTag("INSERT 0 1")
		b.expectTag("BEGIN")
		b.expectTag("INSERT 0 1")
	case 4:
		b.wholeBlock(begin)
	}
}

func (b *builder) wholeBlock(begin string) {
	w, in := b.u.c.w, b.tag()
	b.u.kind, b.u.mustFail = "whole block", ""
	b.u.effects = append(b.u.effects, in)
	b.expectTag("BEGIN")
	b.expectTag("INSERT 0 1")
	text := fmt.Sprintf("%s; insert %s us=%d", begin, in, w.pick(10, 500))
	if w.chance(0.3) {
		b.u.mustFail = "22012"
		text += fmt.Sprintf("; error %s", b.tag())
	} else {
		b.expectTag("COMMIT")
	}
	b.query(fmt.Sprintf("%s; commit /*%s*/", text, b.tag()))
	b.u.commitLen = len(b.cur.bytes)
}
