package key

import "testing"

func TestPIDGolden(t *testing.T) {
	for _, c := range []struct {
		node uint16
		slot uint32
		want uint32
	}{
		{0, 0, 0x40000000},
		{0, 1, 0x40000001},
		{1, 0, 0x40100000},
		{5, 7, 0x40500007},
		{1023, Slots - 1, 0x7fffffff},
	} {
		if got := PID(c.node, c.slot); got != c.want {
			t.Errorf("PID(%d, %d) = %#x, want %#x", c.node, c.slot, got, c.want)
		}
		node, slot, ok := Split(c.want)
		if node != c.node || slot != c.slot || !ok {
			t.Errorf("Split(%#x) = %d, %d, %v", c.want, node, slot, ok)
		}
	}
}

// A program that hands our pid to pg_terminate_backend must hit nobody: PID_MAX_LIMIT of Linux is 2^22. And it is
// an int32 in every driver.
func TestPIDIsPositiveAndNoLinuxPID(t *testing.T) {
	const pidMaxLimit = 4194304
	for node := range uint16(Nodes) {
		for _, slot := range []uint32{0, 1, Slots / 2, Slots - 1} {
			pid := PID(node, slot)
			if int32(pid) <= pidMaxLimit {
				t.Fatalf("PID(%d, %d) = %d as int32", node, slot, int32(pid))
			}
		}
	}
}

func TestSplitRefusesWhatIsNotOurs(t *testing.T) {
	for _, pid := range []uint32{0, 1, 4194304, 1<<30 - 1, 1 << 31, 1<<31 | 1<<30, 0xffffffff} {
		if _, _, ok := Split(pid); ok {
			t.Errorf("Split(%#x) is ok", pid)
		}
	}
}

func TestPIDOutOfRangePanics(t *testing.T) {
	for name, f := range map[string]func(){
		"node":  func() { PID(Nodes, 0) },
		"slot":  func() { PID(0, Slots) },
		"mint":  func() { NewMinter(Nodes, [4]byte{}, []byte("s")) },
		"none":  func() { NewMinter(0, [4]byte{}) },
		"empty": func() { NewMinter(0, [4]byte{}, nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
