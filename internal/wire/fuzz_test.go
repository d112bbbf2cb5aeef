package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5/pgproto3"
)

// exact returns b in an array of its own size, so that reading past it is a panic and not luck.
func exact(b []byte) []byte {
	c := make([]byte, len(b))
	copy(c, b)
	return c[:len(b):len(b)]
}

// FuzzStartup: what a stranger may send first. Nothing panics; an error is of a known kind; what is taken says the
// same when written again, and what pgproto3 takes too it understands alike.
func FuzzStartup(f *testing.F) {
	for _, seed := range []string{
		"00000008 04d2162f",
		"00000008 04d21630",
		"00000008 04d2162e",
		"0000000c 04d2162e 0000002a",
		"00000010 04d2162e 0000002a 002be210",
		"00000009 00030000 00",
		"00000011 00030002 'user' 00 'me' 00 00",
		"00000010 00030002 'user' 00 'me' 00 00",
		"0000000e 00030000 'user' 00 'a'",
		"0000000b 00030000 00 'a' 00",
		"00000031 0003270f 'user' 00 'me' 00 '_pq_.test_protocol_negotiation' 00 00 00",
		"00000026 00030000 'user' 00 'me' 00 '_pq_.foo' 00 '1' 00 '_pq_.bar' 00 00 00",
		"00000009 00040000 00",
		"00000009 00020000 00",
		"ffffffff 00030000",
		"00000000",
		"16030100",
	} {
		f.Add(unhex(f, seed))
	}
	f.Add(AppendCancelRequest(nil, 1<<30, make([]byte, 256)))
	f.Add(AppendCancelRequest(nil, 1<<30, make([]byte, 257)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 4 {
			return
		}
		n, err := StartupLen(exact(data[:4]))
		if err != nil {
			wantProtocolError(t, err)
			return
		}
		if n < 8 || n > MaxStartupLen {
			t.Fatalf("a length of %d was taken", n)
		}
		if n > len(data) {
			if _, err := ParseStartup(exact(data)); err == nil {
				t.Fatal("a packet shorter than its length was taken")
			}
			return
		}
		checkStartup(t, exact(data[:n]))
	})
}

func checkStartup(t *testing.T, pkt []byte) {
	s, err := ParseStartup(pkt)
	if err != nil {
		if !errors.Is(err, ErrMalformedCancel) {
			wantProtocolError(t, err)
		}
		return
	}
	switch s.Kind {
	case CancelRequest:
		if again := AppendCancelRequest(nil, s.PID, s.Key); !bytes.Equal(again, pkt) {
			t.Fatalf("written again: % x, was % x", again, pkt)
		}
	case StartupMessage:
		checkNegotiation(t, pkt, s)
	case SSLRequest, GSSENCRequest:
		if _, err := Negotiate(s.Version, nil); err == nil {
			t.Fatal("a request code was taken for a version")
		}
	default:
		t.Fatalf("kind %d", s.Kind)
	}
}

func checkNegotiation(t *testing.T, pkt []byte, s Startup) {
	n, err := Negotiate(s.Version, s.Params)
	if s.Version.Major() != 3 {
		var v *VersionError
		if !errors.As(err, &v) || s.Params != nil {
			t.Fatalf("version %v: %v", s.Version, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if again := AppendStartup(nil, s.Version, s.Params); !bytes.Equal(again, pkt) {
		t.Fatalf("written again: % x, was % x", again, pkt)
	}
	if n.Version != V30 && n.Version != V32 || n.Version > s.Version {
		t.Fatalf("asked for %v, got %v", s.Version, n.Version)
	}
	if n.Reply != (s.Version > V32 || len(n.Unsupported) > 0) {
		t.Fatalf("asked for %v with %d extensions: reply %v", s.Version, len(n.Unsupported), n.Reply)
	}
	kept := StripProtocolParams(s.Params)
	if len(kept)+len(n.Unsupported) != len(s.Params) {
		t.Fatalf("%d parameters: %d kept, %d extensions", len(s.Params), len(kept), len(n.Unsupported))
	}
	for _, p := range kept {
		if strings.HasPrefix(p.Name, "_pq_.") {
			t.Fatalf("%q was kept", p.Name)
		}
	}
	var theirs pgproto3.StartupMessage
	if theirs.Decode(pkt[4:]) != nil {
		return
	}
	ours := map[string]string{}
	for _, p := range s.Params {
		ours[p.Name] = p.Value
	}
	if diff := cmp.Diff(theirs.Parameters, ours, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("pgproto3 reads it in another way (-pgproto3 +ours):\n%s", diff)
	}
}

func wantProtocolError(t *testing.T, err error) {
	t.Helper()
	var p *ProtocolError
	if !errors.As(err, &p) || p.Message == "" {
		t.Fatalf("an error of unknown kind: %#v", err)
	}
}

// FuzzFrames walks a stream as a connection does, by headers alone. It must advance with each frame, stop at the
// first header that is wrong, and give each header back as it was written.
func FuzzFrames(f *testing.F) {
	var client, server []byte
	client = AppendParse(client, "", "select $1")
	client = AppendClose(client, 'S', "s")
	client = AppendHeader(client, MsgFlush, 0)
	client = AppendSync(client)
	client = AppendQuery(client, "copy t from stdin")
	client = append(AppendHeader(client, MsgCopyData, 3), "row"...)
	client = AppendCopyFail(client, "no")
	client = AppendTerminate(client)
	server = AppendNegotiateProtocolVersion(server, V32, []string{"_pq_.foo"})
	server = AppendAuthSASL(server, "SCRAM-SHA-256")
	server = AppendAuthOK(server)
	server = AppendParameterStatus(server, "TimeZone", "UTC")
	server = AppendBackendKeyData(server, 42, []byte{0, 0x2b, 0xe2, 0x10})
	server = AppendReadyForQuery(server, 'I')
	server = AppendNotice(server, "NOTICE", "00000", "hm")
	server = AppendError(server, "ERROR", "57014", "canceling statement due to user request", "", "")
	for _, seed := range [][]byte{
		client, server, client[:7], server[:7], server[20:],
		header('Q', 0x3ffffffe), header('Q', 0x3fffffff), header('S', 3), header('D', 1<<30+65), header('Z', 4), header('Z', 6), header(0, 4),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		walk(t, exact(data), FrontendHeader, MaxMessageLen)
		walk(t, exact(data), BackendHeader, MaxServerLen)
	})
}

func walk(t *testing.T, stream []byte, read func([]byte) (byte, int, error), limit int) {
	for len(stream) >= HeaderLen {
		typ, body, err := read(stream[:HeaderLen:HeaderLen])
		if err != nil {
			wantProtocolError(t, err)
			return
		}
		if typ != stream[0] || body < 0 || body > limit-4 || uint32(body)+4 != binary.BigEndian.Uint32(stream[1:]) {
			t.Fatalf("header % x: %q, %d", stream[:HeaderLen], typ, body)
		}
		if again := AppendHeader(nil, typ, body); !bytes.Equal(again, stream[:HeaderLen]) {
			t.Fatalf("header % x written again: % x", stream[:HeaderLen], again)
		}
		if body > len(stream)-HeaderLen {
			return
		}
		stream = stream[HeaderLen+body:]
	}
}

// FuzzDecoders: bodies of any bytes. What is found lies within the body, and what pgproto3 takes too it reads alike.
func FuzzDecoders(f *testing.F) {
	f.Add([]byte{}, byte('C'))
	f.Add(AppendError(nil, "ERROR", "57014", "stop", "d", "h")[HeaderLen:], byte('C'))
	f.Add([]byte("SERROR\x00C570"), byte('C'))
	f.Add([]byte("SERROR\x00C57014\x00"), byte(0))
	f.Add([]byte("M\x00\x00rest"), byte('M'))
	f.Add([]byte("C1\x00C2\x00\x00"), byte('C'))
	f.Add(AppendParameterStatus(nil, "TimeZone", "UTC")[HeaderLen:], byte('T'))
	f.Add([]byte("TimeZone\x00UTC\x00x"), byte('T'))
	f.Add([]byte("\x00\x00"), byte(0))
	f.Add(AppendBackendKeyData(nil, 42, []byte{0, 0x2b, 0xe2, 0x10})[HeaderLen:], byte(0))
	f.Add([]byte{0, 0, 0}, byte('K'))
	f.Fuzz(func(t *testing.T, data []byte, field byte) {
		body := exact(data)
		if s, rest, ok := CString(body); ok != (bytes.IndexByte(body, 0) >= 0) || ok && !bytes.Equal(bytes.Join([][]byte{s, rest}, []byte{0}), body) {
			t.Fatalf("CString(%q) = %q, %q, %v", body, s, rest, ok)
		}
		checkErrorField(t, body, field)
		name, value, ok := ParameterStatus(body)
		if ok && !bytes.Equal(AppendParameterStatus(nil, string(name), string(value))[HeaderLen:], body) {
			t.Fatalf("ParameterStatus(%q) = %q, %q", body, name, value)
		}
		var status pgproto3.ParameterStatus
		if ok && (status.Decode(body) != nil || status.Name != string(name) || status.Value != string(value)) {
			t.Fatalf("pgproto3 reads %q as %q, %q", body, status.Name, status.Value)
		}
		pid, key, ok := BackendKeyData(body)
		if ok != (len(body) >= 4) || ok && !bytes.Equal(AppendBackendKeyData(nil, pid, key)[HeaderLen:], body) {
			t.Fatalf("BackendKeyData(%q) = %d, %q, %v", body, pid, key, ok)
		}
	})
}

// checkErrorField: a field found has its letter before it and its zero byte behind it, at the first place where
// pgproto3 has one too.
func checkErrorField(t *testing.T, body []byte, field byte) {
	got := ErrorField(body, field)
	if got != nil && (field == 0 || !bytes.Contains(body, append(append([]byte{field}, got...), 0))) {
		t.Fatalf("ErrorField(%q, %q) = %q", body, field, got)
	}
	for cut := range body {
		if part := ErrorField(body[:cut:cut], field); part != nil && !bytes.Equal(part, got) {
			t.Fatalf("ErrorField(%q, %q) = %q, of the whole body %q", body[:cut], field, part, got)
		}
	}
	var theirs pgproto3.ErrorResponse
	if theirs.Decode(body) != nil || bytes.Count(body, []byte("C")) != 1 {
		return
	}
	if code := ErrorField(body, 'C'); string(code) != theirs.Code {
		t.Fatalf("code of %q: %q, pgproto3 has %q", body, code, theirs.Code)
	}
}
