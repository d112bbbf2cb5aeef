package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// keyPair is a certificate and its key, PEM, that PostgreSQL and the proxies show.
type keyPair struct{ cert, key []byte }

func selfSigned() (keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return keyPair{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return keyPair{}, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return keyPair{}, err
	}
	return keyPair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}, nil
}

// certificate is a keyPair in files.
type certificate struct{ cert, key string }

// encrypt has the proxies take TLS from clients that want it.
func (s *stage) encrypt(p keyPair) error {
	c := certificate{filepath.Join(s.dir, "server.crt"), filepath.Join(s.dir, "server.key")}
	if err := os.WriteFile(c.cert, p.cert, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(c.key, p.key, 0o600); err != nil {
		return err
	}
	who, err := s.credential()
	if err == nil && who != nil { // we are root, who may read it whosever it is; PgBouncer is not
		err = os.Chown(c.key, int(who.Uid), int(who.Gid))
	}
	s.tls = c
	return err
}
