package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"

	"cancello/internal/config"
)

// alpn is PostgreSQL's name in ALPN (PG_ALPN_PROTOCOL in pqcomm.h).
const alpn = "postgresql"

// TLS is what connections are encrypted with: certificates, keys and roots as they stood in their files at one moment.
// It doesn't change. Connections keep what they began with.
type TLS struct {
	mode    config.SSLMode // client_tls_sslmode
	clients *tls.Config    // nil: not offered
	bound   []byte         // the endpoint of the certificate in clients; nil: it has none
	servers map[string]*serverTLS
}

// serverTLS is how the servers of one database entry are spoken to.
type serverTLS struct {
	mode    config.SSLMode
	binding config.ChannelBinding
	direct  bool
	config  *tls.Config // nil with disable; without what depends on the host
	verify  *verifier   // nil: nothing is verified
}

// to is how one host is spoken to.
func (s *serverTLS) to(host string) *tls.Config {
	c := s.config.Clone()
	c.ServerName = host
	if s.verify != nil {
		v := *s.verify
		v.name = host
		c.VerifyConnection = v.verify
	}
	return c
}

// LoadTLS reads the files that c names. The error says which setting and which file, and holds nothing of a key.
func LoadTLS(c *config.Config) (*TLS, error) {
	t := &TLS{mode: c.TLS.Client.Mode, servers: map[string]*serverTLS{}}
	if t.mode > config.SSLDisable {
		var err error
		if t.clients, err = clientConfig(c.TLS.Client, minVersion(c)); err != nil {
			return nil, err
		}
		t.bound = endpoint(t.clients.Certificates[0].Leaf)
	}
	for _, d := range c.Databases {
		s, err := newServerTLS(c.ServerTLS(d), d, minVersion(c))
		if err != nil {
			return nil, fmt.Errorf("database %q: %w", d.Name, err)
		}
		t.servers[d.Name] = s
	}
	return t, nil
}

// with is t and what only old knows.
func (t *TLS) with(old *TLS) *TLS {
	all := maps.Clone(old.servers)
	if all == nil {
		all = map[string]*serverTLS{}
	}
	maps.Copy(all, t.servers)
	return &TLS{mode: t.mode, clients: t.clients, bound: t.bound, servers: all}
}

// requires says whether clients must use TLS.
func (t *TLS) requires() bool { return t.mode >= config.SSLRequire }

// server is how the servers of a database's entry are spoken to; nil in clear. ok is false when there is no such entry:
// then nobody knows how.
func (t *TLS) server(entry string) (s *serverTLS, ok bool) {
	if t.servers == nil {
		return nil, true
	}
	s, ok = t.servers[entry]
	return s, ok
}

func minVersion(c *config.Config) uint16 {
	if c.TLS.Min == config.TLS13 {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

// clientConfig is for the server's side, ours, of connections from clients. There are no session tickets, as in
// PostgreSQL: a resumed session would outlive the certificates it was made with.
func clientConfig(c config.ClientTLS, version uint16) (*tls.Config, error) {
	pair, err := keyPair("client_tls_cert_file", c.Cert, "client_tls_key_file", c.Key)
	if err != nil {
		return nil, err
	}
	t := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: version, NextProtos: []string{alpn}, SessionTicketsDisabled: true}
	if c.Mode >= config.SSLVerifyCA {
		t.ClientAuth = tls.RequireAndVerifyClientCert
		if t.ClientCAs, err = roots("client_tls_ca_file", c.CA); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// newServerTLS is for the client's side, ours, of connections to servers. A folder of Unix sockets is spoken to in
// clear, whatever the mode, as libpq does.
func newServerTLS(c config.ServerTLS, d config.Database, version uint16) (*serverTLS, error) {
	s := &serverTLS{mode: c.Mode, binding: d.Binding(), direct: d.Direct()}
	if c.Mode == config.SSLDisable {
		return s, nil
	}
	v := verifier{full: c.Mode == config.SSLVerifyFull}
	if c.CA != "" && c.CA != config.SystemRoots {
		var err error
		if v.roots, err = roots("sslrootcert (server_tls_ca_file)", c.CA); err != nil {
			return nil, err
		}
	}
	s.config = &tls.Config{
		MinVersion: version, NextProtos: []string{alpn},
		InsecureSkipVerify: true, // the verifier does it, in libpq's way, or nobody was asked to
	}
	if c.CA != "" {
		s.verify = &v
	}
	if c.Cert != "" {
		pair, err := keyPair("sslcert (server_tls_cert_file)", c.Cert, "sslkey (server_tls_key_file)", c.Key)
		if err != nil {
			return nil, err
		}
		s.config.Certificates = []tls.Certificate{pair}
	}
	return s, nil
}

// keyPair reads a certificate and its key. A file that cannot be read is named alone: with both, nobody knows which it is.
func keyPair(certSetting, cert, keySetting, key string) (tls.Certificate, error) {
	chain, err := os.ReadFile(cert)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s = %q: %w", certSetting, cert, fileReason(err))
	}
	secret, err := os.ReadFile(key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s = %q: %w", keySetting, key, fileReason(err))
	}
	pair, err := tls.X509KeyPair(chain, secret)
	if err != nil {
		return pair, fmt.Errorf("%s = %q, %s = %q: %w", certSetting, cert, keySetting, key, err)
	}
	return pair, nil
}

func roots(setting, path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s = %q: %w", setting, path, fileReason(err))
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s = %q: there is no certificate in it: give a PEM file", setting, path)
	}
	return pool, nil
}

// fileReason leaves the path out, which the caller names.
func fileReason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("cannot be read: %w", p.Err)
	}
	return err
}

// unverified: the certificate of a server is not what was asked for.
type unverified struct{ reason string }

func (u *unverified) Error() string { return u.reason }

// verifier judges servers' certificates as libpq does: the chain wherever there are roots, the name with verify-full.
type verifier struct {
	roots *x509.CertPool // nil: the operating system's
	name  string
	full  bool
}

func (v verifier) verify(cs tls.ConnectionState) error {
	leaf := cs.PeerCertificates[0]
	between := x509.NewCertPool()
	for _, c := range cs.PeerCertificates[1:] {
		between.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: v.roots, Intermediates: between}); err != nil {
		return &unverified{fmt.Sprintf("its certificate cannot be trusted: %v", err)}
	}
	if v.full && !v.named(leaf) {
		return &unverified{fmt.Sprintf("its certificate is not for %q", v.name)}
	}
	return nil
}

// named says whether the certificate is for the host. One without alternative names at all may have it as its common
// name, which Go left behind and libpq still takes (pq_verify_peer_name_matches_certificate in fe-secure-common.c).
func (v verifier) named(leaf *x509.Certificate) bool {
	if len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 && leaf.Subject.CommonName != "" {
		if net.ParseIP(v.name) != nil {
			return leaf.Subject.CommonName == v.name
		}
		old := *leaf
		old.DNSNames = []string{leaf.Subject.CommonName}
		leaf = &old
	}
	return leaf.VerifyHostname(v.name) == nil
}
