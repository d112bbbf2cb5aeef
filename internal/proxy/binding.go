package proxy

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"

	"cancello/internal/auth"
	"cancello/internal/config"
	"cancello/internal/loop"
)

// endpoint is the hash of a certificate that SCRAM binds to (tls-server-end-point, RFC 5929 section 4.1): by the hash of
// the certificate's own signature, but SHA-256 for those that are broken. Nil for a signature that has no such hash, as
// Ed25519: there the binding is not defined.
func endpoint(c *x509.Certificate) []byte {
	switch c.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.DSAWithSHA256, x509.ECDSAWithSHA256:
		h := sha256.Sum256(c.Raw)
		return h[:]
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		h := sha512.Sum384(c.Raw)
		return h[:]
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		h := sha512.Sum512(c.Raw)
		return h[:]
	}
	return nil
}

// bind tells a login what its connection can be bound to; t is nil in clear.
func bind(l *auth.Login, t *loop.TLS, s *serverTLS) {
	b := auth.BindPrefer
	switch {
	case s == nil:
	case s.binding == config.BindingDisable:
		b = auth.BindDisable
	case s.binding == config.BindingRequire:
		b = auth.BindRequire
	}
	if t == nil {
		l.Bind(b, false, nil)
		return
	}
	l.Bind(b, true, endpoint(t.ConnectionState().PeerCertificates[0]))
}

// commonNames are those of a client's certificate, which the handshake has verified; none without one.
func commonNames(t *loop.TLS) []string {
	if t == nil {
		return nil
	}
	verified := t.ConnectionState().VerifiedChains
	if len(verified) == 0 {
		return nil
	}
	var names []string
	for _, part := range verified[0][0].Subject.Names {
		if text, ok := part.Value.(string); ok && isCommonName(part) {
			names = append(names, text)
		}
	}
	return names
}

func isCommonName(a pkix.AttributeTypeAndValue) bool {
	return a.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3})
}
