package auth

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cancello/internal/sqlstate"
	"cancello/internal/wire"
)

var (
	testMockSecret = []byte("0123456789abcdef")
	testNonce      = []byte("a fresh nonce of many bytes")
)

// mixedList has every kind of entry. The md5 hash is of "rabbit" and "hash".
const mixedList = `"plain" "wonderland"
"stored" "` + testStored + `"
"hash" "md57d5a6fbeca9486fd29258183003e43cf"
"empty" ""`

func testVerifier(t testing.TB, m Method, list string) *Verifier {
	t.Helper()
	l, err := ParseUserlist("users.txt", []byte(list))
	if err != nil {
		t.Fatal(err)
	}
	return NewVerifier(m, l, testMockSecret)
}

func initialResponse(mech, data string) []byte {
	return wire.AppendSASLInitialResponse(nil, mech, []byte(data))[wire.HeaderLen:]
}

func authBody(code uint32, data string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, code), data...)
}

// wantMessage compares a complete Authentication message.
func wantMessage(t *testing.T, got []byte, code uint32, data string) {
	t.Helper()
	want := binary.BigEndian.AppendUint32([]byte{'R'}, uint32(8+len(data)))
	want = append(want, authBody(code, data)...)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("Authentication message (-want +got):\n%s", diff)
	}
}

// wantRefusal compares the error for the client.
func wantRefusal(t *testing.T, err error, code, message string) {
	t.Helper()
	var e sqlstate.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v (%T) is no sqlstate.Error", err, err)
	}
	if e.Severity != "FATAL" || e.Code != code || e.Message != message {
		t.Errorf("%v, want %s %s", e, code, message)
	}
}

// attempt runs a whole exchange with our own client machine.
func attempt(t *testing.T, x *Exchange, password string) error {
	t.Helper()
	first := x.First()
	if x.v.method == Plain {
		wantMessage(t, first, 3, "")
		_, done, err := x.Receive([]byte(password + "\x00"))
		if done != (err == nil) {
			t.Fatal(done, err)
		}
		return err
	}
	l := NewLogin(x.user, password, testNonce)
	l.Bind(BindPrefer, x.binding != nil, x.binding)
	for message := first; ; {
		answer, _, err := l.Receive(message[wire.HeaderLen:])
		if err != nil {
			t.Fatalf("our client: %v", err)
		}
		if answer == nil {
			if !l.scram.verified || l.scram.bound() != (x.binding != nil) {
				t.Fatal("the server did not prove itself")
			}
			return nil
		}
		send, done, err := x.Receive(answer[wire.HeaderLen:])
		if err != nil {
			return err
		}
		if done && send == nil && l.scram == nil {
			return nil
		}
		if done != (send[8] == 12) {
			t.Fatalf("done %v with message %d", done, send[8])
		}
		message = send
	}
}

func TestTrust(t *testing.T) {
	x := NewVerifier(Trust, nil, testMockSecret).Begin("anybody", nil)
	if first := x.First(); first != nil {
		t.Errorf("asked %q", first)
	}
	if x.Costly() {
		t.Error("costly")
	}
	_, done, err := x.Receive([]byte("x\x00"))
	if done {
		t.Error("a password message nobody asked for")
	}
	wantRefusal(t, err, "08P01", "unexpected password message")
}

func TestAttempts(t *testing.T) {
	for _, c := range []struct {
		name           string
		method         Method
		user, password string
		reason         string // empty: it succeeds
		derivations    int
	}{
		{"plain, plain text", Plain, "plain", "wonderland", "", 0},
		{"plain, plain text, wrong", Plain, "plain", "wonderlanD", "wrong password", 1},
		{"plain, verifier", Plain, "stored", "pencil", "", 1},
		{"plain, verifier, wrong", Plain, "stored", "pen", "wrong password", 1},
		{"md5, plain text", MD5, "plain", "wonderland", "", 0},
		{"md5, plain text, wrong", MD5, "plain", "wonderlanD", "wrong password", 0},
		{"md5, md5", MD5, "hash", "rabbit", "", 0},
		{"md5, md5, wrong", MD5, "hash", "hare", "wrong password", 0},
		{"md5, verifier", MD5, "stored", "pencil", "", 0},
		{"md5, verifier, wrong", MD5, "stored", "pen", "wrong password", 0},
		{"md5, empty entry", MD5, "empty", "x", "empty password for this user", 0},
		{"md5, unknown", MD5, "nobody", "x", "no such user", 0},
		{"plain, md5", Plain, "hash", "rabbit", "", 0},
		{"plain, md5, wrong", Plain, "hash", "hare", "wrong password", 1},
		{"plain, empty entry", Plain, "empty", "x", "empty password for this user", 1},
		{"plain, unknown", Plain, "nobody", "x", "no such user", 1},
		{"scram, plain text", SCRAM, "plain", "wonderland", "", 1},
		{"scram, plain text, wrong", SCRAM, "plain", "wonderlanD", "wrong password", 1},
		{"scram, verifier", SCRAM, "stored", "pencil", "", 0},
		{"scram, verifier, wrong", SCRAM, "stored", "pen", "wrong password", 1},
		{"scram, md5, though right", SCRAM, "hash", "rabbit", "only an md5 hash", 1},
		{"scram, empty entry", SCRAM, "empty", "x", "empty password for this user", 1},
		{"scram, unknown", SCRAM, "nobody", "x", "no such user", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := testVerifier(t, c.method, mixedList).Begin(c.user, testNonce)
			if x.Reason() != "" {
				t.Errorf("a reason before the end: %s", x.Reason())
			}
			err := attempt(t, x, c.password)
			if x.derivations != c.derivations {
				t.Errorf("%d derivations, want %d", x.derivations, c.derivations)
			}
			if c.reason == "" {
				if err != nil || x.Reason() != "" {
					t.Error(err, x.Reason())
				}
				return
			}
			wantRefusal(t, err, "28P01", `password authentication failed for user "`+c.user+`"`)
			if !strings.Contains(x.Reason(), c.reason) {
				t.Errorf("reason %q, want %q", x.Reason(), c.reason)
			}
			if strings.Contains(x.Reason(), c.password+" ") {
				t.Errorf("the reason tells the password: %s", x.Reason())
			}
			if _, done, err := x.Receive([]byte(c.password + "\x00")); done || err == nil {
				t.Error("it goes on after a refusal")
			}
		})
	}
}

// Where no entry needs a derivation, no attempt derives; where one does, every refused attempt derives once. (A
// user's kind may show in a success, which tells nothing to who knows the password.)
func TestRefusalsCostTheSame(t *testing.T) {
	for _, c := range []struct {
		name   string
		method Method
		list   string
		want   int
	}{
		{"scram, verifiers only", SCRAM, `"stored" "` + testStored + `"`, 0},
		{"scram, plain text only", SCRAM, `"plain" "x"`, 1},
		{"scram, mixed", SCRAM, mixedList, 1},
		{"plain, plain text only", Plain, `"plain" "x"`, 0},
		{"plain, verifiers only", Plain, `"stored" "` + testStored + `"`, 1},
		{"plain, mixed", Plain, mixedList, 1},
		{"md5, mixed", MD5, mixedList, 0},
		{"md5, verifiers only", MD5, `"stored" "` + testStored + `"`, 0},
		{"md5, empty", MD5, "", 0},
		{"scram, empty", SCRAM, "", 0},
		{"plain, empty", Plain, "", 0},
	} {
		v := testVerifier(t, c.method, c.list)
		for _, user := range []string{"plain", "stored", "hash", "empty", "nobody"} {
			x := v.Begin(user, testNonce)
			if err := attempt(t, x, "wrong"); err == nil {
				t.Errorf("%s: %s got in", c.name, user)
			}
			if x.derivations != c.want {
				t.Errorf("%s, %s: %d derivations, want %d", c.name, user, x.derivations, c.want)
			}
		}
	}
}

func TestCostlyWarnsOfEveryDerivation(t *testing.T) {
	for _, m := range []Method{Plain, SCRAM} {
		for _, list := range []string{mixedList, `"plain" "x"`, `"stored" "` + testStored + `"`, ""} {
			for _, user := range []string{"plain", "stored", "nobody"} {
				x := testVerifier(t, m, list).Begin(user, testNonce)
				for _, body := range [][]byte{initialResponse(mechanism, rfcClientFirst), []byte(rfcClientFinal)} {
					costly, before := x.Costly(), x.derivations
					_, _, _ = x.Receive(body)
					if x.derivations > before && !costly {
						t.Errorf("%v, %q: derived without a warning", m, user)
					}
				}
			}
		}
	}
}

// A kept key makes a success cheap and a refusal no cheaper, and is worth nothing once the list was read again.
func TestKeptKeys(t *testing.T) {
	v := testVerifier(t, SCRAM, mixedList)
	x := v.Begin("plain", testNonce)
	if err := attempt(t, x, "wonderland"); err != nil {
		t.Fatal(err)
	}
	kept := x.Derived()
	if kept == nil {
		t.Fatal("nothing to keep")
	}
	for _, c := range []struct {
		name, user, password string
		v                    *Verifier
		ok                   bool
		derivations          int
	}{
		{"success", "plain", "wonderland", v, true, 0},
		{"wrong", "plain", "x", v, false, 1},
		{"another user", "stored", "pencil", v, true, 0},
		{"unknown user", "nobody", "wonderland", v, false, 1},
		{"reloaded", "plain", "wonderland", testVerifier(t, SCRAM, mixedList), true, 1},
		{"changed", "plain", "wonderland", testVerifier(t, SCRAM, `"plain" "other"`), false, 1},
	} {
		x := c.v.Begin(c.user, testNonce)
		x.Use(kept)
		x.Use(nil)
		if err := attempt(t, x, c.password); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if x.derivations != c.derivations {
			t.Errorf("%s: %d derivations, want %d", c.name, x.derivations, c.derivations)
		}
	}
	if x := v.Begin("nobody", testNonce); attempt(t, x, "x") == nil || x.Derived() != nil {
		t.Error("a key is kept for a user that doesn't exist")
	}
}

// What an unknown user is shown is what a known one is shown: the same salt each time, of the same length, and the
// same number of iterations.
func TestMockSaltIsStable(t *testing.T) {
	challenge := func(v *Verifier, user string) string {
		send, _, err := v.Begin(user, testNonce).Receive(initialResponse(mechanism, rfcClientFirst))
		if err != nil {
			t.Fatal(err)
		}
		return string(send[9:])
	}
	const rounds = "SCRAM-SHA-256$7777:"
	list := `"stored" "` + strings.Replace(testStored, "SCRAM-SHA-256$4096:", rounds, 1) + `"` + "\n" + `"plain" "x"`
	v := testVerifier(t, SCRAM, list)
	again := testVerifier(t, SCRAM, list)
	if challenge(v, "nobody") != challenge(again, "nobody") {
		t.Error("the salt of an unknown user changes")
	}
	if challenge(v, "nobody") == challenge(v, "noone") {
		t.Error("two unknown users have the same salt")
	}
	other := NewVerifier(SCRAM, v.list, []byte("another mock secret"))
	if challenge(v, "nobody") == challenge(other, "nobody") {
		t.Error("the salt doesn't depend on the secret")
	}
	for _, user := range []string{"nobody", "plain", "stored"} {
		got := challenge(v, user)
		if !strings.HasSuffix(got, ",i=7777") || len(got) != len(challenge(v, "stored")) {
			t.Errorf("%s is shown %s", user, got)
		}
	}
}

// Even who could guess the mock password is refused.
func TestMockPasswordIsRefused(t *testing.T) {
	for _, m := range []Method{Plain, MD5, SCRAM} {
		v := testVerifier(t, m, mixedList)
		if err := attempt(t, v.Begin("nobody", testNonce), v.mockPassword("nobody")); err == nil {
			t.Errorf("%v: the mock password lets in", m)
		}
	}
}

func TestMalformedMessages(t *testing.T) {
	const first = "n,,n=,r=abc"
	ok := initialResponse(mechanism, first)
	nonce := "abc" + base64.StdEncoding.EncodeToString(testNonce)
	proof := ",p=" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, c := range []struct {
		name          string
		method        Method
		bodies        []string
		code, message string
	}{
		{"password without end", Plain, []string{"x"}, "08P01", "invalid password packet size"},
		{"two passwords", Plain, []string{"x\x00y\x00"}, "08P01", "invalid password packet size"},
		{"nothing", Plain, []string{""}, "08P01", "invalid password packet size"},
		{"empty password", Plain, []string{"\x00"}, "28P01", "empty password returned by client"},
		{"empty", SCRAM, []string{""}, "08P01", "invalid SASL initial response"},
		{"no length", SCRAM, []string{"SCRAM-SHA-256\x00"}, "08P01", "invalid SASL initial response"},
		{"length too large", SCRAM, []string{"SCRAM-SHA-256\x00\x00\x00\x00\x09abc"}, "08P01", "invalid SASL initial response"},
		{"length -1 and data", SCRAM, []string{"SCRAM-SHA-256\x00\xff\xff\xff\xffabc"}, "08P01", "invalid SASL initial response"},
		{"length -2", SCRAM, []string{"SCRAM-SHA-256\x00\xff\xff\xff\xfe"}, "08P01", "invalid SASL initial response"},
		{"other mechanism", SCRAM, []string{string(initialResponse("PLAIN", "x"))}, "08P01", "client selected an invalid SASL authentication mechanism"},
		{"channel binding not offered", SCRAM, []string{string(initialResponse("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc"))}, "08P01", "client selected an invalid SASL authentication mechanism"},
		{"channel binding by the back door", SCRAM, []string{string(initialResponse(mechanism, "p=tls-server-end-point,,n=,r=abc"))}, "08P01", malformed},
		{"authorization identity", SCRAM, []string{string(initialResponse(mechanism, "n,a=root,n=,r=abc"))}, "0A000", "client uses authorization identity, but it is not supported"},
		{"mandatory extension", SCRAM, []string{string(initialResponse(mechanism, "n,,m=x,n=,r=abc"))}, "08P01", malformed},
		{"zero byte", SCRAM, []string{string(initialResponse(mechanism, "n,,n=,r=a\x00c"))}, "08P01", malformed},
		{"too long", SCRAM, []string{string(initialResponse(mechanism, first+strings.Repeat("x", maxSASLMessage)))}, "08P01", malformed},
		{"final garbage", SCRAM, []string{string(ok), "garbage"}, "08P01", malformed},
		{"final empty", SCRAM, []string{string(ok), ""}, "08P01", malformed},
		{"final zero byte", SCRAM, []string{string(ok), "c=biws,r=" + nonce + "\x00" + proof}, "08P01", malformed},
		{"other nonce", SCRAM, []string{string(ok), "c=biws,r=abc" + proof}, "08P01", malformed},
		{"other header", SCRAM, []string{string(ok), "c=eSws,r=" + nonce + proof}, "08P01", malformed},
		{"short proof", SCRAM, []string{string(ok), "c=biws,r=" + nonce + ",p=AAAA"}, "08P01", malformed},
		{"no header", SCRAM, []string{string(initialResponse(mechanism, "n=,r=abc"))}, "08P01", malformed},
		{"half a header", SCRAM, []string{string(initialResponse(mechanism, "n,n=,r=abc"))}, "08P01", malformed},
		{"unknown flag", SCRAM, []string{string(initialResponse(mechanism, "x,,n=,r=abc"))}, "08P01", malformed},
		{"no name", SCRAM, []string{string(initialResponse(mechanism, "n,,r=abc"))}, "08P01", malformed},
		{"no nonce", SCRAM, []string{string(initialResponse(mechanism, "n,,n="))}, "08P01", malformed},
		{"name and nonce in the wrong order", SCRAM, []string{string(initialResponse(mechanism, "n,,r=abc,n="))}, "08P01", malformed},
		{"name with a bad escape", SCRAM, []string{string(initialResponse(mechanism, "n,,n==41,r=abc"))}, "08P01", malformed},
		{"attributes without =", SCRAM, []string{string(initialResponse(mechanism, "n,,n,r"))}, "08P01", malformed},
		{"nothing but commas", SCRAM, []string{string(initialResponse(mechanism, ",,,,,,"))}, "08P01", malformed},
		{"empty first", SCRAM, []string{string(initialResponse(mechanism, ""))}, "08P01", malformed},
		{"final without channel", SCRAM, []string{string(ok), "r=" + nonce + proof}, "08P01", malformed},
		{"final without nonce", SCRAM, []string{string(ok), "c=biws" + proof}, "08P01", malformed},
		{"final without proof", SCRAM, []string{string(ok), "c=biws,r=" + nonce}, "08P01", malformed},
		{"final with something behind the proof", SCRAM, []string{string(ok), "c=biws,r=" + nonce + proof + ",x=y"}, "08P01", malformed},
		{"final in the wrong order", SCRAM, []string{string(ok), "r=" + nonce + ",c=biws" + proof}, "08P01", malformed},
		{"channel not base64", SCRAM, []string{string(ok), "c=*,r=" + nonce + proof}, "08P01", malformed},
		{"proof not base64", SCRAM, []string{string(ok), "c=biws,r=" + nonce + ",p=*"}, "08P01", malformed},
		{"empty proof", SCRAM, []string{string(ok), "c=biws,r=" + nonce + ",p="}, "08P01", malformed},
		{"long proof", SCRAM, []string{string(ok), "c=biws,r=" + nonce + ",p=" + base64.StdEncoding.EncodeToString(make([]byte, 33))}, "08P01", malformed},
		{"final too long", SCRAM, []string{string(ok), "c=biws,r=" + nonce + ",x=" + strings.Repeat("x", maxSASLMessage) + proof}, "08P01", malformed},
		{"md5 without end", MD5, []string{string(ok), "x"}, "08P01", malformed},
		{"wrong proof", SCRAM, []string{string(ok), "c=biws,r=" + nonce + proof}, "28P01", `password authentication failed for user "stored"`},
		{"data in a second message", SCRAM, []string{"SCRAM-SHA-256\x00\xff\xff\xff\xff", "garbage"}, "08P01", malformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := testVerifier(t, c.method, `"stored" "`+testStored+`"`).Begin("stored", testNonce)
			for i, body := range c.bodies {
				_, done, err := x.Receive([]byte(body))
				if last := i == len(c.bodies)-1; done || (err != nil) != last {
					t.Fatalf("message %d: %v, %v", i, done, err)
				} else if last {
					wantRefusal(t, err, c.code, c.message)
					if x.Reason() == "" {
						t.Error("no reason for the log")
					}
				}
			}
		})
	}
}

// The initial response may be left out; then an empty challenge asks for it (RFC 4422, CheckSASLAuth).
func TestInitialResponseLater(t *testing.T) {
	x := testVerifier(t, SCRAM, `"user" "`+testStored+`"`).Begin("user", testNonce)
	x.nonce = rfcServerNonce
	send, _, err := x.Receive([]byte("SCRAM-SHA-256\x00\xff\xff\xff\xff"))
	if err != nil {
		t.Fatal(err)
	}
	wantMessage(t, send, 11, "")
	if send, _, err = x.Receive([]byte(rfcClientFirst)); err != nil {
		t.Fatal(err)
	}
	wantMessage(t, send, 11, rfcServerFirst)
	if _, done, err := x.Receive([]byte(rfcClientFinal)); !done || err != nil {
		t.Error(done, err)
	}
}

// FuzzExchange: whatever two messages a client sends, nobody gets in without the password, and refusals have one of
// the codes that PostgreSQL uses.
func FuzzExchange(f *testing.F) {
	list := `"user" "SCRAM-SHA-256$1:` + rfcSalt + `$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="`
	f.Add(true, "user", []byte("pencil\x00"), []byte(nil))
	f.Add(false, "user", initialResponse(mechanism, rfcClientFirst), []byte(rfcClientFinal))
	f.Add(false, "nobody", initialResponse(mechanism, "y,,n=,r=a"), []byte("c=eSws,r=a,x=y,p=AAAA"))
	f.Add(false, "user", []byte("SCRAM-SHA-256\x00\xff\xff\xff\xff"), []byte("n,,n==2C,r="))
	f.Add(false, "user", initialResponse("SCRAM-SHA-256-PLUS", "p=tls-unique,a=b,n=,r=a"), []byte{})
	f.Add(false, "tls", initialResponse("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=a"), []byte("c=cD10bHMtc2VydmVyLWVuZC1wb2ludCws,r=a,p=AAAA"))
	f.Add(false, "tls", initialResponse("SCRAM-SHA-256-PLUS", "n,,n=,r=a"), []byte(nil))
	f.Add(false, "tls", initialResponse(mechanism, "y,,n=,r=a"), []byte(nil))
	nonce := base64.StdEncoding.EncodeToString(testNonce)
	for _, final := range []string{"c=biws,r=a" + nonce + ",p=" + strings.Repeat("A", 43) + "=", "c=biws,r=a" + nonce + ",x=y,p=AAAA", "c=,r=a" + nonce + ",p=", "c=biws,r=a" + nonce, "e=x"} {
		f.Add(false, "user", initialResponse(mechanism, "n,,n=,r=a"), []byte(final))
		f.Add(false, "tls", initialResponse(mechanismPlus, bindEndpoint+"n=,r=a"), []byte(final))
		f.Add(true, "user", initialResponse(mechanism, "n,,n=,r=a"), []byte(final))
	}
	f.Add(true, "hash", []byte("md5fa537c703910ad57dd374a6d9f81bdbf\x00"), []byte(nil))
	plain, strong, hashed := testVerifier(f, Plain, list), testVerifier(f, SCRAM, list), testVerifier(f, MD5, list)
	f.Fuzz(func(t *testing.T, clear bool, user string, first, second []byte) {
		v := strong
		switch {
		case clear && len(user)%2 == 0:
			v = hashed
		case clear:
			v = plain
		}
		x := v.Begin(user, testNonce)
		if len(user)%2 == 1 {
			x.Bind([]byte("the hash of a certificate"))
		}
		x.First()
		for _, body := range [][]byte{first, second} {
			send, done, err := x.Receive(body)
			if done {
				t.Fatal("got in")
			}
			if err == nil && send == nil {
				t.Fatal("neither an answer nor an error")
			}
			var e sqlstate.Error
			if err != nil && (!errors.As(err, &e) || e.Code != "08P01" && e.Code != "28P01" && e.Code != "28000" && e.Code != "0A000") {
				t.Fatalf("refused with %v", err)
			}
			if err != nil && x.Reason() == "" {
				t.Fatal("no reason")
			}
		}
	})
}
