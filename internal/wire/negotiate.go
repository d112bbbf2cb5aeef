package wire

import "strings"

// protocolPrefix marks a startup parameter as a protocol extension. Cancello knows none, like every released
// PostgreSQL.
const protocolPrefix = "_pq_."

// Negotiation is what a StartupMessage comes to.
type Negotiation struct {
	// Version is what will be spoken: V30 or V32.
	Version Version
	// Unsupported are the names of the protocol extensions asked for, as given, in order, duplicates kept.
	Unsupported []string
	// Reply says that a NegotiateProtocolVersion goes out before the first Authentication message.
	Reply bool
}

// Negotiate settles the version, as PostgreSQL 18 does: a newer minor gets 3.2 and a NegotiateProtocolVersion, and
// so does any protocol extension. 3.1, which is reserved and was never spoken, is taken for 3.0 without a reply.
// The error is a *VersionError for another major than 3.
func Negotiate(asked Version, params []Param) (Negotiation, error) {
	if asked.Major() != V30.Major() {
		return Negotiation{}, &VersionError{Asked: asked}
	}
	n := Negotiation{Version: V30}
	if asked >= V32 {
		n.Version = V32
	}
	for _, p := range params {
		if strings.HasPrefix(p.Name, protocolPrefix) {
			n.Unsupported = append(n.Unsupported, p.Name)
		}
	}
	n.Reply = asked > V32 || len(n.Unsupported) > 0
	return n, nil
}

// StripProtocolParams returns the parameters without protocol extensions, in a new slice: an extension is between
// a client and Cancello, and no server hears of it.
func StripProtocolParams(params []Param) []Param {
	kept := make([]Param, 0, len(params))
	for _, p := range params {
		if !strings.HasPrefix(p.Name, protocolPrefix) {
			kept = append(kept, p)
		}
	}
	return kept
}
