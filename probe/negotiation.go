package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Names of options that no server knows.
const (
	optionB    = "_pq_.cancello_check_b"
	optionA    = "_pq_.cancello_check_a"
	greaseName = "_pq_.test_protocol_negotiation"
)

const negotiationSource = "PostgreSQL documentation, protocol-message-formats-NegotiateProtocolVersion; backend_startup.c, SendNegotiateProtocolVersion"

// negotiationCases are the cases of the group Negotiation.
func negotiationCases() []Case {
	return append(versionCases(), optionCases()...)
}

// versionCases ask for one version each.
func versionCases() []Case {
	const newer = "Clients that ask for a newer protocol cannot connect, or believe that they speak one that the server does not: libpq 18 with max_protocol_version, libpq 19 beta by default."
	version := func(id, title, expected, means string, judge func(context.Context, *Bench) Result) Case {
		return Case{
			ID: "negotiation." + id, Group: GroupNegotiation, Title: title, Source: negotiationSource,
			Expected: expected, Means: means, Run: judge,
		}
	}
	minor := func(v uint32) func(context.Context, *Bench) Result {
		return func(ctx context.Context, b *Bench) Result { return judgeMinor(ctx, b, v) }
	}
	return []Case{
		version("3-0", "Protocol 3.0 is spoken as asked.", "a login without NegotiateProtocolVersion",
			"Most clients of today speak 3.0. libpq up to 15 and many drivers cannot read NegotiateProtocolVersion.", minor(V30)),
		version("3-1", "Protocol 3.1, which is reserved, does no harm.", "3.0 is spoken, with NegotiateProtocolVersion 3.0 or, as PostgreSQL 18 does, without",
			"3.1 was claimed by old PgBouncer and exists nowhere. No client sends it; a server that hangs on it hangs on other mistakes.", minor(V31)),
		version("3-2", "Protocol 3.2 is spoken, or negotiated down.", "a login, with NegotiateProtocolVersion 3.0 where 3.2 is not known", newer, minor(V32)),
		version("3-3", "Protocol 3.3, which does not exist yet, is negotiated down.", "NegotiateProtocolVersion with 3.0 or 3.2", newer, minor(V33)),
		version("3-9999", "Protocol 3.9999, which never will exist, is negotiated down.", "NegotiateProtocolVersion with 3.0 or 3.2", newer, minor(VGrease)),
		version("4-0", "Protocol 4.0 is refused with an error.", "ErrorResponse 0A000, unsupported frontend protocol",
			"A client of a protocol to come cannot learn that it must fall back.", judge40),
		version("2-0", "Protocol 2.0 is refused with an error that its clients can read.", "'E', a text and a zero byte, without a length",
			"Clients of before 2003 see a lost connection and no reason.", judge20),
	}
}

// optionCases are about _pq_ options and the form of NegotiateProtocolVersion.
func optionCases() []Case {
	return []Case{
		{
			ID: "negotiation.options", Group: GroupNegotiation, Source: negotiationSource,
			Title:    "Protocol options that the server does not know are named in NegotiateProtocolVersion, and the session works.",
			Expected: "NegotiateProtocolVersion 3.0 that names exactly the options asked for",
			Means:    "A client believes that an extension is in force which nobody knows; libpq refuses a server that does not name it, or that names what was not asked for.",
			Run:      negotiationOptions,
		},
		{
			ID: "negotiation.order", Group: GroupNegotiation, Source: negotiationSource,
			Title:    "The options are named in the order they were asked for.",
			Expected: "the order of the startup packet",
			Means:    "Clients should not depend on it, and the ones we know do not.",
			Run:      negotiationOrder,
		},
		{
			ID: "negotiation.duplicates", Group: GroupNegotiation, Source: negotiationSource,
			Title:    "An option that is asked for twice is named twice.",
			Expected: "the option, once for each time",
			Means:    "Clients do not ask twice. What counts is that a login with a repeated option does not fail.",
			Run:      negotiationDuplicates,
		},
		{
			ID: "negotiation.full-version", Group: GroupNegotiation, Source: negotiationSource,
			Title:    "NegotiateProtocolVersion carries the whole version, major and minor.",
			Expected: "0x00030000 or 0x00030002: the documents say \"minor version\", PostgreSQL sends both",
			Means:    "libpq 18 takes a minor number alone for a downgrade to before 3.0 and does not connect.",
			Run:      negotiationFull,
		},
		{
			ID: "negotiation.place", Group: GroupNegotiation, Source: negotiationSource,
			Title:    "NegotiateProtocolVersion comes once, before authentication.",
			Expected: "the first message of the server's, and the only one of its kind",
			Means:    "libpq looks for it only there, and refuses a second one.",
			Run:      negotiationPlace,
		},
		{
			ID: "negotiation.key", Group: GroupNegotiation,
			Source:   "PostgreSQL documentation, protocol-message-formats-BackendKeyData; libpq fe-protocol3.c, getBackendKeyData",
			Title:    "The key has the length of the version that was agreed on.",
			Expected: "4 bytes where 3.0 was agreed on, 4 to 256 where 3.2 was",
			Means:    "libpq 18 refuses a long key at 3.0: whoever asks for 3.2 cannot connect.",
			Run:      negotiationKey,
		},
		{
			ID: "negotiation.grease", Group: GroupNegotiation,
			Source:   "PostgreSQL commit 4966bd3ed9 (libpq 19 beta); https://wiki.postgresql.org/wiki/Grease",
			Title:    "A login as libpq 19 beta makes it by default succeeds: 3.9999 and an option that nobody may know.",
			Expected: "NegotiateProtocolVersion with 3.0 or 3.2 that names " + greaseName,
			Means:    "psql and every program on libpq 19 beta do not connect, unless they are told max_protocol_version=3.0.",
			Run:      negotiationGrease,
		},
	}
}

// Agreed is the version that the session speaks. A minor number alone is taken for what it means.
func (s *Session) Agreed() uint32 {
	if len(s.Negotiations) == 0 {
		if s.Version == V31 {
			return V30 // as PostgreSQL 18 does in silence
		}
		return s.Version
	}
	return whole(s.Negotiations[len(s.Negotiations)-1].Version)
}

func whole(v uint32) uint32 {
	if v < 1<<16 {
		return 3<<16 | v
	}
	return v
}

// judgeMinor asks for a version 3.x. The form of NegotiateProtocolVersion is for other cases.
func judgeMinor(ctx context.Context, b *Bench, v uint32) Result {
	s, err := b.Login(ctx, LoginOptions{Version: v})
	if err != nil {
		if s.Conn == nil {
			return unable(err)
		}
		if v == V31 && !timedOut(err) {
			return Conclude(Differs, "%s", failure(err))
		}
		return Conclude(Fail, "%s", failure(err))
	}
	if len(s.Negotiations) == 0 {
		switch v {
		case V30:
			return Conclude(Pass, "a login, without NegotiateProtocolVersion")
		case V31:
			return Conclude(Pass, "3.0 is spoken, without NegotiateProtocolVersion")
		case V32:
			return Conclude(Pass, "3.2 is spoken")
		}
		return Conclude(Fail, "a login without NegotiateProtocolVersion: the server claims to speak %s", VersionName(v))
	}
	agreed := s.Agreed()
	switch {
	case v == V30:
		return Conclude(Fail, "NegotiateProtocolVersion %s, and nothing was to negotiate", VersionName(agreed))
	case agreed == v:
		return Conclude(Fail, "NegotiateProtocolVersion repeats %s, and so negotiates nothing: libpq refuses that", VersionName(v))
	case agreed > v || agreed < V30:
		return Conclude(Fail, "NegotiateProtocolVersion %s, for %s", VersionName(agreed), VersionName(v))
	case agreed == V31:
		return Conclude(Fail, "NegotiateProtocolVersion 3.1, which is reserved: libpq refuses it")
	case agreed > V32:
		return Conclude(Differs, "NegotiateProtocolVersion %s, which PostgreSQL does not have", VersionName(agreed))
	}
	return Conclude(Pass, "NegotiateProtocolVersion %s", VersionName(agreed))
}

func judge40(ctx context.Context, b *Bench) Result {
	_, err := b.Login(ctx, LoginOptions{Version: V40})
	var refusal *ServerError
	switch {
	case err == nil:
		return Conclude(Fail, "the login succeeds: the server takes a major version that it does not know for its own")
	case errors.As(err, &refusal):
		return Conclude(Pass, "refused: %s", refusal.Code)
	case gone(err):
		return Conclude(Differs, "%s", failure(err))
	}
	return Conclude(Fail, "%s", failure(err))
}

func judge20(ctx context.Context, b *Bench) Result {
	c, err := b.Dial(ctx)
	if err != nil {
		return Conclude(Unknown, "no connection: %v", err)
	}
	// The packet of 2.0 has fields of fixed length: database 64, user 32, options 64, unused 64, tty 64.
	packet := Startup(V20)[:8]
	packet = append(packet, make([]byte, 288)...)
	packet[2], packet[3] = byte(len(packet)>>8), byte(len(packet))
	copy(packet[8:71], b.Target.About.Database)
	copy(packet[72:103], b.Target.About.User)
	if err := c.Send(packet); err != nil {
		return Conclude(Unknown, "nothing could be sent: %v", err)
	}
	end := c.AwaitEnd(b.Patience)
	switch got := end.Bytes; {
	case len(got) == 0 && end.How == Open:
		return Conclude(Fail, "no answer in %s, and the connection stays open", b.Patience)
	case len(got) == 0:
		return Conclude(Differs, "the connection is closed without a word")
	case got[0] == 'R' || got[0] == 'v':
		return Conclude(Fail, "the server goes on with the login: it takes a major version that it does not know for its own")
	case got[0] != 'E':
		return Conclude(Fail, "the server answers %q", got[0])
	case len(got) > 5 && got[1] == 0:
		return Conclude(Differs, "refused, in the form of protocol 3: %s", parseError(got[5:]).Code)
	}
	return Conclude(Pass, "refused, in the form of protocol 2")
}

// negotiated logs in and gives the NegotiateProtocolVersion, or the verdict where there is none to look at.
func negotiated(ctx context.Context, b *Bench, o LoginOptions) (*Session, Negotiation, *Result) {
	s, err := b.Login(ctx, o)
	if err != nil {
		r := unable(err)
		return s, Negotiation{}, &r
	}
	if len(s.Negotiations) == 0 {
		r := Conclude(NotApplicable, "no NegotiateProtocolVersion")
		return s, Negotiation{}, &r
	}
	return s, s.Negotiations[0], nil
}

func negotiationOptions(ctx context.Context, b *Bench) Result {
	asked := []string{optionB, optionA}
	s, err := b.Login(ctx, LoginOptions{Params: []Param{{optionB, "1"}, {optionA, ""}}})
	if err != nil {
		return Conclude(Fail, "%s", failure(err))
	}
	if len(s.Negotiations) == 0 {
		return Conclude(Fail, "no NegotiateProtocolVersion: the options seem to be taken")
	}
	n := s.Negotiations[0]
	for _, name := range asked {
		if !slices.Contains(n.Options, name) {
			return Conclude(Fail, "NegotiateProtocolVersion does not name %s", name)
		}
	}
	for _, name := range n.Options {
		if !slices.Contains(asked, name) {
			return Conclude(Fail, "NegotiateProtocolVersion names %s, which nobody asked for", quoted(name))
		}
	}
	if whole(n.Version) != V30 {
		return Conclude(Fail, "NegotiateProtocolVersion %s, and 3.0 was asked for", VersionName(whole(n.Version)))
	}
	a, err := s.Query("SELECT 1")
	if err == nil && a.Err() == nil {
		return Conclude(Pass, "both options are named, and the session works")
	}
	plain, plainErr := b.Login(ctx, LoginOptions{})
	if plainErr == nil {
		if without, withoutErr := plain.Query("SELECT 1"); withoutErr != nil || without.Err() != nil {
			return Conclude(Unknown, "both options are named; SELECT 1 fails with them and without")
		}
	}
	if err != nil {
		return Conclude(Fail, "both options are named, and the session breaks at its first query: %s", ending(err))
	}
	return Conclude(Fail, "both options are named, and the first query fails: %s", a.Err())
}

func negotiationOrder(ctx context.Context, b *Bench) Result {
	_, n, r := negotiated(ctx, b, LoginOptions{Params: []Param{{optionB, "1"}, {optionA, "1"}}})
	switch {
	case r != nil:
		return *r
	case slices.Equal(n.Options, []string{optionB, optionA}):
		return Conclude(Pass, "as asked")
	case len(n.Options) < 2:
		return Conclude(NotApplicable, "%d options are named", len(n.Options))
	}
	return Conclude(Differs, "another order")
}

func negotiationDuplicates(ctx context.Context, b *Bench) Result {
	_, n, r := negotiated(ctx, b, LoginOptions{Params: []Param{{optionA, "1"}, {optionA, "2"}}})
	if r != nil {
		return *r
	}
	switch len(n.Options) {
	case 0:
		return Conclude(NotApplicable, "no option is named")
	case 2:
		return Conclude(Pass, "named twice")
	}
	return Conclude(Differs, "%d times", len(n.Options))
}

func negotiationFull(ctx context.Context, b *Bench) Result {
	_, n, r := negotiated(ctx, b, LoginOptions{Version: VGrease})
	switch {
	case r != nil:
		return *r
	case n.Version < 1<<16:
		return Conclude(Fail, "the minor number alone: 0x%08x", n.Version)
	}
	return Conclude(Pass, "0x%08x", n.Version)
}

func negotiationPlace(ctx context.Context, b *Bench) Result {
	s, _, r := negotiated(ctx, b, LoginOptions{Version: VGrease})
	switch {
	case r != nil:
		return *r
	case len(s.Negotiations) > 1:
		return Conclude(Fail, "it comes %d times", len(s.Negotiations))
	case s.Login[0].Type != 'v':
		return Conclude(Fail, "it comes behind %s", name(s.Login[0]))
	}
	return Conclude(Pass, "once, and first")
}

func negotiationKey(ctx context.Context, b *Bench) Result {
	s, r := withKey(ctx, b, LoginOptions{Version: VGrease})
	if r != nil {
		return *r
	}
	agreed, n := s.Agreed(), len(s.Key)
	if agreed < V32 && n != 4 || n < 4 || n > 256 {
		return Conclude(Fail, "%s is agreed on, and the key has %d bytes", VersionName(agreed), n)
	}
	return Conclude(Pass, "%s is agreed on, and the key has %d bytes", VersionName(agreed), n)
}

// negotiationGrease judges as libpq 19 beta does (fe-protocol3.c, pqGetNegotiateProtocolVersion3).
func negotiationGrease(ctx context.Context, b *Bench) Result {
	s, err := b.Login(ctx, LoginOptions{Version: VGrease, Params: []Param{{greaseName, ""}}})
	if err != nil {
		return Conclude(Fail, "%s", failure(err))
	}
	if len(s.Negotiations) == 0 {
		return Conclude(Fail, "no NegotiateProtocolVersion: libpq says that the server incorrectly accepted the grease")
	}
	var wrong []string
	n := s.Negotiations[0]
	if v := n.Version; v < V30 || v >= VGrease || v == V31 {
		wrong = append(wrong, fmt.Sprintf("the version 0x%08x", v))
	}
	if !slices.Equal(n.Options, []string{greaseName}) {
		wrong = append(wrong, fmt.Sprintf("the options %q", n.Options))
	}
	if len(s.Negotiations) > 1 {
		wrong = append(wrong, "a second NegotiateProtocolVersion")
	}
	if len(wrong) > 0 {
		return Conclude(Fail, "libpq refuses %s", strings.Join(wrong, " and "))
	}
	return Conclude(Pass, "NegotiateProtocolVersion %s, and it names the option", VersionName(n.Version))
}
