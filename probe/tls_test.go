package probe

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"cancello/internal/pgtest"
	"cancello/probe/fake"
)

// cluster is a PostgreSQL of pgtest's.
type cluster interface {
	DataDir() string
	SocketDSN(user, database string) string
}

// withCertificate gives a running cluster TLS, and returns the file of its certificate.
func withCertificate(t *testing.T, c cluster) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(c.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	for name, block := range map[string]*pem.Block{
		"server.crt": {Type: "CERTIFICATE", Bytes: der}, "server.key": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		path := filepath.Join(c.DataDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	own := filepath.Join(t.TempDir(), "root.crt")
	if err := os.WriteFile(own, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	out := pgtest.PSQL(t, 18, "-At", "-d", c.SocketDSN("postgres", "postgres"),
		"-c", "CREATE ROLE ann LOGIN PASSWORD 'secret1'", "-c", "ALTER SYSTEM SET ssl = on", "-c", "SELECT pg_reload_conf()")
	if out.Code != 0 {
		t.Fatal(out.Stderr)
	}
	return own
}

// TestPostgreSQLOverTLS: with sslmode in the connection string everything runs over TLS, whichever way it begins, the
// certificate is verified where that is asked for, and SCRAM is bound to the channel.
func TestPostgreSQLOverTLS(t *testing.T) {
	c := pgtest.Start(t, 18, pgtest.HBA("local all all trust\nhostssl all all all scram-sha-256\n"))
	root := withCertificate(t, c)
	base := "postgres://ann:secret1@" + c.Addr() + "/postgres?sslrootcert=" + root
	ready := targetOf(t, base+"&sslmode=verify-full")
	for begin := time.Now(); ready.reach(context.Background(), patient) != nil; {
		if time.Since(begin) > patient.Patience {
			t.Fatal(ready.reach(context.Background(), patient))
		}
	}
	for _, dsn := range []string{base + "&sslmode=verify-full&channel_binding=require", base + "&sslmode=require&sslnegotiation=direct"} {
		r, err := run(context.Background(), firstCases(), targetOf(t, dsn), Options{Patience: patient.Patience}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Findings {
			// The rules refuse sessions in clear: that is what encryption.gssencrequest meets, unless it keeps out of it.
			if f.Verdict != Pass {
				t.Errorf("%s: %s: %s\n%s", f.ID, f.Verdict, f.Seen, lines(f.Evidence))
			}
		}
		if !r.About.TLS {
			t.Errorf("%s: not over TLS", dsn)
		}
	}
	stranger := targetOf(t, "postgres://ann:secret1@"+c.Addr()+"/postgres?sslmode=verify-full")
	if err := stranger.reach(context.Background(), patient); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
}

// TestPrefer: sslmode=prefer takes TLS where it is, and does without where it is not.
func TestPrefer(t *testing.T) {
	for _, secure := range []bool{true, false} {
		s := fake.Start(t, fake.Knobs{Encryption: fake.EncryptionKnobs{TLS: secure}})
		target := targetOf(t, strings.Replace(s.DSN(), "disable", "prefer", 1))
		if err := target.reach(context.Background(), patient); err != nil || target.About.TLS != secure {
			t.Errorf("TLS %t: %v, %+v", secure, err, target.About)
		}
	}
}
