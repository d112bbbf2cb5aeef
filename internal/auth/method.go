package auth

// Method is how a client proves who it is.
type Method uint8

// The methods. The words of the configuration are those of String.
const (
	// Trust believes the client. No user list is looked at.
	Trust Method = iota
	// Plain asks for the password in clear (AuthenticationCleartextPassword).
	Plain
	// SCRAM is SCRAM-SHA-256 (RFC 5802, RFC 7677) without channel binding.
	SCRAM
)

// String is the method's word in the configuration.
func (m Method) String() string {
	return [...]string{"trust", "plain", "scram-sha-256"}[m]
}
