package probe

import (
	"context"
	"encoding/binary"
	"regexp"
	"strings"
	"testing"
	"time"

	"cancello/probe/fake"
)

// quick are options for servers that answer at once.
var quick = Options{Patience: 1500 * time.Millisecond, Quiet: 200 * time.Millisecond, Tries: 3, Connections: 4, CaseLimit: 30 * time.Second, Races: true}

// patient are for what should pass: a busy machine is no fault of the server's.
var patient = Options{Patience: 20 * time.Second, Quiet: 200 * time.Millisecond, Tries: 3, Connections: 4, CaseLimit: time.Minute, Races: true}

// caseOf finds a case.
func caseOf(t *testing.T, id string) Case {
	t.Helper()
	for _, c := range Cases() {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("no case %s", id)
	return Case{}
}

// ask runs one case against a fake.
func ask(t *testing.T, id string, k fake.Knobs, o Options) Finding {
	t.Helper()
	target, err := ParseTarget(fake.Start(t, k).DSN())
	if err != nil {
		t.Fatal(err)
	}
	return runCase(context.Background(), caseOf(t, id), target, o)
}

// fault is a misbehaviour, and what its case says of it.
type fault struct {
	id      string
	knobs   fake.Knobs
	verdict Verdict
	seen    string // part of
}

// checkFaults runs each.
func checkFaults(t *testing.T, faults []fault) {
	for _, f := range faults {
		t.Run(f.id+"/"+f.seen, func(t *testing.T) {
			t.Parallel()
			got := ask(t, f.id, f.knobs, quick)
			if got.Verdict != f.verdict || !strings.Contains(got.Seen, f.seen) {
				t.Errorf("%s: %s\nwant %s: %s\n%s", got.Verdict, got.Seen, f.verdict, f.seen, lines(got.Evidence))
			}
		})
	}
}

func lines(evidence []Exchange) string {
	var b strings.Builder
	for _, e := range evidence {
		b.WriteString(e.String() + "\n")
	}
	return b.String()
}

func startupFaults() []fault {
	startup := func(k fake.StartupKnobs) fake.Knobs { return fake.Knobs{Startup: k} }
	key := func(k fake.KeyKnobs) fake.Knobs { return fake.Knobs{Key: k} }
	return []fault{
		{"startup.order", startup(fake.StartupKnobs{ParamsFirst: true}), Fail, "ParameterStatus comes before AuthenticationOk"},
		{"startup.order", startup(fake.StartupKnobs{Strange: true}), Fail, "CommandComplete comes between"},
		{"startup.order", startup(fake.StartupKnobs{NoReady: true}), Fail, "falls silent"},
		{"startup.order", key(fake.KeyKnobs{First: true}), Differs, "before the last ParameterStatus"},
		{"startup.key", key(fake.KeyKnobs{None: true}), Differs, "no BackendKeyData"},
		{"startup.key", key(fake.KeyKnobs{Twice: true}), Fail, "2 times"},
		{"startup.key", key(fake.KeyKnobs{Late: true}), Fail, "behind ReadyForQuery"},
		{"startup.ready", startup(fake.StartupKnobs{NoReady: true}), Fail, "falls silent"},
		{"startup.ready", startup(fake.StartupKnobs{ReadyTwice: true}), Fail, "ReadyForQuery comes behind ReadyForQuery"},
		{"startup.ready", startup(fake.StartupKnobs{ReadyStatus: 'T'}), Fail, "says 'T'"},
		{"startup.parameters", startup(fake.StartupKnobs{DropParams: []string{"server_version", "TimeZone"}}), Fail, "server_version, TimeZone"},
		{"startup.parameters", startup(fake.StartupKnobs{DropParams: []string{"search_path"}}), Differs, "version 18; not reported: search_path"},
		{"startup.parameters", startup(fake.StartupKnobs{DropParams: []string{"search_path"}, Version: "17.2"}), Pass, "version 17"},
		{"startup.unknown-parameter", startup(fake.StartupKnobs{UnknownParam: "accept"}), Differs, "dropped in silence"},
		{"startup.unknown-parameter", startup(fake.StartupKnobs{UnknownParam: "08P01"}), Differs, "08P01"},
		{"startup.unknown-parameter", startup(fake.StartupKnobs{UnknownParam: "close"}), Fail, "without a word"},
		{"startup.unknown-parameter", startup(fake.StartupKnobs{UnknownParam: "hang"}), Fail, "falls silent"},
		{"startup.garbage", startup(fake.StartupKnobs{IgnoreGarbage: true}), Fail, "still open"},
	}
}

func keyFaults() []fault {
	key := func(k fake.KeyKnobs) fake.Knobs { return fake.Knobs{Key: k} }
	// each makes keys by a rule.
	each := func(rule func(n int, p uint32, size int) []byte) fake.Knobs { return key(fake.KeyKnobs{Key: rule}) }
	number := func(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
	scatter := func(n int) uint32 { return uint32(n*n+n) * 2654435761 }
	return []fault{
		{"key.length-30", key(fake.KeyKnobs{Length30: 32}), Fail, "32 bytes"},
		{"key.length-30", key(fake.KeyKnobs{None: true}), NotApplicable, "no BackendKeyData"},
		{"key.length-32", key(fake.KeyKnobs{Length32: 257}), Fail, "257 bytes"},
		{"key.length-32", key(fake.KeyKnobs{Length32: 4}), Differs, "4 bytes"},
		{"key.length-32", fake.Knobs{Negotiation: fake.NegotiationKnobs{Latest: V30}}, NotApplicable, "speaks 3.0"},
		{"key.pid", key(fake.KeyKnobs{PID: func(int) uint32 { return 0 }}), Fail, "is 0"},
		{"key.pid", key(fake.KeyKnobs{PID: func(n int) uint32 { return 1<<31 | uint32(n) }}), Differs, "negative"},
		{"key.zeros", each(func(_ int, _ uint32, size int) []byte { return make([]byte, size) }), Fail, "4 zero bytes"},
		{"key.distinct", fake.Knobs{Key: fake.KeyKnobs{PID: func(int) uint32 { return 42 }, Key: func(int, uint32, int) []byte { return number(0x002be210) }}}, Fail, "the same process id and the same key"},
		{"key.distinct", each(func(int, uint32, int) []byte { return number(0x002be210) }), Fail, "1 keys"},
		{"key.distinct", key(fake.KeyKnobs{PID: func(int) uint32 { return 42 }}), Fail, "1 process ids"},
		{"key.guessable", each(func(n int, _ uint32, _ int) []byte { return number(uint32(7000 + 3*n)) }), Fail, "the one before plus 3"},
		{"key.guessable", each(func(_ int, p uint32, _ int) []byte { return number(p) }), Fail, "process id, which is no secret"},
		{"key.guessable", each(func(int, uint32, int) []byte { return number(5) }), Fail, "the same"},
		{"key.guessable", each(func(n int, _ uint32, _ int) []byte { return number(scatter(n % 20)) }), Fail, "20 different ones among 64"},
		{"key.guessable", each(func(n int, _ uint32, _ int) []byte { return number(scatter(n) &^ 0xff00000f >> 12 << 12) }), Fail, "bits vary"},
		{"key.guessable", each(func(n int, _ uint32, _ int) []byte { return number(scatter(n) &^ 0x3f) }), Differs, "of 32 bits vary"},
		{"key.backend", fake.Knobs{Pooler: fake.PoolerKnobs{VirtualPID: true}}, Differs, "another number"},
	}
}

func negotiationFaults() []fault {
	n := func(k fake.NegotiationKnobs) fake.Knobs { return fake.Knobs{Negotiation: k} }
	on := func(v uint32) map[uint32]bool { return map[uint32]bool{v: true} }
	faults := []fault{
		{"negotiation.3-0", n(fake.NegotiationKnobs{Always: true}), Fail, "nothing was to negotiate"},
		{"negotiation.3-2", n(fake.NegotiationKnobs{Always: true}), Fail, "repeats 3.2"},
		{"negotiation.3-1", n(fake.NegotiationKnobs{Always: true}), Fail, "repeats 3.1"},
		{"negotiation.3-1", n(fake.NegotiationKnobs{Refuse: on(V31)}), Differs, "08P01"},
		{"negotiation.3-3", n(fake.NegotiationKnobs{None: true}), Fail, "claims to speak 3.3"},
		{"negotiation.3-3", n(fake.NegotiationKnobs{Latest: V31}), Fail, "3.1, which is reserved"},
		{"negotiation.3-9999", n(fake.NegotiationKnobs{Latest: V33}), Differs, "3.3, which PostgreSQL does not have"},
		{"negotiation.3-9999", n(fake.NegotiationKnobs{SayAsked: true}), Fail, "repeats 3.9999"},
		{"negotiation.3-9999", n(fake.NegotiationKnobs{None: true}), Fail, "claims to speak 3.9999"},
		{"negotiation.4-0", n(fake.NegotiationKnobs{AcceptMajor: true}), Fail, "the login succeeds"},
		{"negotiation.4-0", n(fake.NegotiationKnobs{Close: on(V40)}), Differs, "without a word"},
		{"negotiation.4-0", n(fake.NegotiationKnobs{Hang: on(V40)}), Fail, "falls silent"},
		{"negotiation.2-0", n(fake.NegotiationKnobs{AcceptMajor: true}), Fail, "goes on with the login"},
		{"negotiation.2-0", n(fake.NegotiationKnobs{Refuse: on(V20)}), Differs, "in the form of protocol 3"},
		{"negotiation.2-0", n(fake.NegotiationKnobs{Close: on(V20)}), Differs, "without a word"},
		{"negotiation.2-0", n(fake.NegotiationKnobs{Hang: on(V20)}), Fail, "stays open"},
		{"negotiation.options", n(fake.NegotiationKnobs{None: true}), Fail, "no NegotiateProtocolVersion"},
		{"negotiation.options", n(fake.NegotiationKnobs{DropOptions: true}), Fail, "does not name " + optionB},
		{"negotiation.options", n(fake.NegotiationKnobs{DropEmpty: true}), Fail, "does not name " + optionA},
		{"negotiation.options", n(fake.NegotiationKnobs{NameAll: true}), Fail, "which nobody asked for"},
		{"negotiation.options", n(fake.NegotiationKnobs{RefuseOptions: true}), Fail, "42704"},
		{"negotiation.options", n(fake.NegotiationKnobs{BreakOnOptions: true}), Fail, "breaks at its first query"},
		{"negotiation.order", n(fake.NegotiationKnobs{SortOptions: true}), Differs, "another order"},
		{"negotiation.duplicates", n(fake.NegotiationKnobs{OnceEach: true}), Differs, "1 times"},
		{"negotiation.full-version", n(fake.NegotiationKnobs{MinorOnly: true}), Fail, "0x00000002"},
		{"negotiation.place", n(fake.NegotiationKnobs{Twice: true}), Fail, "2 times"},
		{"negotiation.place", n(fake.NegotiationKnobs{Late: true}), Fail, "behind AuthenticationOk"},
		{"negotiation.key", n(fake.NegotiationKnobs{Latest: V30, AskedKey: true}), Fail, "3.0 is agreed on, and the key has 32 bytes"},
		{"negotiation.grease", n(fake.NegotiationKnobs{None: true}), Fail, "incorrectly accepted"},
		{"negotiation.grease", n(fake.NegotiationKnobs{MinorOnly: true}), Fail, "the version 0x00000002"},
		{"negotiation.grease", n(fake.NegotiationKnobs{DropOptions: true}), Fail, "the options []"},
		{"negotiation.grease", n(fake.NegotiationKnobs{Hang: on(VGrease)}), Fail, "falls silent"},
	}
	for id, v := range map[string]uint32{"3-0": V30, "3-2": V32, "3-3": V33, "3-9999": VGrease} {
		faults = append(faults,
			fault{"negotiation." + id, n(fake.NegotiationKnobs{Refuse: on(v)}), Fail, "08P01"},
			fault{"negotiation." + id, n(fake.NegotiationKnobs{Close: on(v)}), Fail, "without a word"},
			fault{"negotiation." + id, n(fake.NegotiationKnobs{Hang: on(v)}), Fail, "falls silent"})
	}
	return faults
}

func encryptionFaults() []fault {
	e := func(k fake.EncryptionKnobs) fake.Knobs { return fake.Knobs{Encryption: k} }
	secure := func(k fake.EncryptionKnobs) fake.Knobs { k.TLS = true; return e(k) }
	return []fault{
		{"encryption.sslrequest", e(fake.EncryptionKnobs{}), Pass, "'N'"},
		{"encryption.sslrequest", e(fake.EncryptionKnobs{SSLAnswer: 'E'}), Fail, "an ErrorResponse"},
		{"encryption.sslrequest", e(fake.EncryptionKnobs{SSLAnswer: 'X'}), Fail, "'X'"},
		{"encryption.sslrequest", e(fake.EncryptionKnobs{SSLHang: true}), Fail, "no answer"},
		{"encryption.sslrequest", e(fake.EncryptionKnobs{SSLDrop: true}), Fail, "then the server closes"},
		{"encryption.sslrequest", secure(fake.EncryptionKnobs{BadHandshake: true}), Fail, "handshake fails"},
		{"encryption.sslrequest-twice", e(fake.EncryptionKnobs{}), Pass, "after 'N' it is refused"},
		{"encryption.sslrequest-twice", e(fake.EncryptionKnobs{Again: 'N'}), Differs, "20 times"},
		{"encryption.sslrequest-twice", secure(fake.EncryptionKnobs{Again: 'S'}), Fail, "inside TLS it is granted"},
		{"encryption.smuggled", secure(fake.EncryptionKnobs{Smuggle: true}), Fail, "answered over TLS: Authentication"},
		{"encryption.smuggled", secure(fake.EncryptionKnobs{Discard: true}), Differs, "thrown away"},
		{"encryption.smuggled", e(fake.EncryptionKnobs{}), NotApplicable, "no TLS"},
		{"encryption.direct", secure(fake.EncryptionKnobs{NoDirect: true}), Differs, "not spoken here"},
		{"encryption.direct", secure(fake.EncryptionKnobs{NoSelection: true}), Fail, `agrees on ""`},
		{"encryption.direct", e(fake.EncryptionKnobs{}), NotApplicable, "no TLS"},
		{"encryption.direct-no-alpn", secure(fake.EncryptionKnobs{DirectNoALPN: true}), Fail, "taken"},
		{"encryption.direct-no-alpn", secure(fake.EncryptionKnobs{NoDirect: true}), NotApplicable, "cannot begin at once"},
		{"encryption.direct-wrong-alpn", secure(fake.EncryptionKnobs{AnyALPN: true}), Fail, "taken"},
		{"encryption.wrong-alpn", secure(fake.EncryptionKnobs{AnyALPN: true}), Differs, "taken"},
		{"encryption.gssencrequest", e(fake.EncryptionKnobs{GSSHang: true}), Fail, "no answer"},
		{"encryption.gssencrequest", e(fake.EncryptionKnobs{GSSDrop: true}), Fail, "then the server closes"},
		{"encryption.gssencrequest", e(fake.EncryptionKnobs{GSSAnswer: 'E'}), Differs, "an ErrorResponse"},
		{"encryption.gssencrequest", e(fake.EncryptionKnobs{GSSAnswer: 'S'}), Fail, "'S'"},
		{"encryption.gssencrequest-then-ssl", secure(fake.EncryptionKnobs{GSSEndsSSL: true}), Fail, "behind GSSENCRequest 'E'"},
	}
}

// TestFaults: each case finds each fault it is there for, and says which one.
func TestFaults(t *testing.T) {
	t.Run("startup", func(t *testing.T) { t.Parallel(); checkFaults(t, startupFaults()) })
	t.Run("key", func(t *testing.T) { t.Parallel(); checkFaults(t, keyFaults()) })
	t.Run("negotiation", func(t *testing.T) { t.Parallel(); checkFaults(t, negotiationFaults()) })
	t.Run("encryption", func(t *testing.T) { t.Parallel(); checkFaults(t, encryptionFaults()) })
}

// firstGroups are those whose tests are here.
func firstGroups(c Case) bool {
	return c.Group == GroupStartup || c.Group == GroupKey || c.Group == GroupNegotiation || c.Group == GroupEncryption
}

// TestEachCaseFails: no case of these groups is without a fault that it finds.
func TestEachCaseFails(t *testing.T) {
	found := map[string]bool{}
	for _, f := range append(append(append(startupFaults(), keyFaults()...), negotiationFaults()...), encryptionFaults()...) {
		if f.verdict == Fail || f.verdict == Differs {
			found[f.id] = true
		}
	}
	for _, c := range Cases() {
		if firstGroups(c) && !found[c.ID] {
			t.Errorf("%s: no test where it fails", c.ID)
		}
	}
}

// TestPasses: each case passes on a server that does everything right.
func TestPasses(t *testing.T) {
	for _, c := range Cases() {
		if firstGroups(c) {
			t.Run(c.ID, func(t *testing.T) {
				t.Parallel()
				got := ask(t, c.ID, fake.Knobs{Encryption: fake.EncryptionKnobs{TLS: true}}, patient)
				if got.Verdict != Pass {
					t.Errorf("%s: %s\n%s", got.Verdict, got.Seen, lines(got.Evidence))
				}
			})
		}
	}
}

// TestNothingThere: no case passes on a server that closes at once, nor on one that never answers; and none hangs.
func TestNothingThere(t *testing.T) {
	for name, k := range map[string]fake.Knobs{"closes at once": {CloseAtOnce: true}, "silent": {Silent: true}} {
		for _, c := range Cases() {
			t.Run(name+"/"+c.ID, func(t *testing.T) {
				t.Parallel()
				got := ask(t, c.ID, k, Options{Patience: 300 * time.Millisecond, Quiet: 50 * time.Millisecond, Tries: 2, Connections: 2, CaseLimit: 20 * time.Second, Races: true})
				if got.Verdict == Pass || got.Seen == "" {
					t.Errorf("%s: %q\n%s", got.Verdict, got.Seen, lines(got.Evidence))
				}
			})
		}
	}
}

var idForm = regexp.MustCompile(`^[a-z]+\.[a-z0-9]+(-[a-z0-9]+)*$`)

// TestTable: the ids are of one form and unlike, the groups stand together, and each case says everything.
func TestTable(t *testing.T) {
	ids, groups := map[string]bool{}, map[string]bool{}
	last := ""
	for _, c := range Cases() {
		if !idForm.MatchString(c.ID) || !strings.HasPrefix(c.ID, strings.ToLower(c.Group)+".") {
			t.Errorf("%q is no id in the group %s", c.ID, c.Group)
		}
		if ids[c.ID] {
			t.Errorf("%s is there twice", c.ID)
		}
		ids[c.ID] = true
		if c.Group != last && groups[c.Group] {
			t.Errorf("%s stands apart from its group", c.ID)
		}
		groups[c.Group], last = true, c.Group
		if c.Title == "" || c.Source == "" || c.Expected == "" || c.Means == "" || !strings.HasSuffix(c.Title, ".") {
			t.Errorf("%s does not say everything about itself", c.ID)
		}
	}
}
