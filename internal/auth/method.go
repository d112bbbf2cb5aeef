package auth

// Method is how a client proves who it is.
type Method uint8

// The methods. The words of the configuration are those of String.
const (
	// Trust believes the client. No user list is looked at.
	Trust Method = iota
	// Plain asks for the password in clear (AuthenticationCleartextPassword).
	Plain
	// MD5 is PgBouncer's md5: AuthenticationMD5Password, but SCRAM for users of whom there is a SCRAM verifier.
	MD5
	// SCRAM is SCRAM-SHA-256 (RFC 5802, RFC 7677), with channel binding where it is offered (see Exchange.Bind).
	SCRAM
	// Cert is a client certificate whose common name is the user. No user list is looked at.
	Cert
)

// String is the method's word in the configuration.
func (m Method) String() string {
	return [...]string{"trust", "plain", "md5", "scram-sha-256", "cert"}[m]
}
