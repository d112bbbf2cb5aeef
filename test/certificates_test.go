package test

import (
	"bytes"
	"context"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

// Files of certificates and keys that are no use: neither serve nor a reload takes them, both say which setting and which
// file it is, and a gate that runs goes on with what it has.
func TestBrokenCertificates(t *testing.T) {
	a := fake.NewAuthority(t)
	good, other := a.Issue("cancello", "127.0.0.1"), a.Issue("cancello", "127.0.0.1")
	half := func(p []byte) []byte { return p[:len(p)/2] }
	broken := []struct {
		name          string
		cert, key, ca []byte // nil: the good one
		want          string // what is named
	}{
		{"a certificate of garbage", []byte("garbage\x00\xff"), nil, nil, "client_tls_cert_file"},
		{"an empty certificate", []byte{}, nil, nil, "client_tls_cert_file"},
		{"half a certificate", half(good.PEM), nil, nil, "client_tls_cert_file"},
		{"a certificate that isn't one", bytes.Replace(good.PEM, []byte("\nMII"), []byte("\nAAA"), 1), nil, nil, "client_tls_cert_file"},
		{"a key in its place", good.KeyPEM, nil, nil, "client_tls_cert_file"},
		{"a key of garbage", nil, []byte("garbage"), nil, "client_tls_key_file"},
		{"an empty key", nil, []byte{}, nil, "client_tls_key_file"},
		{"half a key", nil, half(good.KeyPEM), nil, "client_tls_key_file"},
		{"another one's key", nil, other.KeyPEM, nil, "client_tls_key_file"},
		{"a certificate in its place", nil, good.PEM, nil, "client_tls_key_file"},
		{"a key with a password", nil, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("who knows what this is")}), nil, "client_tls_key_file"},
		{"roots of garbage", nil, nil, []byte("garbage"), "client_tls_ca_file"},
		{"empty roots", nil, nil, []byte{}, "client_tls_ca_file"},
		{"half a root", nil, nil, half(a.PEM), "client_tls_ca_file"},
		{"a key for a root", nil, nil, good.KeyPEM, "client_tls_ca_file"},
	}
	dir := t.TempDir()
	certFile, keyFile, caFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	write := func(cert, key, ca []byte) {
		t.Helper()
		for path, pair := range map[string][2][]byte{certFile: {cert, good.PEM}, keyFile: {key, good.KeyPEM}, caFile: {ca, a.PEM}} {
			content := pair[0]
			if content == nil {
				content = pair[1]
			}
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := pgtest.Start(t, 18)
	o := gateOptions{
		upstreams: []string{upstream(c, "postgres", "postgres")},
		set:       []string{"client_tls_sslmode=verify-ca", "client_tls_cert_file=" + certFile, "client_tls_key_file=" + keyFile, "client_tls_ca_file=" + caFile},
	}
	write(nil, nil, nil)
	g := startGate(t, o)
	ours := a.Issue("postgres")
	works := func() {
		t.Helper()
		out := pgtest.PSQL(t, pgtest.SystemLibpq, "-d", over(g.address, "verify-full", "sslrootcert="+a.File, "sslcert="+ours.File, "sslkey="+ours.KeyFile), "-Atc", "SELECT 1")
		if out.Code != 0 {
			t.Errorf("the gate that ran is of no use any more: %s", out.Stderr)
		}
	}
	works()
	for _, b := range broken {
		t.Run(b.name, func(t *testing.T) {
			write(b.cert, b.key, b.ca)
			refused := func(text string) {
				t.Helper()
				if !strings.Contains(text, b.want) || !strings.Contains(text, dir) {
					t.Errorf("%q does not name %s and its file", text, b.want)
				}
				if holdsKey(text, good.KeyPEM, other.KeyPEM) {
					t.Errorf("%q tells of a key", text)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			out, err := exec.CommandContext(ctx, program(t), o.args()...).CombinedOutput()
			if err == nil || ctx.Err() != nil {
				t.Fatalf("serve takes it: %v, %s", err, out)
			}
			refused(string(out))
			before := strings.Count(g.Log(), "reload refused")
			if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			until(t, "the refusal of the reload", func() bool { return strings.Count(g.Log(), "reload refused") > before })
			lines := strings.Split(strings.TrimSpace(g.Log()), "\n")
			for _, line := range lines {
				if strings.Contains(line, "reload refused") {
					out = []byte(line)
				}
			}
			refused(string(out))
		})
	}
	works()
	write(nil, nil, nil)
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	g.AwaitLog("msg=reloaded|nothing has changed|msg=\"reloaded")
	works()
}

// holdsKey tells whether a text has a line of a key in it.
func holdsKey(text string, keys ...[]byte) bool {
	for _, k := range keys {
		for _, line := range bytes.Split(k, []byte("\n")) {
			if len(line) > 30 && strings.Contains(text, string(line)) {
				return true
			}
		}
	}
	return false
}
