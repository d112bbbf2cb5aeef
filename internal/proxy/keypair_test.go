package proxy

import (
	"path/filepath"
	"strings"
	"testing"

	"cancello/internal/pgtest/fake"
)

// Of a certificate and its key only the file that cannot be read is named; both where they do not belong together.
func TestKeyPair(t *testing.T) {
	a := fake.NewAuthority(t)
	cert, other := a.Issue("one"), a.Issue("two")
	none := filepath.Join(t.TempDir(), "none.pem")
	for _, tt := range []struct {
		name, cert, key string
		named, notNamed string
	}{
		{"no certificate", none, cert.KeyFile, `the_cert = "` + none + `": cannot be read`, "the_key"},
		{"no key", cert.File, none, `the_key = "` + none + `": cannot be read`, "the_cert"},
		{"another's key", cert.File, other.KeyFile, `the_cert = "` + cert.File + `", the_key = "` + other.KeyFile + `"`, "cannot be read"},
	} {
		_, err := keyPair("the_cert", tt.cert, "the_key", tt.key)
		if err == nil || !strings.Contains(err.Error(), tt.named) || strings.Contains(err.Error(), tt.notNamed) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := keyPair("the_cert", cert.File, "the_key", cert.KeyFile); err != nil {
		t.Error(err)
	}
}
