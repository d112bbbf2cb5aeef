package proxy

import (
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The name of an interface is asked for once in a while, not for each connection; one without a name goes by its number.
func TestZones(t *testing.T) {
	var asked []int
	z := newZones()
	z.lookup = func(index int) (*net.Interface, error) {
		asked = append(asked, index)
		if index == 9 {
			return nil, errors.New("no such interface")
		}
		return &net.Interface{Index: index, Name: "eth" + string(rune('0'+len(asked)))}, nil
	}
	name := func(index int, want string) {
		t.Helper()
		from := &unix.SockaddrInet6{Port: 5432, ZoneId: uint32(index), Addr: [16]byte{0: 0xfe, 1: 0x80, 15: 1}}
		if got := z.addressOf(from).String(); got != "[fe80::1%"+want+"]:5432" {
			t.Errorf("interface %d: %s, want %s", index, got, want)
		}
	}
	for range 3 {
		name(2, "eth1")
		name(9, "9")
		name(3, "eth3")
	}
	z.since = time.Now().Add(-2 * zoneAge)
	name(2, "eth4")
	name(9, "9")
	name(2, "eth4")
	if want := []int{2, 9, 3, 2, 9}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
}
