package sim

import "fmt"

// prepares gives a name to a text, one that other clients prepare as well or the client's own, and uses it in the units
// that follow. All clients use the same few names.
func (b *builder) prepares() {
	b.u.kind = "prepare"
	c, w := b.u.c, b.u.c.w
	c.names++
	name := fmt.Sprintf("s%d", c.names)
	text, t, rows := b.ownOrShared()
	b.u.effects = nil
	if t.client == 0 || w.chance(0.6) { // a name that it has used before, perhaps
		b.one() // what is seen first of a unit must have its tag
		name = fmt.Sprintf("p%d", w.pick(1, 3))
		b.send('C', "S"+name+"\x00")
		b.expect("3")
	}
	b.send('P', name+"\x00"+text+"\x00\x00\x00")
	b.send('D', "S"+name+"\x00")
	b.send('S', "")
	b.expect("1t" + described(rows))
	again := w.pick(0, 4)
	var use func(b *builder)
	use = func(b *builder) {
		b.useNamed(name, t, rows)
		if again--; again > 0 {
			c.followUp = use
		}
	}
	c.followUp = use
}

// ownOrShared is a statement of this client, or one that others prepare, too.
func (b *builder) ownOrShared() (text string, t tag, rows int) {
	w := b.u.c.w
	if w.chance(0.4) {
		return b.statement()
	}
	k := w.pick(1, 4)
	return fmt.Sprintf("select %s rows=%d us=%d", tag{0, 1, k}, k, 20*k), tag{0, 1, k}, k
}

// useNamed runs a prepared statement, once or twice, sometimes with something else in between.
func (b *builder) useNamed(name string, text tag, rows int) {
	b.u.kind = "execute"
	w := b.u.c.w
	for range w.pick(1, 2) {
		x := b.tag()
		if rows < 0 {
			b.u.effects = append(b.u.effects, x)
		}
		b.send('B', bind("", name, x.String()))
		b.expect("2")
		if w.chance(0.3) {
			b.send('D', "S"+name+"\x00")
			b.expect("t" + described(rows))
		}
		b.send('E', "\x00\x00\x00\x00\x00")
		b.answer(x, text, rows)
		if w.chance(0.2) {
			b.one()
		}
	}
	b.send('S', "")
}

func described(rows int) string {
	if rows < 0 {
		return "n"
	}
	return "T"
}

// nameInUse parses a name twice: an error, which must undo what the batch did before.
func (b *builder) nameInUse() {
	b.u.kind, b.u.mustFail = "name in use", "42P05"
	b.one()
	b.send('C', "Sp1\x00")
	b.send('P', fmt.Sprintf("p1\x00select %s\x00\x00\x00", b.tag()))
	b.send('P', fmt.Sprintf("p1\x00select %s\x00\x00\x00", b.tag()))
	b.send('S', "")
	b.expect("31")
}

// nameUnknown binds what nobody has prepared.
func (b *builder) nameUnknown() {
	b.u.kind, b.u.mustFail = "name unknown", "26000"
	b.one()
	b.send('C', "Sp2\x00")
	b.send('B', bind("", "p2", b.tag().String()))
	b.send('S', "")
	b.expect("3")
}

// deallocates drops all names by SQL.
func (b *builder) deallocates() {
	b.u.kind = "deallocate"
	c := b.u.c
	b.query(fmt.Sprintf("deallocate all /*%s*/", b.tag()))
	b.expectTag("DEALLOCATE ALL")
	c.followUp = func(b *builder) {
		b.u.kind, b.u.mustFail = "name unknown", "26000"
		b.send('B', bind("", "p3", b.tag().String()))
		b.send('S', "")
	}
}
