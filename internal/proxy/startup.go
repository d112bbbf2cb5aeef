package proxy

import (
	"io"

	"cancello/internal/wire"
)

// startup reads packets up to the one that says what the client wants. SSLRequest and GSSENCRequest are answered each
// once, neither after an SSLRequest that was granted; a repeated one is returned, and its code is no version that login
// would take (protocol-flow-ssl, protocol-flow-gssapi; unbounded repeats were CVE-2026-6479). Inside TLS that was begun
// without asking both are declined (CVE-2026-14681).
func (v *visit) startup() (wire.Startup, error) {
	if err := v.directTLS(); err != nil {
		return wire.Startup{}, err
	}
	var ssl, gss bool
	for {
		s, err := v.packet()
		if err != nil {
			return s, err
		}
		switch {
		case s.Kind == wire.SSLRequest && !ssl && v.offersTLS():
			ssl, gss = true, true
			if err := v.requestedTLS(); err != nil {
				return s, err
			}
			continue
		case s.Kind == wire.SSLRequest && !ssl:
			ssl = true
		case s.Kind == wire.GSSENCRequest && !gss:
			gss = true
		default:
			return s, nil
		}
		if _, err := v.nc.Write([]byte{'N'}); err != nil {
			return s, err
		}
	}
}

// packet reads one packet without a type byte.
func (v *visit) packet() (wire.Startup, error) {
	var head [4]byte
	if _, err := io.ReadFull(v.r, head[:]); err != nil {
		return wire.Startup{}, err
	}
	n, err := wire.StartupLen(head[:])
	if err != nil {
		return wire.Startup{}, err
	}
	pkt := make([]byte, n)
	copy(pkt, head[:])
	if _, err := io.ReadFull(v.r, pkt[len(head):]); err != nil {
		return wire.Startup{}, err
	}
	v.asked = pkt
	return wire.ParseStartup(pkt)
}
