package auth

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/xdg-go/scram"
)

// RFC 7677 section 3.
const (
	rfcClientNonce = "rOprNGfwEbeRWgbNEkqO"
	rfcServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	rfcSalt        = "W22ZaJ0SNY7soEsUEjb6gQ=="
	rfcClientFirst = "n,,n=user,r=" + rfcClientNonce
	rfcServerFirst = "r=" + rfcClientNonce + rfcServerNonce + ",s=" + rfcSalt + ",i=4096"
	rfcClientFinal = "c=biws,r=" + rfcClientNonce + rfcServerNonce + ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	rfcServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
	// testStored is the verifier of RFC 7677's password "pencil".
	testStored = "SCRAM-SHA-256$4096:" + rfcSalt + "$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)

func TestClientRFC7677(t *testing.T) {
	c := newScramClient("user", rfcClientNonce)
	if got := string(c.first()); got != rfcClientFirst {
		t.Errorf("client-first %q", got)
	}
	if err := c.serverFirst([]byte(rfcServerFirst)); err != nil {
		t.Fatal(err)
	}
	keys, err := deriveKeys("pencil", c.salt, c.iterations)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(c.clientFinal(keys)); got != rfcClientFinal {
		t.Errorf("client-final %q", got)
	}
	if err := c.final([]byte(rfcServerFinal)); err != nil {
		t.Error(err)
	}
}

func TestVerifierOfRFC7677(t *testing.T) {
	v, err := parseVerifier(testStored)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := deriveKeys("pencil", v.salt, v.iterations)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(keys.stored, v.stored) || !bytes.Equal(keys.server, v.server) {
		t.Errorf("derived %s:%s", base64.StdEncoding.EncodeToString(keys.stored), base64.StdEncoding.EncodeToString(keys.server))
	}
}

func TestExchangeRFC7677(t *testing.T) {
	x := testVerifier(t, SCRAM, `"user" "`+testStored+`"`).Begin("user", testNonce)
	x.nonce = rfcServerNonce
	wantMessage(t, x.First(), 10, "SCRAM-SHA-256\x00\x00")
	send, done, err := x.Receive(initialResponse("SCRAM-SHA-256", rfcClientFirst))
	if done || err != nil {
		t.Fatal(done, err)
	}
	wantMessage(t, send, 11, rfcServerFirst)
	send, done, err = x.Receive([]byte(rfcClientFinal))
	if !done || err != nil {
		t.Fatal(done, err)
	}
	wantMessage(t, send, 12, rfcServerFinal)
}

// Our client against xdg-go's server: two implementations of the RFC that know nothing of each other.
func TestClientAgainstLibrary(t *testing.T) {
	for _, c := range []struct {
		name, ours, theirs string
		ok                 bool
	}{
		{"same", "secret", "secret", true},
		{"other", "secret", "Secret", false},
		{"normalised", "I\u00adX", "IX", true},
		{"roman numeral nine", "\u2168", "IX", true},
		{"not ASCII", "pässwörd", "pässwörd", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, err := scram.SHA256.NewClient("", c.theirs, "")
			if err != nil {
				t.Fatal(err)
			}
			stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "some salt", Iters: 4096})
			if err != nil {
				t.Fatal(err)
			}
			server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
			if err != nil {
				t.Fatal(err)
			}
			conv := server.NewConversation()
			l := NewLogin("alice", c.ours, testNonce)
			send := mustAnswer(t, l, 10, "SCRAM-SHA-256\x00\x00")
			first, err := conv.Step(string(send[5+len("SCRAM-SHA-256\x00")+4:]))
			if err != nil {
				t.Fatal(err)
			}
			send = mustAnswer(t, l, 11, first)
			final, err := conv.Step(string(send[5:]))
			if ok := err == nil && conv.Valid(); ok != c.ok {
				t.Fatalf("accepted %v, want %v (%v)", ok, c.ok, err)
			}
			if c.ok {
				mustAnswer(t, l, 12, final)
				if _, done, err := l.Receive(authBody(0, "")); !done || err != nil {
					t.Error(done, err)
				}
			}
		})
	}
}

func TestPrepare(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"ASCII", "abc", "abc"},
		{"ASCII control, prohibited", "a\x07b", "a\x07b"},
		{"soft hyphen goes", "I\u00adX", "IX"},
		{"non-ASCII space", "a\u00a0b", "a b"},
		{"U+200B is a space, as in PostgreSQL", "a\u200bb", "a b"},
		{"NFKC", "\u00aa", "a"},
		{"not UTF-8", "a\xffb", "a\xffb"},
		{"prohibited", "a\ue000b", "a\ue000b"},
		{"younger than Unicode 3.2", "\U0001f512", "\U0001f512"},
		{"both directions", "\u0627\u0031", "\u0627\u0031"},
		{"nothing left", "\u00ad", "\u00ad"},
	} {
		if got := prepare(c.in); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestServerFirst(t *testing.T) {
	const n = "abcdefghij"
	for _, c := range []struct{ name, message, want string }{
		{"good", "r=abcdefghijX,s=c2FsdA==,i=4096", ""},
		{"one iteration", "r=abcdefghijX,s=c2FsdA==,i=1", ""},
		{"most iterations", "r=abcdefghijX,s=c2FsdA==,i=10000000", ""},
		{"extension behind", "r=abcdefghijX,s=c2FsdA==,i=1,x=y", ""},
		{"one too many", "r=abcdefghijX,s=c2FsdA==,i=10000001", "more than 10000000 SCRAM iterations"},
		{"far too many", "r=abcdefghijX,s=c2FsdA==,i=99999999999999999999", "more than 10000000 SCRAM iterations"},
		{"none", "r=abcdefghijX,s=c2FsdA==,i=0", "malformed"},
		{"negative", "r=abcdefghijX,s=c2FsdA==,i=-1", "malformed"},
		{"signed", "r=abcdefghijX,s=c2FsdA==,i=+1", "malformed"},
		{"mandatory extension", "m=x,r=abcdefghijX,s=c2FsdA==,i=1", "malformed"},
		{"nonce not ours", "r=abcdefghiX,s=c2FsdA==,i=1", "nonce"},
		{"nonce replaced", "r=zzzzzzzzzzzzzzz,s=c2FsdA==,i=1", "nonce"},
		{"nonce only ours", "r=abcdefghij,s=c2FsdA==,i=1", "nonce"},
		{"nonce not printable", "r=abcdefghij\x01,s=c2FsdA==,i=1", "nonce"},
		{"no salt", "r=abcdefghijX,s=,i=1", "malformed"},
		{"salt not base64", "r=abcdefghijX,s=*,i=1", "malformed"},
		{"cut off", "r=abcdefghijX,s=c2FsdA==", "malformed"},
		{"empty", "", "malformed"},
		{"too long", "r=abcdefghijX,s=c2FsdA==,i=1,x=" + strings.Repeat("x", maxSASLMessage), "malformed"},
	} {
		err := newScramClient("", n).serverFirst([]byte(c.message))
		if got := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestServerFinal(t *testing.T) {
	for _, c := range []struct{ name, message, want string }{
		{"good", rfcServerFinal, ""},
		{"extension behind", rfcServerFinal + ",x=y", ""},
		{"wrong signature", "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "could not prove"},
		{"short signature", "v=6rri", "could not prove"},
		{"no signature", "v=", "could not prove"},
		{"error", "e=invalid-proof", "refused SCRAM authentication: invalid-proof"},
		{"error that would reach a terminal", "e=\x1b[31m", "refused SCRAM authentication: other-error"},
		{"neither", "x=y", "malformed"},
		{"empty", "", "malformed"},
	} {
		cl := newScramClient("user", rfcClientNonce)
		if err := cl.serverFirst([]byte(rfcServerFirst)); err != nil {
			t.Fatal(err)
		}
		keys, _ := deriveKeys("pencil", cl.salt, cl.iterations)
		cl.clientFinal(keys)
		err := cl.final([]byte(c.message))
		if c.want == "" && err != nil || !strings.Contains(fmt.Sprint(err), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if cl.verified != (err == nil) {
			t.Errorf("%s: verified %v", c.name, cl.verified)
		}
	}
}
