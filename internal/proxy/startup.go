package proxy

import (
	"io"

	"cancello/internal/wire"
)

// startup reads packets up to the one that says what the client wants. Inside TLS that was begun without asking both
// SSLRequest and GSSENCRequest are declined (CVE-2026-14681).
func (v *visit) startup() (wire.Startup, error) {
	if err := v.directTLS(); err != nil {
		return wire.Startup{}, err
	}
	for {
		s, err := v.packet()
		if err != nil {
			return s, err
		}
		switch v.opening.answer(s, v.offersTLS()) {
		case settled:
			return s, nil
		case encrypt:
			err = v.requestedTLS()
		default:
			_, err = v.nc.Write(declined)
		}
		if err != nil {
			return s, err
		}
	}
}

// declined answers an SSLRequest or a GSSENCRequest.
var declined = []byte{'N'}

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
