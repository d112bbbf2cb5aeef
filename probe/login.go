package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// LoginOptions are how a login differs from a plain one.
type LoginOptions struct {
	Version uint32  // 0: 3.0
	Params  []Param // behind user, database and those of the connection string
	Packet  []byte  // the whole startup packet instead
}

// maxLogin is how many messages a login may have.
const maxLogin = 1000

// Login dials as the connection string says and logs in. The Session is there whenever the connection is, also with
// an error: a *ServerError if the server refused, what Read said if it fell silent, closed or made no sense.
func (b *Bench) Login(ctx context.Context, o LoginOptions) (*Session, error) {
	c, err := b.Dial(ctx)
	if err != nil {
		return &Session{Conn: c, Params: map[string]string{}}, fmt.Errorf("no connection: %w", err)
	}
	return b.LoginOn(c, o)
}

// LoginOn logs in on a connection.
func (b *Bench) LoginOn(c *Conn, o LoginOptions) (*Session, error) {
	if o.Version == 0 {
		o.Version = V30
	}
	s := &Session{Conn: c, Version: o.Version, Params: map[string]string{}}
	packet := o.Packet
	if packet == nil {
		packet = Startup(o.Version, b.Params(o.Params...)...)
	}
	if err := c.Send(packet); err != nil {
		return s, err
	}
	return s, s.login()
}

// Params are the startup parameters of the connection string, and more.
func (b *Bench) Params(more ...Param) []Param {
	config := b.Target.config
	params := []Param{{"user", config.User}}
	if config.Database != "" {
		params = append(params, Param{"database", config.Database})
	}
	var names []string
	for name := range config.RuntimeParams {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		params = append(params, Param{name, config.RuntimeParams[name]})
	}
	return append(params, more...)
}

// login takes the server's part up to ReadyForQuery.
func (s *Session) login() error {
	auth := authentication{s: s}
	for range maxLogin {
		m, err := s.Read()
		if err != nil {
			return err
		}
		s.Login = append(s.Login, m)
		switch m.Type {
		case 'R':
			err = auth.step(m.Body)
		case 'v':
			var n Negotiation
			if n, err = parseNegotiation(m.Body); err == nil {
				s.Negotiations = append(s.Negotiations, n)
			}
		case 'S':
			name, rest, ok := cutString(m.Body)
			value, _, more := cutString(rest)
			if !ok || !more {
				return &malformed{"a ParameterStatus that can't be read"}
			}
			s.Params[name] = value
		case 'K':
			if len(m.Body) < 4 {
				return &malformed{fmt.Sprintf("BackendKeyData with a body of %d bytes", len(m.Body))}
			}
			s.Keys++
			s.PID, s.Key = binary.BigEndian.Uint32(m.Body), m.Body[4:]
		case 'E':
			return parseError(m.Body)
		case 'Z':
			if len(m.Body) != 1 {
				return &malformed{fmt.Sprintf("ReadyForQuery with a body of %d bytes", len(m.Body))}
			}
			if !auth.done {
				return &malformed{"ReadyForQuery before AuthenticationOk"}
			}
			s.Status = m.Body[0]
			s.polite = true
			return nil
		}
		if err != nil {
			return err
		}
	}
	return &malformed{fmt.Sprintf("%d messages and no ReadyForQuery", maxLogin)}
}

// HasKey says whether there is a key to cancel with.
func (s *Session) HasKey() bool { return s.Keys > 0 && len(s.Key) > 0 }

// authError is a way to log in that we can't or may not go.
type authError struct{ what string }

func (e *authError) Error() string { return e.what }

// failure words why a login failed, the same for the same reason.
func failure(err error) string {
	var refusal *ServerError
	var odd *malformed
	switch {
	case err == nil:
		return "the login succeeds"
	case errors.As(err, &refusal):
		return "the login is refused: " + refusal.Error()
	case errors.As(err, &odd):
		return "the login makes no sense: " + odd.what
	case timedOut(err):
		return "the server falls silent during the login"
	case hungUp(err):
		return "the server closes the connection during the login, without a word"
	}
	return "the login fails: " + plainly(err)
}
