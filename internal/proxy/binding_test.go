package proxy

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"cancello/internal/auth"
	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/pgtest/fake"
)

// selfSigned writes a certificate of an algorithm, with its key, and gives the paths.
func selfSigned(t *testing.T, algorithm x509.SignatureAlgorithm, subject pkix.Name) (cert, key string) {
	t.Helper()
	var signer crypto.Signer
	var err error
	switch algorithm {
	case x509.PureEd25519:
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	case x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		signer, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: subject, SignatureAlgorithm: algorithm,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// secretsOf is the TLS of a Proxy that shows clients a certificate.
func secretsOf(t *testing.T, mode config.SSLMode, cert, key, ca string) *TLS {
	t.Helper()
	c := newConfig()
	c.TLS.Client = config.ClientTLS{Mode: mode, Cert: cert, Key: key, CA: ca}
	secrets, err := LoadTLS(c)
	if err != nil {
		t.Fatal(err)
	}
	return secrets
}

// connect logs in with pgx over TLS, looking at no certificate; edit may change how.
func connect(t *testing.T, w *world, user, password, params string, edit func(*tls.Config)) error {
	t.Helper()
	c, err := pgconn.ParseConfig("postgres://" + user + ":" + password + "@" + w.addr() + "/db?sslmode=require&" + params)
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(c.TLSConfig)
	}
	ctx, cancel := context.WithTimeout(t.Context(), fake.Patience)
	defer cancel()
	conn, err := pgconn.ConnectConfig(ctx, c)
	if err == nil {
		conn.Conn().Close()
	}
	return err
}

// pgx, which hashes the certificate that it was shown, is a witness of our hash of it, for each signature that has one.
func TestEndpointBySignature(t *testing.T) {
	for _, tt := range []struct {
		algorithm x509.SignatureAlgorithm
		bound     bool
	}{
		{x509.SHA256WithRSA, true}, {x509.SHA384WithRSA, true}, {x509.SHA512WithRSA, true},
		{x509.SHA256WithRSAPSS, true}, {x509.SHA384WithRSAPSS, true}, {x509.SHA512WithRSAPSS, true},
		{x509.ECDSAWithSHA256, true}, {x509.ECDSAWithSHA384, true}, {x509.ECDSAWithSHA512, true},
		{x509.PureEd25519, false},
	} {
		t.Run(tt.algorithm.String(), func(t *testing.T) {
			cert, key := selfSigned(t, tt.algorithm, pkix.Name{CommonName: "gate"})
			secrets := secretsOf(t, config.SSLRequire, cert, key, "")
			w := start(t, newScript(), withVerifier(auth.SCRAM, testUserlist), func(s *Settings) { s.TLS = secrets })
			if err := connect(t, w, "ann", "secret", "channel_binding=require", nil); (err == nil) != tt.bound {
				t.Errorf("bound: %v, want %v", err, tt.bound)
			}
			if err := connect(t, w, "ann", "secret", "channel_binding=disable", nil); err != nil {
				t.Errorf("not bound: %v", err)
			}
			if err := connect(t, w, "ann", "secret", "", nil); err != nil {
				t.Errorf("as it comes: %v", err)
			}
		})
	}
}

// Broken hashes are replaced by SHA-256, which Go doesn't sign with any more.
func TestEndpointOfOldSignatures(t *testing.T) {
	raw := []byte("a certificate")
	want := endpoint(&x509.Certificate{Raw: raw, SignatureAlgorithm: x509.SHA256WithRSA})
	for _, old := range []x509.SignatureAlgorithm{x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1} {
		if got := endpoint(&x509.Certificate{Raw: raw, SignatureAlgorithm: old}); string(got) != string(want) {
			t.Errorf("%v: %x, want %x", old, got, want)
		}
	}
	if endpoint(&x509.Certificate{Raw: raw}) != nil {
		t.Error("a signature that nobody knows has a hash")
	}
}

// A login is bound to the certificate that was served on its connection, also when another one has come since.
func TestBindingDuringReload(t *testing.T) {
	cert, key := selfSigned(t, x509.ECDSAWithSHA256, pkix.Name{CommonName: "old"})
	old := secretsOf(t, config.SSLRequire, cert, key, "")
	cert, key = selfSigned(t, x509.SHA384WithRSA, pkix.Name{CommonName: "new"})
	next := secretsOf(t, config.SSLRequire, cert, key, "")
	w := start(t, newScript(), withVerifier(auth.SCRAM, testUserlist), func(s *Settings) { s.TLS = old })
	served := ""
	reload := func(c *tls.Config) {
		c.VerifyConnection = func(cs tls.ConnectionState) error {
			served = cs.PeerCertificates[0].Subject.CommonName
			w.UseTLS(next)
			return nil
		}
	}
	for _, want := range []string{"old", "new"} {
		if err := connect(t, w, "ann", "secret", "channel_binding=require", reload); err != nil || served != want {
			t.Errorf("%s was served, want %s: %v", served, want, err)
		}
	}
}

// The common name of the certificate must be the user, and there must be one.
func TestCertificateLogin(t *testing.T) {
	twice := pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
		{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "bob"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "ann"},
	}}
	for _, tt := range []struct {
		name    string
		subject pkix.Name
		code    string // empty: let in
	}{
		{"ann's", pkix.Name{CommonName: "ann", Organization: []string{"bob"}}, ""},
		{"bob's", pkix.Name{CommonName: "bob", Organization: []string{"ann"}}, "28000"},
		{"of two", twice, "28000"},
		{"nobody's", pkix.Name{Organization: []string{"ann"}}, "28000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			theirs, theirKey := selfSigned(t, x509.ECDSAWithSHA256, tt.subject)
			pair, err := tls.LoadX509KeyPair(theirs, theirKey)
			if err != nil {
				t.Fatal(err)
			}
			cert, key := selfSigned(t, x509.ECDSAWithSHA256, pkix.Name{CommonName: "gate"})
			secrets := secretsOf(t, config.SSLVerifyFull, cert, key, theirs)
			w := start(t, newScript(), withVerifier(auth.Cert, ""), func(s *Settings) { s.TLS = secrets })
			err = connect(t, w, "ann", "", "", func(c *tls.Config) { c.Certificates = []tls.Certificate{pair} })
			if tt.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var said *pgconn.PgError
			if !errors.As(err, &said) || said.Code != tt.code {
				t.Errorf("%v, want %s", err, tt.code)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if last, ok := w.events[len(w.events)-1].(event.LoginRefused); !ok || !strings.Contains(last.Reason, "certificate") {
				t.Errorf("%+v", w.events)
			}
		})
	}
}
