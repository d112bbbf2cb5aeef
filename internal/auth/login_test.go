package auth

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cancello/internal/wire"
)

// mustAnswer gives a request and returns the whole message that answers it.
func mustAnswer(t *testing.T, l *Login, code uint32, data string) []byte {
	t.Helper()
	send, done, err := l.Receive(authBody(code, data))
	if err != nil || done {
		t.Fatalf("request %d: %v, %v", code, done, err)
	}
	return send
}

func TestLoginTrust(t *testing.T) {
	send, done, err := NewLogin("alice", "", testNonce).Receive(authBody(0, ""))
	if send != nil || !done || err != nil {
		t.Error(send, done, err)
	}
}

func TestLoginCleartext(t *testing.T) {
	l := NewLogin("alice", "wonderland", testNonce)
	if got, want := string(mustAnswer(t, l, 3, "")), "p\x00\x00\x00\x0fwonderland\x00"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if _, done, err := l.Receive(authBody(0, "")); !done || err != nil {
		t.Error(done, err)
	}
	if l.Keys() != nil {
		t.Error("keys of a login without SCRAM")
	}
}

func TestLoginMD5(t *testing.T) {
	inner := md5.Sum([]byte("wonderlandalice"))
	outer := md5.Sum([]byte(hex.EncodeToString(inner[:]) + "salt"))
	l := NewLogin("alice", "wonderland", testNonce)
	got := mustAnswer(t, l, 5, "salt")
	if want := wire.AppendPassword(nil, "md5"+hex.EncodeToString(outer[:])); !cmp.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	// Made with Python's hashlib, so that it is a witness of the order of the parts.
	l = NewLogin("y", "x", testNonce)
	if got := string(mustAnswer(t, l, 5, "\x01\x02\x03\x04")[5:]); got != "md5fa537c703910ad57dd374a6d9f81bdbf\x00" {
		t.Errorf("%q", got)
	}
}

func TestLoginSCRAM(t *testing.T) {
	v := testVerifier(t, SCRAM, `"alice" "wonderland"`)
	var kept *LoginKeys
	for i := range 2 {
		x := v.Begin("alice", testNonce)
		l := NewLogin("alice", "wonderland", testNonce)
		l.Use(kept)
		message := x.First()
		var done bool
		for !done {
			answer, _, err := l.Receive(message[5:])
			if err != nil {
				t.Fatal(err)
			}
			if message, done, err = x.Receive(answer[5:]); err != nil {
				t.Fatal(err)
			}
		}
		if l.Keys() != nil {
			t.Error("keys before the server proved itself")
		}
		if answer, done, err := l.Receive(message[5:]); answer != nil || done || err != nil {
			t.Fatal(answer, done, err)
		}
		if _, done, err := l.Receive(authBody(0, "")); !done || err != nil {
			t.Fatal(done, err)
		}
		if l.Keys() == nil || i == 1 && l.Keys() != kept {
			t.Error("the kept keys were not used")
		}
		kept = l.Keys()
	}
	// Keys of another password would only make the login fail.
	l := NewLogin("alice", "other", testNonce)
	l.Use(kept)
	if l.keys != nil {
		t.Error("took the keys of another password")
	}
	// And so would those of another salt.
	l = NewLogin("alice", "wonderland", testNonce)
	l.Use(kept)
	mustAnswer(t, l, 10, "SCRAM-SHA-256\x00\x00")
	mustAnswer(t, l, 11, "r="+l.nonce+"x,s=c2FsdA==,i=4096")
	if l.keys == kept {
		t.Error("took the keys of another salt")
	}
}

func TestLoginChoosesMechanism(t *testing.T) {
	for _, c := range []struct{ name, list, want string }{
		{"only", "SCRAM-SHA-256\x00\x00", ""},
		{"among others", "OAUTHBEARER\x00SCRAM-SHA-256\x00X\x00\x00", ""},
		{"PLUS in clear", "SCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00", "though this connection has no TLS"},
		{"unknown", "PLAIN\x00\x00", "no SASL mechanism that Cancello speaks"},
		{"none", "\x00", "no SASL mechanism that Cancello speaks"},
		{"empty", "", "no SASL mechanism that Cancello speaks"},
		{"cut off", "SCRAM-SHA-2", "cut off"},
	} {
		_, _, err := NewLogin("alice", "x", testNonce).Receive(authBody(10, c.list))
		if c.want == "" && err != nil || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestLoginRefuses(t *testing.T) {
	type request struct {
		code uint32
		data string
	}
	sasl := request{10, "SCRAM-SHA-256\x00\x00"}
	for _, c := range []struct {
		name, password string
		requests       []request
		want           string
	}{
		{"no password, cleartext", "", []request{{3, ""}}, `asks for a password of user "alice" and there is none`},
		{"no password, md5", "", []request{{5, "salt"}}, `there is none`},
		{"no password, SCRAM", "", []request{sasl}, `there is none`},
		{"GSSAPI", "x", []request{{7, ""}}, "pg_hba.conf"},
		{"unknown", "x", []request{{99, ""}}, "method 99"},
		{"md5 salt", "x", []request{{5, "sal"}}, "salt of the wrong length"},
		{"SCRAM step first", "x", []request{{11, ""}}, "method 11"},
		{"asks twice", "x", []request{{3, ""}, {3, ""}}, "out of turn"},
		{"downgrade in the middle", "x", []request{sasl, {3, ""}}, "out of turn"},
		{"let in without a word", "x", []request{sasl, {0, ""}}, "without proving"},
		{"final first", "x", []request{sasl, {12, "v=AAAA"}}, "left out a step"},
		{"malformed challenge", "x", []request{sasl, {11, "x"}}, "malformed"},
		{"cleartext after the start", "x", []request{sasl, {10, "SCRAM-SHA-256\x00\x00"}}, "out of turn"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := NewLogin("alice", c.password, testNonce)
			var err error
			for _, r := range c.requests {
				var done bool
				if _, done, err = l.Receive(authBody(r.code, r.data)); done {
					t.Fatal("done")
				}
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if _, done, err := l.Receive(authBody(0, "")); done || err == nil {
				t.Error("it goes on after an error")
			}
		})
	}
}

// A server that knows our nonce but not the password gets no further than its own proof, and the same step does not
// come twice: a second derivation would be work for nothing.
func TestLoginServerMustProve(t *testing.T) {
	begin := func() *Login {
		l := NewLogin("alice", "wonderland", testNonce)
		mustAnswer(t, l, 10, "SCRAM-SHA-256\x00\x00")
		if !l.Costly(authBody(11, "")) || l.Costly(authBody(12, "")) || l.Costly(nil) {
			t.Error("Costly")
		}
		mustAnswer(t, l, 11, "r="+l.nonce+"x,s=c2FsdA==,i=1")
		return l
	}
	if _, done, err := begin().Receive(authBody(0, "")); done || err == nil {
		t.Error("let in without a proof")
	}
	if _, _, err := begin().Receive(authBody(12, "v=AAAA")); err == nil {
		t.Error("a wrong proof is accepted")
	}
	if _, _, err := begin().Receive(authBody(11, "r=x,s=c2FsdA==,i=1")); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("second challenge: %v", err)
	}
}

// FuzzLogin: whatever a server says, it is not believed to have proved itself, its words don't get into errors, and
// no request makes us compute for long.
func FuzzLogin(f *testing.F) {
	nonce := NewLogin("", "", testNonce).nonce
	f.Add(authBody(0, ""), []byte(nil), []byte(nil))
	f.Add(authBody(3, ""), authBody(0, ""), []byte(nil))
	f.Add(authBody(5, "salt"), authBody(0, ""), []byte(nil))
	f.Add(authBody(10, "SCRAM-SHA-256\x00\x00"), authBody(11, "r="+nonce+"x,s=c2FsdA==,i=1"), authBody(12, rfcServerFinal))
	f.Add(authBody(10, "SCRAM-SHA-256\x00\x00"), authBody(11, "r="+nonce+"x,s=c2FsdA==,i=10000001"), authBody(12, "e=x"))
	f.Add(authBody(10, "X\x00SCRAM-SHA-256-PLUS\x00"), authBody(11, ""), []byte{0})
	f.Add(authBody(10, "SCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00"), authBody(11, "r="+nonce+"x,s=c2FsdA==,i=1,x=y"), authBody(0, ""))
	f.Add(authBody(10, "SCRAM-SHA-256\x00\x00"), authBody(11, "m=x,r="+nonce+"x,s=c2FsdA==,i=1"), []byte(nil))
	f.Add(authBody(10, "SCRAM-SHA-256\x00\x00"), authBody(11, "r="+nonce+"x,s=,i=0"), []byte(nil))
	f.Add(authBody(10, "SCRAM-SHA-256\x00\x00"), authBody(11, "r="+nonce+"x,s=c2FsdA==,i=1"), authBody(12, "v="))
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		l := NewLogin("alice", "wonderland", testNonce)
		// Whether it has TLS, and what it makes of it, is drawn from what the fuzzer varies anyway.
		l.Bind(Binding(len(a)%3), len(b)%2 == 0, []byte("the hash of a certificate")[:len(c)%2])
		for _, body := range [][]byte{a, b, c} {
			// Millions of rounds are allowed, but would stall the fuzzer.
			if costly := l.Costly(body); costly {
				probe := *l.scram
				if probe.serverFirst(body[4:]) == nil && probe.iterations > 10000 {
					return
				}
			}
			send, done, err := l.Receive(body)
			if err != nil && (send != nil || done || len(err.Error()) > 250) {
				t.Fatalf("%q, %v, %v", send, done, err)
			}
			if done && l.scram != nil {
				t.Fatal("SCRAM succeeded without the password")
			}
		}
	})
}
