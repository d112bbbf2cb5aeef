package wire

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// unhex reads bytes as people write captures down: hexadecimal, with text in quotes and spaces where they help.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var out []byte
	for i, part := range strings.Split(s, "'") {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(part), ""))
		if err != nil {
			t.Fatalf("capture %q: %v", s, err)
		}
		out = append(out, b...)
	}
	return out
}

// TestNegotiationCaptures holds what PostgreSQL 18.4 was seen to answer to these versions and extensions, byte for
// byte. The last two were not captured: for 3.1 with an extension PostgreSQL would name 3.1, which libpq refuses, so
// Cancello says 3.0; a name given twice is listed twice by SendNegotiateProtocolVersion.
func TestNegotiationCaptures(t *testing.T) {
	tests := []struct {
		name    string
		startup string // of the whole packet
		version Version
		reply   string // NegotiateProtocolVersion; empty for none
	}{
		{
			name:    "3.0",
			startup: "00000011 00030000 'user' 00 'me' 00 00",
			version: V30,
		},
		{
			name:    "3.1",
			startup: "00000011 00030001 'user' 00 'me' 00 00",
			version: V30,
		},
		{
			name:    "3.2",
			startup: "00000011 00030002 'user' 00 'me' 00 00",
			version: V32,
		},
		{
			name:    "3.3",
			startup: "00000011 00030003 'user' 00 'me' 00 00",
			version: V32,
			reply:   "76 0000000c 00030002 00000000",
		},
		{
			name:    "3.9999",
			startup: "00000011 0003270f 'user' 00 'me' 00 00",
			version: V32,
			reply:   "76 0000000c 00030002 00000000",
		},
		{
			name:    "3.0 with two extensions",
			startup: "00000026 00030000 'user' 00 'me' 00 '_pq_.foo' 00 '1' 00 '_pq_.bar' 00 00 00",
			version: V30,
			reply:   "76 0000001e 00030000 00000002 '_pq_.foo' 00 '_pq_.bar' 00",
		},
		{
			name:    "what libpq 19 beta sends by default",
			startup: "00000031 0003270f 'user' 00 'me' 00 '_pq_.test_protocol_negotiation' 00 00 00",
			version: V32,
			reply:   "76 0000002b 00030002 00000001 '_pq_.test_protocol_negotiation' 00",
		},
		{
			name:    "3.1 with an extension",
			startup: "0000001c 00030001 'user' 00 'me' 00 '_pq_.foo' 00 '1' 00 00",
			version: V30,
			reply:   "76 00000015 00030000 00000001 '_pq_.foo' 00",
		},
		{
			name:    "3.2 with one extension twice",
			startup: "00000026 00030002 'user' 00 'me' 00 '_pq_.foo' 00 '1' 00 '_pq_.foo' 00 00 00",
			version: V32,
			reply:   "76 0000001e 00030002 00000002 '_pq_.foo' 00 '_pq_.foo' 00",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pkt := unhex(t, tt.startup)
			n, err := StartupLen(pkt)
			if err != nil || n != len(pkt) {
				t.Fatalf("StartupLen = %d, %v; the packet has %d bytes", n, err, len(pkt))
			}
			s, err := ParseStartup(pkt)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Negotiate(s.Version, s.Params)
			if err != nil {
				t.Fatal(err)
			}
			if got.Version != tt.version {
				t.Errorf("version %v, want %v", got.Version, tt.version)
			}
			var reply []byte
			if got.Reply {
				reply = AppendNegotiateProtocolVersion(nil, got.Version, got.Unsupported)
			}
			if diff := cmp.Diff(unhex(t, tt.reply), reply); diff != "" {
				t.Errorf("reply (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]Param{{"user", "me"}}, StripProtocolParams(s.Params)); diff != "" {
				t.Errorf("parameters for a server (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRefusedVersions: the words are those of PostgreSQL 18.4. A repeated SSLRequest is refused as a version.
func TestRefusedVersions(t *testing.T) {
	tests := []struct {
		startup string
		want    string
	}{
		{"00000009 00040000 00", "unsupported frontend protocol 4.0: server supports 3.0 to 3.2"},
		{"00000009 00020000 00", "unsupported frontend protocol 2.0: server supports 3.0 to 3.2"},
		{"00000008 00000000", "unsupported frontend protocol 0.0: server supports 3.0 to 3.2"},
		{"00000008 04d2162f", "unsupported frontend protocol 1234.5679: server supports 3.0 to 3.2"},
		{"00000008 04d21630", "unsupported frontend protocol 1234.5680: server supports 3.0 to 3.2"},
		{"0000000c 04d21631 ffffffff", "unsupported frontend protocol 1234.5681: server supports 3.0 to 3.2"},
		{"00000008 ffffffff", "unsupported frontend protocol 65535.65535: server supports 3.0 to 3.2"},
	}
	for _, tt := range tests {
		s, err := ParseStartup(unhex(t, tt.startup))
		if err != nil {
			t.Errorf("%s: %v", tt.startup, err)
			continue
		}
		_, err = Negotiate(s.Version, s.Params)
		if _, ok := err.(*VersionError); !ok || err.Error() != tt.want {
			t.Errorf("%s: %v, want %q", tt.startup, err, tt.want)
		}
	}
}

// TestBackendMessages: the lengths of the keys, and PGlite's key, are captures; the rest is written out by hand from
// protocol-message-formats.
func TestBackendMessages(t *testing.T) {
	key32 := make([]byte, 32)
	for i := range key32 {
		key32[i] = byte(i)
	}
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{"AuthenticationOk", AppendAuthOK(nil), "'R' 00000008 00000000"},
		{"cleartext", AppendAuthCleartext(nil), "'R' 00000008 00000003"},
		{"md5", AppendAuthMD5(nil, [4]byte{1, 2, 3, 4}), "'R' 0000000c 00000005 01020304"},
		{"SASL", AppendAuthSASL(nil, "SCRAM-SHA-256"), "'R' 00000017 0000000a 'SCRAM-SHA-256' 00 00"},
		{"SASL, no mechanism", AppendAuthSASL(nil), "'R' 00000009 0000000a 00"},
		{"SASL continue", AppendAuthSASLContinue(nil, []byte("r=x")), "'R' 0000000b 0000000b 'r=x'"},
		{"SASL final", AppendAuthSASLFinal(nil, []byte("v=y")), "'R' 0000000b 0000000c 'v=y'"},
		{"ParameterStatus", AppendParameterStatus(nil, "is_superuser", "on"), "'S' 00000014 'is_superuser' 00 'on' 00"},
		{"key of PGlite", AppendBackendKeyData(nil, 42, []byte{0, 0x2b, 0xe2, 0x10}), "'K' 0000000c 0000002a 002be210"},
		{"key at 3.2", AppendBackendKeyData(nil, 1<<30|7, key32), "'K' 00000028 40000007" + hex.EncodeToString(key32)},
		{"idle", AppendReadyForQuery(nil, 'I'), "'Z' 00000005 'I'"},
		{"in transaction", AppendReadyForQuery(nil, 'T'), "'Z' 00000005 'T'"},
		{"failed", AppendReadyForQuery(nil, 'E'), "'Z' 00000005 'E'"},
		{
			"error", AppendError(nil, "ERROR", "57014", "no", "", ""),
			"'E' 0000001e 'SERROR' 00 'VERROR' 00 'C57014' 00 'Mno' 00 00",
		},
		{
			"error with detail and hint", AppendError(nil, "FATAL", "53300", "no", "d", "h"),
			"'E' 00000024 'SFATAL' 00 'VFATAL' 00 'C53300' 00 'Mno' 00 'Dd' 00 'Hh' 00 00",
		},
		{
			"notice", AppendNotice(nil, "NOTICE", "00000", "hm"),
			"'N' 00000020 'SNOTICE' 00 'VNOTICE' 00 'C00000' 00 'Mhm' 00 00",
		},
	}
	checkBytes(t, tests)
}

// TestFrontendMessages: written out by hand from protocol-message-formats.
func TestFrontendMessages(t *testing.T) {
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{"Query", AppendQuery(nil, "select 1"), "'Q' 0000000d 'select 1' 00"},
		{"empty Query", AppendQuery(nil, ""), "'Q' 00000005 00"},
		{"Parse", AppendParse(nil, "s", "x"), "'P' 0000000a 's' 00 'x' 00 0000"},
		{"unnamed Parse", AppendParse(nil, "", "x"), "'P' 00000009 00 'x' 00 0000"},
		{"Sync", AppendSync(nil), "'S' 00000004"},
		{"Flush", AppendHeader(nil, MsgFlush, 0), "'H' 00000004"},
		{"Terminate", AppendTerminate(nil), "'X' 00000004"},
		{"CopyFail", AppendCopyFail(nil, "gone"), "'f' 00000009 'gone' 00"},
		{"Close statement", AppendClose(nil, 'S', "s"), "'C' 00000007 'S' 's' 00"},
		{"Close portal", AppendClose(nil, 'P', ""), "'C' 00000006 'P' 00"},
		{"password", AppendPassword(nil, "md5x"), "'p' 00000009 'md5x' 00"},
		{"SASL initial", AppendSASLInitialResponse(nil, "M", []byte("n,,")), "'p' 0000000d 'M' 00 00000003 'n,,'"},
		{"SASL initial, absent", AppendSASLInitialResponse(nil, "M", nil), "'p' 0000000a 'M' 00 ffffffff"},
		{"SASL initial, empty", AppendSASLInitialResponse(nil, "M", []byte{}), "'p' 0000000a 'M' 00 00000000"},
		{"SASL response", AppendSASLResponse(nil, []byte("c=b")), "'p' 00000007 'c=b'"},
		{"SSLRequest", AppendSSLRequest(nil), "00000008 04d2162f"},
		{"cancel", AppendCancelRequest(nil, 42, []byte{1, 2, 3, 4}), "00000010 04d2162e 0000002a 01020304"},
		{"startup", AppendStartup(nil, V32, []Param{{"user", "me"}}), "00000011 00030002 'user' 00 'me' 00 00"},
		{"startup without parameters", AppendStartup(nil, V30, nil), "00000009 00030000 00"},
		{"startup, a name missing", AppendStartup(nil, V30, []Param{{"", "x"}, {"\x00y", "x"}, {"a", ""}}), "0000000c 00030000 'a' 00 00 00"},
	}
	checkBytes(t, tests)
}

func checkBytes(t *testing.T, tests []struct {
	name string
	got  []byte
	want string
},
) {
	t.Helper()
	for _, tt := range tests {
		if diff := cmp.Diff(unhex(t, tt.want), tt.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
