package sim

import "testing"

// TestGossipIsNoLoss shows what may be unread of a server that is told to terminate.
func TestGossipIsNoLoss(t *testing.T) {
	ready, block := string(message(nil, 'Z', "I")), string(message(nil, 'Z', "T"))
	for _, x := range []struct {
		name, in, out string
		fine          bool
	}{
		{"half a notice behind the answer", ready + "N\x00\x00\x00&SNOT", "", true},
		{"half a notification", ready + "A\x00", "", true},
		{"a whole notice", ready + string(fields(nil, 'N', "NOTICE", "00000", "hello")), "", true},
		{"half a row", ready + "D\x00\x00", "", false},
		{"an error that is not the last word", ready + string(fields(nil, 'E', "ERROR", "57014", "canceled")), "", false},
		{"an open transaction", block + "N\x00\x00", "", false},
		{"a query that is not answered", ready + "N\x00\x00", string(message(nil, 'Q', "select\x00")), false},
		{"a batch that is not synced", ready + "N\x00\x00", string(message(nil, 'P', "\x00select\x00\x00\x00")), false},
		{"half a query", ready + "N\x00\x00", "Q\x00\x00", false},
	} {
		t.Run(x.name, func(t *testing.T) {
			w := newWorld(1, Knobs{}, nil)
			w.gate = &gate{w: w}
			k := &conn{g: w.gate, w: w, backend: &backend{w: w}}
			s := &k.sees
			s.toServer(k, message(nil, 'Q', "select\x00"), nil)
			s.fromServer(k, []byte(x.in))
			s.toServer(k, []byte(x.out), nil)
			if s.gossips() != x.fine {
				t.Errorf("may be told to terminate: %v, want %v", !x.fine, x.fine)
			}
		})
	}
}
