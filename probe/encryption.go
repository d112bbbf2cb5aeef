package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
)

const sslSource = "PostgreSQL documentation, protocol-flow-ssl; backend_startup.c, ProcessSSLStartup"

// encryptionCases are the cases of the group Encryption.
func encryptionCases() []Case {
	return []Case{
		{
			ID: "encryption.sslrequest", Group: GroupEncryption, Source: sslSource,
			Title:    "SSLRequest is answered with one byte, and the login goes on: over TLS after 'S', in clear after 'N'.",
			Expected: "'S' and TLS, or 'N' and the same connection goes on",
			Means:    "libpq's default, sslmode=prefer, begins with SSLRequest: such clients cannot connect. An error text before TLS is not shown to users since CVE-2024-10977.",
			Run:      encryptionSSL,
		},
		{
			ID: "encryption.sslrequest-twice", Group: GroupEncryption,
			Source:   sslSource + "; commit b63f25bddf (CVE-2026-6479)",
			Title:    "A second SSLRequest is not granted.",
			Expected: "an error, or the end of the connection",
			Means:    "TLS inside TLS, or requests without an end, cost the server stack and time that nobody has logged in for.",
			Run:      encryptionTwice,
		},
		{
			ID: "encryption.smuggled", Group: GroupEncryption,
			Source:   sslSource + "; CVE-2021-23214",
			Title:    "Bytes in clear behind SSLRequest are not taken as if they came over TLS.",
			Expected: "the connection is ended",
			Means:    "Somebody in the middle can put a query of his own before those of a client that verified the certificate.",
			Run:      encryptionSmuggled,
		},
		{
			ID: "encryption.direct", Group: GroupEncryption,
			Source:   sslSource + " (direct SSL, PostgreSQL 17)",
			Title:    "TLS can begin at once, with the ALPN name postgresql.",
			Expected: "a handshake that agrees on postgresql, and a login",
			Means:    "sslnegotiation=direct of libpq 17 and later does not work; nor do TLS routers that look at the ALPN name.",
			Run:      encryptionDirect,
		},
		{
			ID: "encryption.direct-no-alpn", Group: GroupEncryption,
			Source:   sslSource + ": \"ALPN is mandatory\" for direct connections",
			Title:    "TLS that begins at once without an ALPN name is refused.",
			Expected: "the connection is ended before the login",
			Means:    "A browser can be made to send a request of another protocol to the server (ALPACA), and its TLS does not protect from that.",
			Run:      func(ctx context.Context, b *Bench) Result { return directRefused(ctx, b, nil) },
		},
		{
			ID: "encryption.direct-wrong-alpn", Group: GroupEncryption,
			Source:   sslSource + "; be-secure-openssl.c, alpn_cb",
			Title:    "TLS that begins at once with a foreign ALPN name is refused.",
			Expected: "the alert no_application_protocol",
			Means:    "A browser can be made to send a request of another protocol to the server (ALPACA), and its TLS does not protect from that.",
			Run:      func(ctx context.Context, b *Bench) Result { return directRefused(ctx, b, []string{"http/1.1"}) },
		},
		{
			ID: "encryption.wrong-alpn", Group: GroupEncryption,
			Source:   "be-secure-openssl.c, alpn_cb (PostgreSQL 17)",
			Title:    "A foreign ALPN name behind SSLRequest is refused.",
			Expected: "the alert no_application_protocol; PostgreSQL up to 16 does not look",
			Means:    "TLS does not protect from being sent requests of another protocol. Behind SSLRequest that takes more than a browser.",
			Run:      encryptionWrongALPN,
		},
		{
			ID: "encryption.gssencrequest", Group: GroupEncryption,
			Source:   "PostgreSQL documentation, protocol-flow-gssapi",
			Title:    "GSSENCRequest is answered with one byte, and after 'N' the login goes on.",
			Expected: "'G', or 'N' and the same connection goes on",
			Means:    "Clients with a Kerberos ticket begin with GSSENCRequest (libpq's gssencmode=prefer), and cannot connect.",
			Run:      encryptionGSS,
		},
		{
			ID: "encryption.gssencrequest-then-ssl", Group: GroupEncryption,
			Source:   "PostgreSQL documentation, protocol-flow-gssapi; libpq fe-connect.c",
			Title:    "After GSSENCRequest and 'N' SSLRequest is answered as ever.",
			Expected: "the answer that SSLRequest gets alone",
			Means:    "Clients with a Kerberos ticket ask for both, one after the other, and end up without TLS or without a connection.",
			Run:      encryptionGSSThenSSL,
		},
	}
}

// askSSL asks once on a connection of its own.
func askSSL(ctx context.Context, b *Bench) (*Conn, byte, error) {
	c, err := b.DialPlain(ctx)
	if err != nil {
		return nil, 0, err
	}
	answer, err := c.AskTLS()
	return c, answer, err
}

// mute words why no byte came.
func mute(err error) string {
	switch {
	case hungUp(err):
		return "the connection is closed without an answer"
	case timedOut(err):
		return "no answer"
	}
	return "the connection ends: " + plainly(err)
}

// loginOver goes on with a login where that gives no password away: what the connection string demands of TLS holds
// for this connection too.
func loginOver(b *Bench, c *Conn, how string) Result {
	if c.State == nil && b.TLS() {
		return Conclude(Pass, "%s; the connection string asks for TLS, so no login is tried in clear", how)
	}
	_, err := b.LoginOn(c, LoginOptions{})
	var refusal *ServerError
	var method *authError
	switch {
	case err == nil:
		return Conclude(Pass, "%s", how)
	case errors.As(err, &refusal) || errors.As(err, &method):
		r := Conclude(Differs, "%s; then %s", how, failure(err))
		r.Means = "The server's rules treat connections with and without TLS differently. That may be meant."
		return r
	}
	return Conclude(Fail, "%s; then %s", how, failure(err))
}

func encryptionSSL(ctx context.Context, b *Bench) Result {
	c, answer, err := askSSL(ctx, b)
	switch {
	case c == nil:
		return Conclude(Unknown, "no connection: %v", err)
	case err != nil:
		return Conclude(Fail, "%s", mute(err))
	case answer == 'N':
		return loginOver(b, c, "'N': no TLS here")
	case answer == 'E':
		return Conclude(Fail, "an ErrorResponse")
	case answer != 'S':
		return Conclude(Fail, "%q", answer)
	}
	if err := c.StartTLS(b.TLSConfig()); err != nil {
		return Conclude(Fail, "'S', and then the TLS handshake fails: %s", plainly(err))
	}
	return loginOver(b, c, "'S', "+tls.VersionName(c.State.Version))
}

// maxAgain is how often SSLRequest is repeated to see an end.
const maxAgain = 20

func encryptionTwice(ctx context.Context, b *Bench) Result {
	c, first, err := askSSL(ctx, b)
	if err != nil {
		return Conclude(Unknown, "the first one: %s", mute(err))
	}
	where := "after 'N'"
	switch first {
	case 'S':
		if err := c.StartTLS(b.TLSConfig()); err != nil {
			return Conclude(Unknown, "the TLS handshake fails: %s", plainly(err))
		}
		where = "inside TLS"
	case 'N':
	default:
		return Conclude(Unknown, "the first one is answered %q", first)
	}
	for again := range maxAgain {
		answer, err := c.AskTLS()
		switch {
		case gone(err), err == nil && answer == 'E':
			if again > 0 {
				return Conclude(Differs, "%s declined with 'N' a few times, then ended", where)
			}
			return Conclude(Pass, "%s it is refused", where)
		case err != nil:
			return Conclude(Fail, "%s no answer, and the connection stays open", where)
		case answer == 'S':
			return Conclude(Fail, "%s it is granted", where)
		case answer != 'N':
			return Conclude(Fail, "%s it is answered %q", where, answer)
		}
	}
	r := Conclude(Differs, "%s it is declined with 'N', %d times and more", where, maxAgain)
	r.Means = "Harmless where time to log in is limited, as it is with PostgreSQL's authentication_timeout."
	return r
}

// withTLS says whether TLS works at all here, or the verdict for a case that is about its faults.
func withTLS(ctx context.Context, b *Bench) *Result {
	c, err := b.DialTLS(ctx, false)
	var r Result
	switch {
	case errors.Is(err, errNoTLS):
		r = Conclude(NotApplicable, "no TLS here")
	case c == nil:
		r = Conclude(Unknown, "no connection: %v", err)
	case err != nil:
		r = Conclude(Unknown, "TLS does not work: %s", mute(err))
	default:
		return nil
	}
	return &r
}

func encryptionSmuggled(ctx context.Context, b *Bench) Result {
	if r := withTLS(ctx, b); r != nil {
		return *r
	}
	c, err := b.DialPlain(ctx)
	if err != nil {
		return Conclude(Unknown, "no connection: %v", err)
	}
	// One write, so that the second packet is there when the first one is read.
	if err := c.Send(append(Request(codeSSL), Startup(V30, b.Params()...)...)); err != nil {
		return Conclude(Unknown, "nothing could be sent: %v", err)
	}
	answer, err := c.ReadByte()
	switch {
	case gone(err):
		return Conclude(Pass, "the connection is ended")
	case err == nil && answer == 'E':
		return Conclude(Pass, "refused with an error")
	case err != nil || answer != 'S':
		return Conclude(Unknown, "SSLRequest is answered otherwise now")
	}
	if err := c.StartTLS(b.TLSConfig()); err != nil {
		if timedOut(err) {
			return Conclude(Differs, "the TLS handshake hangs")
		}
		return Conclude(Pass, "the connection is ended")
	}
	m, err := c.ReadWithin(b.Patience)
	switch {
	case err == nil && m.Type == 'E' && parseError(m.Body).Code == "08P01": // so does PostgreSQL up to 16
		return Conclude(Pass, "the connection is ended, with an error over TLS")
	case err == nil:
		return Conclude(Fail, "the startup packet sent in clear is answered over TLS: %s", name(m))
	case gone(err):
		return Conclude(Pass, "the connection is ended")
	}
	return Conclude(Differs, "they are thrown away in silence")
}

func encryptionDirect(ctx context.Context, b *Bench) Result {
	c, err := b.DialTLS(ctx, true)
	if c == nil {
		return Conclude(Unknown, "no connection: %v", err)
	}
	if err != nil {
		if r := withTLS(ctx, b); r != nil {
			return *r
		}
		if timedOut(err) {
			return Conclude(Fail, "no answer, and the connection stays open")
		}
		return Conclude(Differs, "not spoken here: the handshake fails")
	}
	if got := c.State.NegotiatedProtocol; got != alpn {
		return Conclude(Fail, "the handshake succeeds, and agrees on %q: libpq refuses that", got)
	}
	return loginOver(b, c, fmt.Sprintf("%s with ALPN %s", tls.VersionName(c.State.Version), alpn))
}

// directRefused begins TLS at once with other ALPN names than it should.
func directRefused(ctx context.Context, b *Bench, names []string) Result {
	right, err := b.DialTLS(ctx, true)
	if right == nil {
		return Conclude(Unknown, "no connection: %v", err)
	}
	if err != nil {
		if r := withTLS(ctx, b); r != nil {
			return *r
		}
		return Conclude(NotApplicable, "TLS cannot begin at once here")
	}
	c, err := b.DialPlain(ctx)
	if err != nil {
		return Conclude(Unknown, "no connection: %v", err)
	}
	conf := b.TLSConfig()
	conf.NextProtos = names
	return refusedALPN(b, c, conf)
}

// refusedALPN makes a handshake that should not succeed, and looks whether a login could follow. It gives no password.
func refusedALPN(b *Bench, c *Conn, conf *tls.Config) Result {
	if err := c.StartTLS(conf); err != nil {
		if timedOut(err) {
			return Conclude(Fail, "no answer, and the connection stays open")
		}
		return Conclude(Pass, "refused in the handshake")
	}
	if err := c.Send(Startup(V30, b.Params()...)); err != nil {
		return Conclude(Pass, "refused behind the handshake")
	}
	m, err := c.Read()
	switch {
	case gone(err), err == nil && m.Type == 'E':
		return Conclude(Pass, "refused behind the handshake")
	case err != nil:
		return Conclude(Fail, "no answer, and the connection stays open")
	}
	return Conclude(Fail, "taken: the login goes on with %s", name(m))
}

func encryptionWrongALPN(ctx context.Context, b *Bench) Result {
	if r := withTLS(ctx, b); r != nil {
		return *r
	}
	c, answer, err := askSSL(ctx, b)
	if err != nil || answer != 'S' {
		return Conclude(Unknown, "SSLRequest is answered otherwise now")
	}
	conf := b.TLSConfig()
	conf.NextProtos = []string{"http/1.1"}
	r := refusedALPN(b, c, conf)
	if r.Verdict == Fail && c.State != nil {
		r.Verdict = Differs
	}
	return r
}

// askGSS asks once on a connection of its own.
func askGSS(ctx context.Context, b *Bench) (*Conn, byte, error) {
	c, err := b.DialPlain(ctx)
	if err != nil {
		return nil, 0, err
	}
	if err := c.Send(Request(codeGSS)); err != nil {
		return c, 0, err
	}
	answer, err := c.ReadByte()
	return c, answer, err
}

func encryptionGSS(ctx context.Context, b *Bench) Result {
	c, answer, err := askGSS(ctx, b)
	switch {
	case c == nil:
		return Conclude(Unknown, "no connection: %v", err)
	case err != nil:
		return Conclude(Fail, "%s", mute(err))
	case answer == 'G':
		return Conclude(Pass, "'G'; this check speaks no GSSAPI, so it ends here")
	case answer == 'E':
		return Conclude(Differs, "an ErrorResponse, as before PostgreSQL 12: libpq connects anew")
	case answer != 'N':
		return Conclude(Fail, "%q", answer)
	}
	return loginOver(b, c, "'N'")
}

func encryptionGSSThenSSL(ctx context.Context, b *Bench) Result {
	_, alone, err := askSSL(ctx, b)
	if err != nil {
		return Conclude(Unknown, "SSLRequest alone: %s", mute(err))
	}
	c, answer, err := askGSS(ctx, b)
	switch {
	case err != nil:
		return Conclude(Unknown, "GSSENCRequest: %s", mute(err))
	case answer == 'G':
		return Conclude(NotApplicable, "GSSENCRequest is answered 'G'")
	case answer != 'N':
		return Conclude(NotApplicable, "GSSENCRequest is answered %q", answer)
	}
	behind, err := c.AskTLS()
	switch {
	case err != nil:
		return Conclude(Fail, "SSLRequest alone is answered %q, behind GSSENCRequest: %s", alone, mute(err))
	case behind != alone:
		return Conclude(Fail, "SSLRequest alone is answered %q, behind GSSENCRequest %q", alone, behind)
	case behind == 'S':
		if err := c.StartTLS(b.TLSConfig()); err != nil {
			return Conclude(Fail, "'S', and then the TLS handshake fails: %s", plainly(err))
		}
	}
	return Conclude(Pass, "%q, as alone", behind)
}
