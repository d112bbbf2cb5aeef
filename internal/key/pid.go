package key

const (
	slotBits = 20
	nodeBits = 10
	ours     = 1 << (slotBits + nodeBits) // bit 30
)

// Slots is how many slots a node has: the clients it can give keys to at the same time.
const Slots = 1 << slotBits

// Nodes is how many nodes a pid can tell apart.
const Nodes = 1 << nodeBits

// PID makes the pid of a BackendKeyData: bit 30, ten bits of node, twenty bits of slot. It panics when node is
// not below Nodes or slot not below Slots, because the pid would name another client.
func PID(node uint16, slot uint32) uint32 {
	if node >= Nodes || slot >= Slots {
		panic("key: node or slot out of range")
	}
	return ours | uint32(node)<<slotBits | slot
}

// Split undoes PID. ok is false for a pid that no node of ours can have given out: bit 30 unset or bit 31 set.
func Split(pid uint32) (node uint16, slot uint32, ok bool) {
	if pid>>30 != 1 {
		return 0, 0, false
	}
	return uint16(pid >> slotBits & (Nodes - 1)), pid & (Slots - 1), true
}
