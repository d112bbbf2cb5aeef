package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"cancello/internal/wire"
)

// maxServerLogin bounds what a server may say before its ReadyForQuery, in bytes. PostgreSQL says less than 1 KB.
const maxServerLogin = 256 << 10

// message reads the next message of the server. Its length is judged before anything is allocated.
func (l *serverLogin) message() (typ byte, body []byte, err error) {
	var head [wire.HeaderLen]byte
	if _, err := io.ReadFull(l.r, head[:]); err != nil {
		return 0, nil, cutOff(err)
	}
	typ, n, err := wire.BackendHeader(head[:])
	if err != nil {
		return 0, nil, err
	}
	if l.read += len(head) + n; l.read > maxServerLogin {
		return 0, nil, fmt.Errorf("it sent more than %d bytes before it was ready", maxServerLogin)
	}
	body = make([]byte, n)
	if _, err := io.ReadFull(l.r, body); err != nil {
		return 0, nil, cutOff(err)
	}
	return typ, body, nil
}

// cutOff words the end of a connection in the middle of a login.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errCutOff
	}
	return err
}

// take acts on one message and says whether the login is over. BackendKeyData may come anywhere behind
// AuthenticationOk, or not at all, with a key of any length that there may be. Of two
// the last one counts.
func (l *serverLogin) take(typ byte, body []byte) (ready bool, err error) {
	switch typ {
	case wire.MsgErrorResponse:
		return false, &refusal{code: string(wire.ErrorField(body, 'C')), message: string(wire.ErrorField(body, 'M'))}
	case wire.MsgNoticeResponse:
		return false, nil
	case wire.MsgNegotiateProtocolVersion:
		return false, l.negotiate(body)
	case wire.MsgAuthentication:
		return false, l.authenticate(body)
	}
	if !l.authOK {
		return false, fmt.Errorf("it sent a message of type %q before AuthenticationOk", typ)
	}
	switch typ {
	case wire.MsgParameterStatus:
		name, value, ok := wire.ParameterStatus(body)
		if !ok {
			return false, errors.New("it sent a ParameterStatus that cannot be read")
		}
		l.info.Params = setParam(l.info.Params, string(name), string(value))
	case wire.MsgBackendKeyData:
		pid, key, ok := wire.BackendKeyData(body)
		if !ok {
			return false, errors.New("it sent a BackendKeyData that cannot be read")
		}
		if n := len(key); n > 0 && (n < minKeyLen || n > maxKeyLen) {
			return false, fmt.Errorf("it sent a cancel key of %d bytes: there are those of %d to %d, and servers without any", n, minKeyLen, maxKeyLen)
		}
		l.backend.pid, l.backend.key = pid, append([]byte(nil), key...)
	case wire.MsgReadyForQuery:
		return true, nil
	default:
		return false, fmt.Errorf("it sent a message of type %q during login", typ)
	}
	return false, nil
}

// negotiate accepts a NegotiateProtocolVersion that says what was asked for or less. It is expected of a server that
// knows nothing newer than 3.0, where 3.2 was asked for; and there are servers that send it when they don't know a startup
// parameter (and some that send the minor alone).
func (l *serverLogin) negotiate(body []byte) error {
	if len(body) < 4 {
		return errors.New("it sent a NegotiateProtocolVersion that cannot be read")
	}
	v := wire.Version(binary.BigEndian.Uint32(body))
	if v < 1<<16 {
		v |= wire.V30
	}
	if v != wire.V30 && v != l.version {
		return fmt.Errorf("it wants protocol %v, and %v was asked for", v, l.version)
	}
	l.renegotiated = l.renegotiated || v == l.version || len(body) >= 8 && binary.BigEndian.Uint32(body[4:]) > 0
	l.version = v
	return nil
}

// authenticate answers one Authentication message.
func (l *serverLogin) authenticate(body []byte) error {
	var send []byte
	step := func() (err error) {
		if send, l.authOK, err = l.auth.Receive(body); err != nil {
			err = &unableError{err}
		}
		return err
	}
	var err error
	if l.auth.Costly(body) {
		err = l.p.gate.through(l.ctx, l.line, func(func(func())) error { return step() })
	} else {
		err = step()
	}
	if err == nil && len(send) > 0 {
		_, err = l.nc.Write(send)
	}
	return err
}
