package wire

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

func header(typ byte, length uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{typ}, length)
}

// TestFrontendBounds walks all types: those of SocketBackend in postgres.c, and the password before login.
func TestFrontendBounds(t *testing.T) {
	const large, small = "QPBFd", "DECHSXpcf"
	for i := range 256 {
		typ := byte(i)
		limit := uint32(0)
		switch {
		case strings.IndexByte(large, typ) >= 0:
			limit = 0x3ffffffe
		case strings.IndexByte(small, typ) >= 0:
			limit = 10000
		}
		checkBounds(t, "FrontendHeader", FrontendHeader, typ, 4, limit)
	}
}

// TestBackendBounds walks all types. Those whose size follows the data are libpq's VALID_LONG_MESSAGE_TYPE and the
// parameter description.
func TestBackendBounds(t *testing.T) {
	const large, small = "DdTtVENA", "RSKCIs123nGHWcv"
	for i := range 256 {
		typ := byte(i)
		least, limit := uint32(4), uint32(0)
		switch {
		case typ == 'Z':
			least, limit = 5, 5
		case strings.IndexByte(large, typ) >= 0:
			limit = 1<<30 + 64
		case strings.IndexByte(small, typ) >= 0:
			limit = 30000
		}
		checkBounds(t, "BackendHeader", BackendHeader, typ, least, limit)
	}
}

// checkBounds: a length is taken from least to limit and nowhere else; a limit of 0 means an unknown type.
func checkBounds(t *testing.T, name string, read func([]byte) (byte, int, error), typ byte, least, limit uint32) {
	t.Helper()
	for _, n := range []uint32{0, 3, 4, 5, 6, 9999, 10000, 10001, 30000, 30001, 0x3ffffffe, 0x3fffffff,
		1 << 30, 1<<30 + 64, 1<<30 + 65, 0x7fffffff, 0x80000000, 0xffffffff} {
		got, body, err := read(header(typ, n))
		if got != typ {
			t.Fatalf("%s(%q, %d): type %q", name, typ, n, got)
		}
		if want := limit > 0 && n >= least && n <= limit; (err == nil) != want {
			t.Errorf("%s(%q, %d): error %v, taken should be %v", name, typ, n, err, want)
		} else if err == nil && body != int(n)-4 {
			t.Errorf("%s(%q, %d): body of %d bytes", name, typ, n, body)
		} else if err != nil && body != 0 {
			t.Errorf("%s(%q, %d): refused, yet with a body of %d bytes", name, typ, n, body)
		}
	}
}

func TestHeaderWords(t *testing.T) {
	tests := []struct {
		read func([]byte) (byte, int, error)
		in   []byte
		want string
	}{
		{FrontendHeader, header('!', 4), "invalid frontend message type 33"},
		{FrontendHeader, header(0, 4), "invalid frontend message type 0"},
		{FrontendHeader, header('S', 3), "invalid message length"},
		{FrontendHeader, header('S', 10001), "invalid message length"},
		{BackendHeader, header('!', 4), "the server sent a message of unknown type 33"},
		{BackendHeader, header('Z', 6), "the server sent a message of type 'Z' with the impossible length 6"},
	}
	for _, tt := range tests {
		_, _, err := tt.read(tt.in)
		if _, ok := err.(*ProtocolError); !ok || err.Error() != tt.want {
			t.Errorf("% x: %v, want %q", tt.in, err, tt.want)
		}
	}
}

// TestRun: a run is what stepping from header to header finds, wherever the bytes are cut.
func TestRun(t *testing.T) {
	row := func(typ byte, body int) []byte { return append(header(typ, uint32(body+4)), make([]byte, body)...) }
	tests := []struct {
		name string
		in   []byte
		want int
	}{
		{"nothing", nil, 0},
		{"an empty one among them", slices.Concat(row('D', 3), row('D', 0), row('D', 300)), 8 + 5 + 305},
		{"another type behind", slices.Concat(row('D', 3), row('d', 9)), 8},
		{"another type in front", slices.Concat(row('d', 9), row('D', 3)), 0},
		{"an impossible length", slices.Concat(row('D', 3), header('D', 3), make([]byte, 9)), 8},
		{"a length like a negative number", slices.Concat(row('D', 3), header('D', 1<<32-1), make([]byte, 9)), 8},
	}
	for _, tt := range tests {
		for cut := range len(tt.in) + 1 {
			want := 0
			for b := tt.in[:cut]; len(b) >= HeaderLen && want < tt.want; b = tt.in[want:cut] {
				n := 1 + int(binary.BigEndian.Uint32(b[1:]))
				if n > len(b) {
					break
				}
				want += n
			}
			if n := Run(tt.in[:cut], 'D'); n != want {
				t.Errorf("%s: of %d bytes %d are a run, want %d", tt.name, cut, n, want)
			}
		}
		if n := Run(tt.in, 'D'); n != tt.want {
			t.Errorf("%s: %d bytes are a run, want %d", tt.name, n, tt.want)
		}
	}
}
