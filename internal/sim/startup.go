package sim

import (
	"strconv"

	"cancello/internal/wire"
)

// startup is what a client asks for in its startup packet of settings that no server reports: how many digits.
type startup struct {
	digits string // empty: it asks for none
	set    bool   // it has SET another value since
	reset  bool   // it has RESET that
	bare   bool   // it asks for nothing that RESET ALL would have to be followed by
}

// askFor draws the startup parameters of a client.
func (c *client) askFor() []wire.Param {
	w := c.w
	var params []wire.Param
	add := func(name, value string) { params = append(params, wire.Param{Name: name, Value: value}) }
	if c.replication != "" {
		params = append(params, c.replicationParam(), wire.Param{Name: "application_name", Value: c.name()})
	} else if w.chance(0.5) {
		add("application_name", c.name())
	}
	if w.chance(0.2) {
		add("TimeZone", "utc")
	}
	c.startup.bare = len(params) == 0
	if w.chance(w.k.startups) {
		c.startup.digits = strconv.Itoa(w.pick(-3, 3))
		if w.chance(0.5) {
			add("options", "-c Extra_Float_Digits="+c.startup.digits)
		} else {
			add("extra_float_digits", c.startup.digits)
		}
	}
	if c.badParam = w.chance(w.k.badParams); c.badParam {
		if w.chance(0.5) {
			add("nonesuch", "x")
		} else {
			add("TimeZone", "nowhere")
		}
	}
	return params
}

// mine is the value that a client sets in place of its startup value.
func (c *client) mine() string { return strconv.Itoa(100 + c.id) }

// digits sets or resets what the client has asked for at its start.
func (b *builder) digits() {
	c := b.u.c
	if c.startup.digits == "" || c.w.gate == nil {
		b.simple()
		return
	}
	b.u.kind = "digits"
	switch {
	case c.w.chance(0.4):
		c.startup.set = true
		b.query("set extra_float_digits to '" + c.mine() + "' /*" + b.tag().String() + "*/")
		b.expectTag("SET")
	case c.startup.bare && c.app == "" && c.setsOpen == 0 && c.w.chance(0.3):
		c.startup.reset = true
		b.query("reset all /*" + b.tag().String() + "*/")
		b.expectTag("RESET")
	default:
		c.startup.reset = true
		b.query("reset extra_float_digits /*" + b.tag().String() + "*/")
		b.expectTag("RESET")
	}
}

// checkStartup sees a statement run: under the startup values of its client, or what it has set in their place, never under
// another's (P8).
func (b *backend) checkStartup(t tag) {
	c := b.w.clients[t.client-1]
	if b.w.gate == nil || b.w.setsAlone(t) {
		return
	}
	is, want := b.now.value[setDigits], c.startup.digits
	if want == "" {
		want = defaultSettings().value[setDigits]
	}
	switch {
	case is == want:
	case c.startup.set && is == c.mine():
	case c.startup.reset && b.block != 'I': // given back at the end of the transaction
	default:
		b.w.violate("P8", "%s runs on %s with %s = %s, its client has %s", t, b.name(), settingNames[setDigits], is, want)
	}
}

// setsAlone tells whether a unit does nothing but set or reset: it runs under whatever its client has left.
func (w *World) setsAlone(t tag) bool {
	c := w.clients[t.client-1]
	return t.unit >= 1 && t.unit <= len(c.units) && c.units[t.unit-1].kind == "digits"
}
