//go:build invariants

package loop

import (
	"bytes"
	"testing"

	"cancello/internal/engine"
)

func TestALentBufferIsScribbledOver(t *testing.T) {
	w := newWorld(t)
	var kept []byte
	h := &hooks{}
	h.data = func(_ engine.Conn, b engine.Buf) { kept = b.Bytes }
	w.Start(h)
	_, p := w.adopt(tcpPair)
	if _, err := p.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	w.until("data", func() bool { return kept != nil })
	w.do(func() {
		if !bytes.Equal(kept, bytes.Repeat([]byte{0xdb}, 5)) {
			t.Errorf("a kept buffer still reads %q", kept)
		}
	})
}

func TestCallsOffTheLoopAreCaught(t *testing.T) {
	w := newWorld(t)
	w.Start(&hooks{})
	c, _ := w.adopt(tcpPair)
	if !panics(func() { w.l.Send(c, []byte("x")) }) {
		t.Error("Send from another thread went through")
	}
}
