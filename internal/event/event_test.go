package event

import "testing"

// Node 0 is a node, and no node is none.
func TestPeer(t *testing.T) {
	for _, node := range []uint16{0, 1, 1023} {
		if got, ok := PeerOf(node).Node(); got != node || !ok {
			t.Errorf("node %d: %d, %v", node, got, ok)
		}
	}
	if _, ok := Peer(0).Node(); ok {
		t.Error("none is a node")
	}
}
