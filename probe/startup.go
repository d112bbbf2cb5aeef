package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// startupCases are the cases of the group Startup.
func startupCases() []Case {
	return []Case{
		{
			ID: "startup.order", Group: GroupStartup,
			Title:    "The messages of a login come in the order that the protocol gives.",
			Source:   "PostgreSQL documentation, protocol-flow-start-up; postgres.c, PostgresMain",
			Expected: "authentication, AuthenticationOk, ParameterStatus messages, BackendKeyData if there is one, ReadyForQuery, and nothing else but notices",
			Means:    "Drivers read the login as a fixed sequence. What is out of place makes some of them fail to connect, others lose what they did not expect.",
			Run:      startupOrder,
		},
		{
			ID: "startup.key", Group: GroupStartup,
			Title:    "BackendKeyData comes once, before the first ReadyForQuery.",
			Source:   "PostgreSQL documentation, protocol-flow-start-up and protocol-message-formats-BackendKeyData; optional in practice since commit a4801eb691",
			Expected: "one BackendKeyData between AuthenticationOk and ReadyForQuery",
			Means:    "Without a key nobody can cancel a query: libpq up to 17 sends zeros, libpq 18 says that no key was received, others drop the connection. With two, drivers don't agree which one counts.",
			Run:      startupKey,
		},
		{
			ID: "startup.ready", Group: GroupStartup,
			Title:    "ReadyForQuery ends the login, says that no transaction is open, and nothing follows it unasked.",
			Source:   "PostgreSQL documentation, protocol-flow-start-up and protocol-message-formats-ReadyForQuery",
			Expected: "one ReadyForQuery with status 'I', then silence but for asynchronous messages",
			Means:    "Without it clients wait for ever. A message that nobody asked for is taken for the answer to the first query, and every answer after it is off by one.",
			Run:      startupReady,
		},
		{
			ID: "startup.parameters", Group: GroupStartup,
			Title:    "ParameterStatus reports all parameters that drivers rely on.",
			Source:   "PostgreSQL documentation, protocol-async (the list of reported parameters by version)",
			Expected: "every parameter that PostgreSQL of this version reports; without a version, that PostgreSQL 13 reports",
			Means:    "Drivers read server_version, client_encoding, DateStyle and standard_conforming_strings from here to encode and quote. Without them they refuse to connect, or get dates and strings wrong.",
			Run:      startupParameters,
		},
		{
			ID: "startup.unknown-parameter", Group: GroupStartup,
			Title:    "A startup parameter that does not exist is refused with an error.",
			Source:   "PostgreSQL documentation, protocol-message-formats-StartupMessage; guc.c, SQLSTATE 42704",
			Expected: "ErrorResponse 42704, unrecognized configuration parameter",
			Means:    "A parameter that is dropped in silence is a setting that the application believes it has.",
			Run:      startupUnknown,
		},
		{
			ID: "startup.garbage", Group: GroupStartup,
			Title:    "What is no startup packet ends the connection.",
			Source:   "backend_startup.c, ProcessStartupPacket: a length above MAX_STARTUP_PACKET_LENGTH is refused",
			Expected: "the connection is closed, with an error or without",
			Means:    "A scanner or a lost HTTP client holds a connection slot for as long as it likes.",
			Run:      startupGarbage,
		},
	}
}

// unable is the verdict where the login that a case builds on doesn't succeed.
func unable(err error) Result { return Conclude(Unknown, "%s", failure(err)) }

func startupOrder(ctx context.Context, b *Bench) Result {
	s, err := b.Login(ctx, LoginOptions{})
	if err != nil {
		return Conclude(Fail, "%s", failure(err))
	}
	authenticated, keyAt, last := false, -1, -1
	for i, m := range s.Login {
		switch {
		case m.Type == 'N':
			continue
		case !authenticated && m.Type == 'R':
			authenticated = len(m.Body) == 4 && allZero(m.Body)
		case !authenticated && m.Type == 'v':
		case !authenticated:
			return Conclude(Fail, "%s comes before AuthenticationOk", name(m))
		case m.Type == 'S':
			last = i
		case m.Type == 'K':
			keyAt = i
		case m.Type == 'Z':
		default:
			return Conclude(Fail, "%s comes between AuthenticationOk and ReadyForQuery", name(m))
		}
	}
	if keyAt >= 0 && keyAt < last {
		return Result{
			Verdict: Differs, Seen: "BackendKeyData comes before the last ParameterStatus; PostgreSQL sends it behind them",
			Means: "libpq and the drivers we know take it anywhere between AuthenticationOk and ReadyForQuery.",
		}
	}
	return Conclude(Pass, "the messages come in PostgreSQL's order")
}

// name is a message of the server's in words.
func name(m Message) string {
	_, text := describeReceived(Frame(m.Type, m.Body))
	first, _, _ := strings.Cut(text, " ")
	if first == "a" {
		return text
	}
	return first
}

func startupKey(ctx context.Context, b *Bench) Result {
	s, err := b.Login(ctx, LoginOptions{})
	if err != nil {
		return Conclude(Unknown, "%s", failure(err))
	}
	switch {
	case s.Keys > 1:
		return Conclude(Fail, "BackendKeyData comes %d times", s.Keys)
	case s.Keys == 1 && len(s.Key) == 0:
		return Conclude(Fail, "BackendKeyData comes without a key: libpq refuses such a login")
	}
	m, err := s.ReadWithin(b.Quiet)
	if err == nil && m.Type == 'K' {
		return Conclude(Fail, "BackendKeyData comes behind ReadyForQuery, where few drivers look for it")
	}
	if s.Keys == 0 {
		return Conclude(Differs, "no BackendKeyData: PostgreSQL always sends it, and since 18 its documents allow others not to")
	}
	return Conclude(Pass, "BackendKeyData comes once, before ReadyForQuery")
}

func startupReady(ctx context.Context, b *Bench) Result {
	s, err := b.Login(ctx, LoginOptions{})
	if err != nil {
		return Conclude(Fail, "%s", failure(err))
	}
	if s.Status != 'I' {
		return Conclude(Fail, "ReadyForQuery says %q, with no transaction begun", s.Status)
	}
	for {
		m, err := s.ReadWithin(b.Quiet)
		switch {
		case timedOut(err):
			return Conclude(Pass, "ReadyForQuery 'I', then silence")
		case err != nil:
			return Conclude(Fail, "behind ReadyForQuery: %s", mute(err))
		case !strings.ContainsRune("SNAK", rune(m.Type)): // a late key is for startup.key
			return Conclude(Fail, "%s comes behind ReadyForQuery, unasked", name(m))
		}
	}
}

// reported are the parameters that PostgreSQL reports, and since which version.
var reported = []struct {
	name  string
	since int
	vital bool // drivers fail without it
}{
	{"server_version", 0, true},
	{"client_encoding", 0, true},
	{"DateStyle", 0, true},
	{"standard_conforming_strings", 0, true},
	{"integer_datetimes", 0, true},
	{"server_encoding", 0, false},
	{"TimeZone", 0, false},
	{"IntervalStyle", 0, false},
	{"application_name", 0, false},
	{"is_superuser", 0, false},
	{"session_authorization", 0, false},
	{"default_transaction_read_only", 14, false},
	{"in_hot_standby", 14, false},
	{"scram_iterations", 16, false},
	{"search_path", 18, false},
}

func startupParameters(ctx context.Context, b *Bench) Result {
	s, err := b.Login(ctx, LoginOptions{})
	if err != nil {
		return unable(err)
	}
	var vital, other []string
	version := major(s.Params["server_version"])
	for _, p := range reported {
		if _, ok := s.Params[p.name]; ok || p.since > version {
			continue
		}
		if p.vital {
			vital = append(vital, p.name)
		} else {
			other = append(other, p.name)
		}
	}
	said := "the server does not say which version it is"
	if version > 0 {
		said = fmt.Sprintf("the server says it is version %d", version)
	}
	switch {
	case len(vital) > 0:
		return Conclude(Fail, "not reported, and drivers need it: %s", strings.Join(append(vital, other...), ", "))
	case len(other) > 0:
		r := Conclude(Differs, "%s; not reported: %s", said, strings.Join(other, ", "))
		r.Means = "Drivers connect. What reads these from the connection, such as a prompt, a health check or a client that looks for a standby, must ask by SQL."
		return r
	}
	return Conclude(Pass, "%s; all that PostgreSQL reports is reported", said)
}

func startupUnknown(ctx context.Context, b *Bench) Result {
	if _, err := b.Login(ctx, LoginOptions{}); err != nil {
		return unable(err)
	}
	_, err := b.Login(ctx, LoginOptions{Params: []Param{{"cancello_check_unknown", "1"}}})
	var refusal *ServerError
	switch {
	case err == nil:
		return Conclude(Differs, "the login succeeds: the parameter is dropped in silence")
	case errors.As(err, &refusal) && refusal.Code == "42704":
		return Conclude(Pass, "refused: %s", refusal.Code)
	case errors.As(err, &refusal):
		r := Conclude(Differs, "refused with another code: %s", refusal)
		r.Means = "The mistake is seen; a client that tells errors by code takes it for another."
		return r
	}
	return Conclude(Fail, "%s", failure(err))
}

func startupGarbage(ctx context.Context, b *Bench) Result {
	if _, err := b.Login(ctx, LoginOptions{}); err != nil {
		return unable(err)
	}
	c, err := b.DialPlain(ctx)
	if err != nil {
		return Conclude(Unknown, "no connection: %v", err)
	}
	if err := c.Send([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		return Conclude(Unknown, "nothing could be sent: %v", err)
	}
	if end := c.AwaitEnd(b.Patience); end.How == Open {
		return Conclude(Fail, "the connection is still open after %s", b.Patience)
	}
	return Conclude(Pass, "the connection is ended")
}
