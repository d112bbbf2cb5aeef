package auth

import (
	"encoding/base64"
	"strings"
	"testing"
)

// The hashes of two certificates.
var (
	ours   = []byte("the hash of our certificate")
	theirs = []byte("the hash of another's certificate")
)

// Both sides bind to the certificate of their connection, and one who is in between has another.
func TestChannelBinding(t *testing.T) {
	x := testVerifier(t, SCRAM, mixedList).Begin("stored", testNonce)
	x.Bind(ours)
	wantMessage(t, x.First(), 10, "SCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00")
	for _, m := range []Method{SCRAM, MD5} {
		for _, user := range []string{"stored", "plain"} {
			x := testVerifier(t, m, mixedList).Begin(user, testNonce)
			if x.step != stepMechanism {
				continue // md5 with plain text
			}
			x.Bind(ours)
			if err := attempt(t, x, map[string]string{"stored": "pencil", "plain": "wonderland"}[user]); err != nil || !x.plus {
				t.Errorf("%v, %s: %v", m, user, err)
			}
			x = testVerifier(t, m, mixedList).Begin(user, testNonce)
			x.Bind(ours)
			wantRefusal(t, attempt(t, x, "wrong"), "28P01", `password authentication failed for user "`+user+`"`)
		}
	}
	for _, user := range []string{"stored", "nobody"} {
		x := testVerifier(t, SCRAM, mixedList).Begin(user, testNonce)
		x.Bind(ours)
		l := NewLogin(user, "pencil", testNonce)
		l.Bind(BindRequire, true, theirs)
		answer := mustAnswer(t, l, 10, string(x.First()[9:]))
		send, _, err := x.Receive(answer[5:])
		if err != nil {
			t.Fatal(err)
		}
		_, done, err := x.Receive(mustAnswer(t, l, 11, string(send[9:]))[5:])
		if done || x.LoginKeys() != nil {
			t.Error("got in over another's connection")
		}
		wantRefusal(t, err, "28000", "SCRAM channel binding check failed")
	}
}

// What a client may say about channel binding, with and without an offer.
func TestChannelBindingFlags(t *testing.T) {
	const rest = ",,n=,r=abc"
	end := "p=tls-server-end-point"
	for _, c := range []struct {
		mech, flag    string
		offered       bool
		code, message string // empty: it goes on
	}{
		{mechanism, "n", false, "", ""},
		{mechanism, "y", false, "", ""},
		{mechanism, "n", true, "", ""},
		{mechanism, "y", true, "28000", "SCRAM channel binding negotiation error"},
		{mechanism, end, true, "08P01", malformed},
		{mechanism, end, false, "08P01", malformed},
		{mechanismPlus, end, true, "", ""},
		{mechanismPlus, end, false, "08P01", "client selected an invalid SASL authentication mechanism"},
		{mechanismPlus, "n", true, "08P01", malformed},
		{mechanismPlus, "y", true, "08P01", malformed},
		{mechanismPlus, "p=tls-unique", true, "08P01", "unsupported SCRAM channel-binding type"},
		{mechanismPlus, "p=tls-exporter", true, "08P01", "unsupported SCRAM channel-binding type"},
		{mechanismPlus, "p=", true, "08P01", "unsupported SCRAM channel-binding type"},
		{mechanismPlus, "p", true, "08P01", malformed},
		{mechanismPlus, "", true, "08P01", malformed},
		{mechanism, "", true, "08P01", malformed},
		{mechanism, "yy", true, "08P01", malformed},
	} {
		x := testVerifier(t, SCRAM, mixedList).Begin("stored", testNonce)
		if c.offered {
			x.Bind(ours)
		}
		_, done, err := x.Receive(initialResponse(c.mech, c.flag+rest))
		if c.code == "" {
			if done || err != nil {
				t.Errorf("%s %q: %v, %v", c.mech, c.flag, done, err)
			}
			continue
		}
		wantRefusal(t, err, c.code, c.message)
		if x.Reason() == "" {
			t.Errorf("%s %q: no reason for the log", c.mech, c.flag)
		}
	}
}

// The data that a client binds to must be all of: the header it began with, and the hash.
func TestChannelBindingData(t *testing.T) {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	proof := ",p=" + encode(strings.Repeat("x", 32))
	for _, data := range []string{bindEndpoint, bindEndpoint + string(theirs), bindEndpoint + string(ours) + "x", bindNone, "", string(ours)} {
		x := testVerifier(t, SCRAM, mixedList).Begin("stored", testNonce)
		x.Bind(ours)
		if _, _, err := x.Receive(initialResponse(mechanismPlus, bindEndpoint+"n=,r=abc")); err != nil {
			t.Fatal(err)
		}
		_, done, err := x.Receive([]byte("c=" + encode(data) + ",r=abc" + x.nonce + proof))
		if done {
			t.Fatal("got in")
		}
		wantRefusal(t, err, "28000", "SCRAM channel binding check failed")
	}
}

// What we answer to what a server offers (pg_SASL_init in fe-auth.c).
func TestLoginBinds(t *testing.T) {
	const both, base, only = "SCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00", "SCRAM-SHA-256\x00\x00", "SCRAM-SHA-256-PLUS\x00\x00"
	for _, c := range []struct {
		binding  Binding
		tls      bool
		endpoint []byte
		offer    string
		want     string // the header, or what the error says
	}{
		{BindPrefer, true, ours, both, bindEndpoint},
		{BindPrefer, true, ours, only, bindEndpoint},
		{BindPrefer, true, ours, base, bindUnoffered},
		{BindPrefer, true, nil, both, bindNone},
		{BindPrefer, true, nil, only, "can't be used on this connection"},
		{BindPrefer, false, nil, base, bindNone},
		{BindPrefer, false, nil, both, "no TLS"},
		{BindDisable, true, ours, both, bindNone},
		{BindDisable, true, ours, base, bindNone},
		{BindDisable, true, ours, only, "can't be used on this connection"},
		{BindDisable, false, nil, both, bindNone},
		{BindRequire, true, ours, both, bindEndpoint},
		{BindRequire, true, ours, base, "the server offers none"},
		{BindRequire, true, nil, both, "no hash that could be used"},
		{BindRequire, false, nil, base, "has no TLS"},
	} {
		l := NewLogin("alice", "x", testNonce)
		l.Bind(c.binding, c.tls, c.endpoint)
		send, _, err := l.Receive(authBody(10, c.offer))
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, TLS %v, %q: %v, want %q", c.binding, c.tls, c.offer, err, c.want)
			}
			continue
		}
		mech := mechanism
		if c.want == bindEndpoint {
			mech = mechanismPlus
		}
		if want := string(initialResponse(mech, c.want+"n=,r="+l.nonce)); string(send[5:]) != want {
			t.Errorf("%v, TLS %v, %q: %q, want %q", c.binding, c.tls, c.offer, send[5:], want)
		}
	}
}

// With channel_binding = require nobody is taken for the server who does without.
func TestLoginRequiresBinding(t *testing.T) {
	begin := func() *Login {
		l := NewLogin("alice", "x", testNonce)
		l.Bind(BindRequire, true, ours)
		return l
	}
	for code, data := range map[uint32]string{0: "", 3: "", 5: "salt"} {
		if send, done, err := begin().Receive(authBody(code, data)); send != nil || done || err == nil || !strings.Contains(err.Error(), "channel_binding = require") {
			t.Errorf("request %d: %q, %v, %v", code, send, done, err)
		}
	}
	x := testVerifier(t, SCRAM, `"alice" "x"`).Begin("alice", testNonce)
	x.Bind(ours)
	l, message := begin(), x.First()
	for range 2 {
		answer := mustAnswer(t, l, uint32(message[8]), string(message[9:]))
		var err error
		if message, _, err = x.Receive(answer[5:]); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := l.Receive(message[5:]); err != nil {
		t.Fatal(err)
	}
	if _, done, err := l.Receive(authBody(0, "")); !done || err != nil {
		t.Error(done, err)
	}
}
