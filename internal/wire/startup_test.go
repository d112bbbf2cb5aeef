package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStartupLen(t *testing.T) {
	tests := []struct {
		in   string
		want int // 0 for an error
	}{
		{"00000000", 0},
		{"00000007", 0},
		{"00000008", 8},
		{"00002710", MaxStartupLen},
		{"00002711", 0},
		{"7fffffff", 0},
		{"80000000", 0},
		{"ffffffff", 0},
		{"16030100", 0}, // a TLS ClientHello
		{"47455420", 0}, // "GET "
	}
	for _, tt := range tests {
		got, err := StartupLen(unhex(t, tt.in))
		if got != tt.want || (err == nil) != (tt.want > 0) {
			t.Errorf("%s: %d, %v; want %d", tt.in, got, err, tt.want)
		}
		if err != nil && err.Error() != "invalid length of startup packet" {
			t.Errorf("%s: %v", tt.in, err)
		}
	}
}

func TestParseStartup(t *testing.T) {
	const layout = "invalid startup packet layout: expected terminator as last byte"
	const length = "invalid length of startup packet"
	tests := []struct {
		name string
		pkt  string
		want Startup
		err  string
	}{
		{name: "SSLRequest", pkt: "00000008 04d2162f", want: Startup{Kind: SSLRequest, Version: codeSSL}},
		{name: "GSSENCRequest", pkt: "00000008 04d21630", want: Startup{Kind: GSSENCRequest, Version: codeGSSENC}},
		{
			name: "order and duplicates are kept",
			pkt:  "0000001e 00030000 'user' 00 'a' 00 'z' 00 '1' 00 'b' 00 00 'user' 00 'c' 00 00",
			want: Startup{Version: V30, Params: []Param{{"user", "a"}, {"z", "1"}, {"b", ""}, {"user", "c"}}},
		},
		{name: "no parameters", pkt: "00000009 00030000 00", want: Startup{Version: V30}},
		{name: "no terminator", pkt: "00000008 00030000", err: layout},
		{name: "no terminator behind a pair", pkt: "0000000f 00030000 'user' 00 'a' 00", err: layout},
		{name: "name without end", pkt: "0000000c 00030000 'user'", err: layout},
		{name: "no value", pkt: "0000000d 00030000 'user' 00", err: layout},
		{name: "value without end", pkt: "0000000e 00030000 'user' 00 'a'", err: layout},
		{name: "bytes behind the terminator", pkt: "0000000b 00030000 00 'a' 00", err: layout},
		{name: "two terminators", pkt: "0000000a 00030000 00 00", err: layout},
		{name: "other major", pkt: "0000000c 00040000 'user'", want: Startup{Version: 0x00040000}},
		{name: "shorter than its length", pkt: "0000000a 00030000 00", err: length},
		{name: "longer than its length", pkt: "00000009 00030000 00 00", err: length},
		{name: "nothing", pkt: "", err: length},
		{name: "half a code", pkt: "00000006 0003", err: length},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseStartup(unhex(t, tt.pkt))
			if tt.err != "" {
				if _, ok := err.(*ProtocolError); !ok || err.Error() != tt.err {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestStartupAtTheLimit: the longest packet is taken, however its parameters are laid out.
func TestStartupAtTheLimit(t *testing.T) {
	value := strings.Repeat("v", MaxStartupLen-8-len("n")-2-1)
	pkt := AppendStartup(nil, V30, []Param{{"n", value}})
	s, err := ParseStartup(pkt)
	if len(pkt) != MaxStartupLen || err != nil || s.Params[0].Value != value {
		t.Errorf("%d bytes: %v", len(pkt), err)
	}
	if _, err := ParseStartup(AppendStartup(nil, V30, []Param{{"n", value + "v"}})); err == nil {
		t.Error("a packet over the limit was taken")
	}
}

// TestParseCancel: drivers that never got a key send none (12 bytes), 3.2 allows up to 256 bytes of it.
func TestParseCancel(t *testing.T) {
	for n := 0; n <= MaxCancelKeyLen; n++ {
		key := bytes.Repeat([]byte{7}, n)
		s, err := ParseStartup(AppendCancelRequest(nil, 0x80000001, key))
		if err != nil || s.Kind != CancelRequest || s.PID != 0x80000001 || !bytes.Equal(s.Key, key) {
			t.Fatalf("key of %d bytes: %v, kind %d, pid %d, %d bytes of key", n, err, s.Kind, s.PID, len(s.Key))
		}
	}
	for _, pkt := range [][]byte{
		AppendCancelRequest(nil, 1, make([]byte, MaxCancelKeyLen+1)),
		AppendCancelRequest(nil, 1, make([]byte, MaxStartupLen-12)),
		unhex(t, "00000008 04d2162e"),
		unhex(t, "0000000b 04d2162e 000000"),
	} {
		if _, err := ParseStartup(pkt); !errors.Is(err, ErrMalformedCancel) {
			t.Errorf("CancelRequest of %d bytes: %v", len(pkt), err)
		}
	}
}

// TestStartupIsACopy: a Startup outlives the buffer it was read from.
func TestStartupIsACopy(t *testing.T) {
	for _, pkt := range [][]byte{
		AppendCancelRequest(nil, 1, []byte("keykey")),
		AppendStartup(nil, V30, []Param{{"user", "me"}}),
	} {
		s, err := ParseStartup(pkt)
		if err != nil {
			t.Fatal(err)
		}
		clear(pkt)
		if s.Kind == CancelRequest && string(s.Key) != "keykey" {
			t.Errorf("key changed with the buffer: %q", s.Key)
		}
		if s.Kind == StartupMessage && s.Params[0] != (Param{"user", "me"}) {
			t.Errorf("parameter changed with the buffer: %q", s.Params[0])
		}
	}
}

func TestStripKeepsItsArgument(t *testing.T) {
	params := []Param{{"_pq_.a", "1"}, {"_pq_", "2"}, {"user", "me"}, {"_pq_.", ""}, {"x_pq_.b", "3"}}
	before := append([]Param(nil), params...)
	got := StripProtocolParams(params)
	if diff := cmp.Diff([]Param{{"_pq_", "2"}, {"user", "me"}, {"x_pq_.b", "3"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got[0].Name = "changed"
	if diff := cmp.Diff(before, params); diff != "" {
		t.Errorf("the argument was changed (-before +after):\n%s", diff)
	}
}

func TestVersion(t *testing.T) {
	v := Version(0x0003270f)
	if v.Major() != 3 || v.Minor() != 9999 || v.String() != "3.9999" {
		t.Errorf("%d %d %q", v.Major(), v.Minor(), v.String())
	}
}
