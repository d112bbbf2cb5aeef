package relay

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cancello/internal/event"
)

// samples are one of each, with nothing at its zero value.
var samples = []Message{
	Ping{Sent: -time.Second},
	Pong{Sent: time.Second, Clock: 1<<62 + 1},
	Ask{ID: 1 << 63, Origin: Origin{5, 6}, Request: Request{PID: 1<<30 | 7, Key: []byte{0, 1, 255}, ReadAt: time.Hour, ReadBy: 2 * time.Hour, Remote: "192.0.2.7:40009"}, Local: true, Left: time.Minute},
	Released{ID: 3},
	Settled{ID: 4, Outcome: event.Throttled, User: "ann", Database: "shop", Unit: 17, Kind: "query", Sends: 2, Took: time.Second, Reason: "none"},
	Done{ID: 5},
	Leaving{},
	Yielded{},
}

// golden is what goes over a link, so that two versions of the program understand each other.
var golden = []string{
	"\x00\x09\x01\xff\xff\xff\xff\xc4\x65\x36\x00",
	"\x00\x11\x02\x00\x00\x00\x00\x3b\x9a\xca\x00\x40\x00\x00\x00\x00\x00\x00\x01",
	"\x00\x4a\x03\x80\x00\x00\x00\x00\x00\x00\x00" +
		"\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x06\x40\x00\x00\x07\x03\x00\x01\xff" +
		"\x00\x00\x03\x46\x30\xb8\xa0\x00\x00\x00\x06\x8c\x61\x71\x40\x00\x00\x00\x00\x0d\xf8\x47\x58\x00" +
		"\x0f192.0.2.7:40009\x01",
	"\x00\x09\x04\x00\x00\x00\x00\x00\x00\x00\x03",
	"\x00\x2f\x05\x00\x00\x00\x00\x00\x00\x00\x04\x0e\x03ann\x04shop\x00\x00\x00\x00\x00\x00\x00\x11\x05query\x02" +
		"\x00\x00\x00\x00\x3b\x9a\xca\x00\x04none",
	"\x00\x09\x06\x00\x00\x00\x00\x00\x00\x00\x05",
	"\x00\x01\x07",
	"\x00\x01\x08",
}

func TestCodec(t *testing.T) {
	for i, m := range samples {
		b := Append([]byte("before"), m)[len("before"):]
		if string(b) != golden[i] {
			t.Errorf("%T: %q", m, b)
		}
		n, err := BodyLen(b)
		if err != nil || n != len(b)-HeaderLen {
			t.Fatalf("%T: a length of %d, %v", m, n, err)
		}
		got, err := Parse(b[HeaderLen:])
		if diff := cmp.Diff(m, got); diff != "" || err != nil {
			t.Errorf("%T: %v %s", m, err, diff)
		}
		for cut := range n {
			if _, err := Parse(b[HeaderLen:][:cut]); err != errShort {
				t.Errorf("%T cut to %d bytes: %v", m, cut, err)
			}
		}
		if _, err := Parse(append(b[HeaderLen:], 0)); err != errLong {
			t.Errorf("%T with a byte more: %v", m, err)
		}
	}
}

func TestLongTextsAreCut(t *testing.T) {
	long := strings.Repeat("x", 3000)
	for _, m := range []Message{
		Settled{User: long, Database: long, Kind: long, Reason: long, Sends: 1000},
		Ask{Request: Request{Key: make([]byte, maxKey), Remote: long}},
	} {
		b := Append(nil, m)
		if _, err := BodyLen(b); err != nil || len(b) > maxMessage {
			t.Errorf("%T: %d bytes, %v", m, len(b), err)
		}
		got, err := Parse(b[HeaderLen:])
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := got.(Settled); ok && (len(s.User) != maxText || len(s.Reason) != maxReason || s.Sends != 255) {
			t.Errorf("%+v", s)
		}
	}
}

// A text is not cut in the middle of a letter: what is left is shown at the console and in JSON. One that fits goes as it is.
func TestTextsAreCutBetweenLetters(t *testing.T) {
	whole := strings.Repeat("x", maxText-1)
	got, err := Parse(Append(nil, Settled{User: whole + "é", Database: strings.Repeat("é", maxText), Kind: "\xc3", Reason: strings.Repeat("€", maxReason)})[HeaderLen:])
	if err != nil {
		t.Fatal(err)
	}
	want := Settled{User: whole, Database: strings.Repeat("é", maxText/2), Kind: "\xc3", Reason: strings.Repeat("€", maxReason/3)}
	if diff := cmp.Diff(Message(want), got); diff != "" {
		t.Error(diff)
	}
	got, err = Parse(Append(nil, Settled{User: "é" + whole})[HeaderLen:])
	if err != nil || got.(Settled).User != "é"+whole[:maxText-2] {
		t.Errorf("%+v, %v", got, err)
	}
}

// What a later version says is passed over, or told as what it means to us.
func TestLaterVersions(t *testing.T) {
	if m, err := Parse([]byte{200, 1, 2, 3}); m != nil || err != nil {
		t.Errorf("an unknown kind: %v, %v", m, err)
	}
	b := Append(nil, Settled{Outcome: event.Outcome(event.Outcomes)})
	if m, err := Parse(b[HeaderLen:]); err != nil || m.(Settled).Outcome != event.Failed || m.(Settled).Reason == "" {
		t.Errorf("an unknown outcome: %+v, %v", m, err)
	}
	for _, bad := range []string{"\x00\x00", "\x04\x00", "\xff\xff"} {
		if n, err := BodyLen([]byte(bad)); err == nil {
			t.Errorf("a length of %d is taken", n)
		}
	}
}

// FuzzParse: what is read from any bytes, said again, is read as the same.
func FuzzParse(f *testing.F) {
	for _, m := range samples {
		f.Add(Append(nil, m)[HeaderLen:])
	}
	f.Add([]byte{kindAsk})
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		m, err := Parse(body)
		if !bytes.Equal(before, body) {
			t.Fatal("Parse wrote to its argument")
		}
		if err != nil || m == nil {
			return
		}
		again, err := Parse(Append(nil, m)[HeaderLen:])
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := m.(Settled); ok { // texts may have been cut
			s.User, s.Database, s.Kind = cut(s.User, maxText), cut(s.Database, maxText), cut(s.Kind, maxText)
			m = s
		}
		if a, ok := m.(Ask); ok {
			a.Remote = cut(a.Remote, maxText)
			m = a
		}
		if diff := cmp.Diff(m, again); diff != "" {
			t.Fatal(diff)
		}
	})
}
