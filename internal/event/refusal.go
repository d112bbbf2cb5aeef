package event

// LoginRefused: a client was refused, by whoever found it out: it broke the protocol, could not prove who it is, took too
// long, or there was no place for it. Each refused client has one. A connection that just goes away was not refused.
type LoginRefused struct {
	User, Database, Remote string // User and Database are empty where it hadn't said them
	Code                   string // SQLSTATE, as the client was told
	Reason                 string // for people; may say more than the client was told, but no secret
}

// Refusal is why a client was refused, in one word for a metric.
type Refusal uint8

// The refusals.
const (
	RefusedPassword      Refusal = iota // a wrong password or an unknown user
	RefusedAuthorization                // no certificate, no TLS, channel binding
	RefusedProtocol                     // not the protocol, TLS handshakes that failed among it
	RefusedUnsupported                  // a version or a startup parameter that isn't spoken
	RefusedTimeout                      // client_login_timeout
	RefusedLimit                        // of clients, logins, descriptors
	RefusedDatabase                     // there is none of this name
	RefusedShutdown                     // a drain, the end of the process
	RefusedServer                       // no server could be had, or it refused
)

var refusalNames = [...]string{"password", "authorization", "protocol", "unsupported", "timeout", "limit", "database", "shutdown", "server"}

// String is the name used in metrics.
func (r Refusal) String() string { return refusalNames[r] }

// Refusals is how many there are.
const Refusals = len(refusalNames)

// Why is the code in one word. Codes that only servers say, and there are many, are RefusedServer.
func (e LoginRefused) Why() Refusal {
	switch e.Code {
	case "28P01":
		return RefusedPassword
	case "28000":
		return RefusedAuthorization
	case "08P01":
		return RefusedProtocol
	case "0A000":
		return RefusedUnsupported
	case "08004":
		return RefusedTimeout
	case "3D000":
		return RefusedDatabase
	case "57P01", "57P03":
		return RefusedShutdown
	}
	if len(e.Code) == 5 && e.Code[:2] == "53" {
		return RefusedLimit
	}
	return RefusedServer
}
