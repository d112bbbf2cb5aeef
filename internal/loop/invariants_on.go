//go:build invariants

package loop

import "golang.org/x/sys/unix"

// onLoop panics when the caller is not on the loop's thread.
func (l *Loop) onLoop(method string) {
	if l.thread != unix.Gettid() {
		panic("loop: " + method + " called off the loop")
	}
}

// reclaim panics if a queued piece at the end of a call is more than a copy that may wait, then scribbles over what was lent.
func (l *Loop) reclaim(lent []byte) {
	if !l.small && (l.out.live != 0 || len(l.out.segs) != 0 || len(l.out.dirty) != 0) {
		panic("loop: something is left to be written")
	}
	for _, s := range l.out.segs {
		if s.lent != nil {
			panic("loop: a lent buffer is still referred to")
		}
	}
	mangle(lent)
}

func mangle(p []byte) {
	for i := range p {
		p[i] = 0xdb
	}
}
