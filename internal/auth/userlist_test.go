package auth

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// The scripts hold user lists and, for the users asked about, what is found. "-" as input is a zero byte, which a
// script can't hold.
func TestUserlist(t *testing.T) {
	datadriven.RunTest(t, "testdata/userlist", func(t *testing.T, d *datadriven.TestData) string {
		input := strings.NewReplacer("<NUL>", "\x00", "<CR>", "\r", "<BOM>", "\ufeff", "<TAB>", "\t").Replace(d.Input)
		l, err := ParseUserlist("users.txt", []byte(input))
		if err != nil {
			return "error: " + err.Error()
		}
		var out strings.Builder
		fmt.Fprintf(&out, "%v, %d iterations\n", l, l.commonIterations())
		names := make([]string, 0, l.Len())
		for name := range l.users {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			kind, ok := l.Lookup(name)
			password, plain := l.Password(name)
			fmt.Fprintf(&out, "%q: %v, %v; password for servers: %q, %v\n", name, kind, ok, password, plain)
		}
		return out.String()
	})
}

func TestNoUserlist(t *testing.T) {
	var none *Userlist
	for _, l := range []*Userlist{none, {}} {
		if _, ok := l.Lookup("alice"); ok || l.Len() != 0 || l.commonIterations() != DefaultIterations {
			t.Errorf("%#v has users", l)
		}
		if _, ok := l.Password("alice"); ok {
			t.Errorf("%#v has passwords", l)
		}
	}
}

func TestNothingPrintsSecrets(t *testing.T) {
	l, err := ParseUserlist("f", []byte(`"alice" "wonderland"`))
	if err != nil {
		t.Fatal(err)
	}
	x := NewVerifier(SCRAM, l, testMockSecret).Begin("alice", testNonce)
	keys, _ := deriveKeys("wonderland", []byte("salt"), 1)
	for _, v := range []any{l, &Derived{entry: x.entry, keys: keys}, &LoginKeys{password: "wonderland", keys: keys}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "wonderland") || len(text) > 20 {
				t.Errorf("%s of %T: %s", verb, v, text)
			}
		}
	}
}

func FuzzUserlist(f *testing.F) {
	for _, seed := range []string{
		"", "\n\n", "; comment\n", `"alice" "wonderland"`, `"a""b" "c""d" ; x`, "\"a\" \"b\r\n", `"a"`, `"" ""`,
		`"m" "md50123456789abcdef0123456789abcdef"`, `"s" "` + testStored + `"`, `"s" "SCRAM-SHA-256$1:$:"`,
		"\xef\xbb\xbf\"a\" \"b\"\n\"a\" \"c\"", "\"a\" \"b\x00\"", `"s" "SCRAM-SHA-256$4096:c2FsdA==$` + testStored[44:] + `"`,
		`"s" "SCRAM-SHA-256$99999999999:c2FsdA==$AA==:AA=="`, `"s" "SCRAM-SHA-256$-1:c2FsdA==$AA==:AA=="`, `"s" "SCRAM-SHA-256"`,
		`"m" "md50123456789ABCDEF0123456789abcdef"`, "\"a\"\"b\"", `"a" "b"; c`, `"a"b "c"`, `a "b"`, `"a" b`, "\"a\n\" \"b\"", "\ufeff\ufeff\"a\" \"b\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseUserlist("f", b)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") || len(err.Error()) > 250 {
				t.Fatalf("error without a line, or too long: %v", err)
			}
			return
		}
		// Written again in the plainest form, the list is the same.
		var again strings.Builder
		for name, e := range l.users {
			secret := e.secret
			switch e.kind {
			case ScramVerifier:
				v, encode := e.verifier, base64.StdEncoding.EncodeToString
				secret = fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", v.iterations, encode(v.salt), encode(v.stored), encode(v.server))
			case MD5Hash:
				secret = "md5" + secret
			}
			quote := strings.NewReplacer(`"`, `""`)
			fmt.Fprintf(&again, "\"%s\" \"%s\"\n", quote.Replace(name), quote.Replace(secret))
		}
		m, err := ParseUserlist("f", []byte(again.String()))
		if err != nil {
			t.Fatalf("what was read can't be read again: %v", err)
		}
		for name, e := range m.users {
			if was := l.users[name]; was == nil || was.kind != e.kind || was.secret != e.secret || !bytes.Equal(was.verifier.stored, e.verifier.stored) || was.verifier.iterations != e.verifier.iterations {
				t.Fatalf("user %q changed", name)
			}
		}
	})
}
