package sim

import "strconv"

// session runs statements that change or show the state of a session.
func (b *backend) session(s statement) {
	switch s.kind {
	case kSet, kReset:
		if !b.change(s) {
			return
		}
		b.done(map[kind]string{kSet: "SET", kReset: "RESET"}[s.kind])
	case kDiscard:
		if b.block != 'I' {
			b.fail("25001", "DISCARD ALL cannot run inside a transaction block")
			return
		}
		b.now = defaultSettings()
		b.saved = b.now
		b.listener, b.channel, b.dirty = 0, "", 0
		b.heldNotify = nil
		clear(b.prepared)
		b.done("DISCARD ALL")
	case kDeallocate:
		if s.all {
			clear(b.prepared)
			b.done("DEALLOCATE ALL")
			return
		}
		delete(b.prepared, s.name)
		b.done("DEALLOCATE")
	case kListen:
		b.listener, b.channel = s.tag.client, s.name
		b.dirty = s.tag.client
		b.done("LISTEN")
	case kUnlisten:
		b.listener, b.channel = 0, ""
		b.done("UNLISTEN")
	case kNotify:
		b.pm.notify(s.name)
		b.done("NOTIFY")
	}
}

// change applies SET, RESET and set_config, or fails.
func (b *backend) change(s statement) bool {
	if s.kind == kReset && s.all {
		b.now = defaultSettings()
	}
	for _, x := range s.sets {
		if s.kind == kReset && s.all {
			break
		}
		if code, text := refuses(x.name, x.value); code != "" {
			b.fail(code, text)
			return false
		}
		i := settingIndex(x.name)
		if i < 0 || s.restores && b.now.given[i] {
			continue
		}
		if b.now.given[i] = s.kind != kReset; s.kind == kReset {
			x.value = defaultSettings().value[i]
		}
		b.now.value[i] = canonical(i, x.value)
		if i >= reported && s.tag.client != 0 {
			b.dirty = s.tag.client
		}
	}
	return true
}

func (b *backend) show(name string) string {
	if i := settingIndex(name); i >= 0 {
		return b.now.value[i]
	}
	return ""
}

// writeNotice adds a NOTICE that nobody asked for.
func (b *backend) writeNotice() {
	n := b.w.newAsync(b)
	b.out = fields(b.out, 'N', "NOTICE", "00000", "async "+strconv.Itoa(n))
}

// writeNotify adds a NotificationResponse.
func (b *backend) writeNotify(a *async) {
	for n, x := range b.w.asyncs {
		if x == a {
			b.out = message(b.out, 'A', "\x00\x00\x00\x01"+b.channel+"\x00async "+strconv.Itoa(n)+"\x00")
		}
	}
}

func (w *World) newAsync(b *backend) int {
	w.asyncs = append(w.asyncs, &async{backend: b})
	return len(w.asyncs) - 1
}

// gossip makes an idle or running server say something unasked.
func (b *backend) gossip() {
	switch {
	case b.state != bReading && b.state != bRunning:
	case b.listener != 0 && b.w.chance(0.6):
		b.notified()
	case b.w.chance(0.5):
		b.trailing = true // right behind the next ReadyForQuery
	case len(b.out) == 0:
		b.writeNotice()
		n := b.end.write(b.out)
		b.out = b.out[n:]
	}
}

// notified is told now if idle, else before the next ReadyForQuery 'I'.
func (b *backend) notified() {
	n := b.w.newAsync(b)
	b.heldNotify = append(b.heldNotify, b.w.asyncs[n])
	if b.state == bReading && b.block == 'I' && b.batchOwner == 0 {
		for _, a := range b.heldNotify {
			b.writeNotify(a)
		}
		b.heldNotify = nil
		n := b.end.write(b.out)
		b.out = b.out[n:]
	}
}
