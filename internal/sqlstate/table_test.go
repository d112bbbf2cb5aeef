package sqlstate

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// everything is the whole table, as a client would meet it. hostile stands wherever text comes from outside.
func everything(hostile string) map[string]Error {
	return map[string]Error{
		"ProtocolViolation":           ProtocolViolation("invalid message length"),
		"InvalidMessageType":          InvalidMessageType('!'),
		"UnsupportedProtocol":         UnsupportedProtocol("unsupported frontend protocol 4.0: server supports 3.0 to 3.2"),
		"NoUserName":                  NoUserName(),
		"TooManyConnections":          TooManyConnections(100),
		"NoDescriptors":               NoDescriptors(1024),
		"LoginTimeout":                LoginTimeout(time.Minute),
		"TooManyDatabaseClients":      TooManyDatabaseClients(hostile, 5),
		"TooManyUserClients":          TooManyUserClients(hostile, 5),
		"NoRoomForServer":             NoRoomForServer("max_db_connections", 5),
		"ServerReplaced":              ServerReplaced(hostile),
		"DatabaseNotConfigured":       DatabaseNotConfigured(hostile),
		"ReplicationNotConfigured":    ReplicationNotConfigured(hostile),
		"DatabaseDisabled":            DatabaseDisabled(hostile),
		"PasswordFailed":              PasswordFailed(hostile),
		"UnsupportedStartupParameter": UnsupportedStartupParameter(hostile),
		"InvalidOptions":              InvalidOptions("--" + hostile + " requires a value"),
		"UnsupportedOptions":          UnsupportedOptions("not " + hostile),
		"InvalidReplication":          InvalidReplication(hostile),
		"StartupRefused":              StartupRefused("22023", hostile),
		"Draining":                    Draining(),
		"AdminShutdown":               AdminShutdown(),
		"QueryWaitTimeout":            QueryWaitTimeout(2 * time.Minute),
		"NoServer":                    NoServer(hostile),
		"ServerLostBeforeSend":        ServerLostBeforeSend(),
		"OutcomeUnknown":              OutcomeUnknown(),
		"CancelledByDisconnect":       CancelledByDisconnect(),
		"TransactionLost":             TransactionLost(),
		"SettingsRefused":             SettingsRefused("22023", hostile),
		"ServerRefused":               ServerRefused(hostile, "28P01", hostile),
		"Canceled":                    Canceled(),
		"NamedStatementUnsupported":   NamedStatementUnsupported(),
		"ClientIdleTimeout":           ClientIdleTimeout(time.Minute),
		"IdleTransactionTimeout":      IdleTransactionTimeout(time.Minute),
		"TransactionTimeout":          TransactionTimeout(time.Minute),
		"TransactionRefused":          TransactionRefused(),
		"TransactionUndone":           TransactionUndone(),
		"UnnamedStatementMissing":     UnnamedStatementMissing(),
		"StatementMissing":            StatementMissing(hostile),
		"StatementExists":             StatementExists(hostile),
		"StatementTooLarge":           StatementTooLarge(hostile, 1<<20),
		"TooManyStatements":           TooManyStatements("prepared statements", 1000),
		"UnnamedStatementTooLarge":    UnnamedStatementTooLarge(1 << 20),
		"NameTooLong":                 NameTooLong("portal", 63),
		"InternalLimit":               InternalLimit("pipelined messages", 1000),
	}
}

// TestTable is what clients match on: severity, code and first words.
func TestTable(t *testing.T) {
	want := map[string]string{
		"ProtocolViolation":           "FATAL 08P01 invalid message length",
		"InvalidMessageType":          "FATAL 08P01 invalid frontend message type 33",
		"UnsupportedProtocol":         "FATAL 0A000 unsupported frontend protocol 4.0: server supports 3.0 to 3.2",
		"NoUserName":                  "FATAL 28000 no PostgreSQL user name specified in startup packet",
		"NoDescriptors":               "FATAL 53300 sorry, too many clients already",
		"TooManyConnections":          "FATAL 53300 sorry, too many clients already",
		"LoginTimeout":                "FATAL 08004 canceling authentication due to timeout",
		"TooManyDatabaseClients":      `FATAL 53300 too many connections for database "x"`,
		"TooManyUserClients":          `FATAL 53300 too many connections for role "x"`,
		"NoRoomForServer":             "FATAL 53300 no server connection could be opened within query_wait_timeout",
		"ServerReplaced":              "FATAL 57P01 terminating connection due to administrator command",
		"DatabaseNotConfigured":       `FATAL 3D000 database "x" does not exist`,
		"ReplicationNotConfigured":    `FATAL 3D000 database "x" does not exist`,
		"DatabaseDisabled":            `FATAL 57P03 database "x" is disabled`,
		"PasswordFailed":              `FATAL 28P01 password authentication failed for user "x"`,
		"UnsupportedStartupParameter": `FATAL 0A000 startup parameter "x" is not supported by Cancello`,
		"InvalidOptions":              "FATAL 42601 --x requires a value",
		"UnsupportedOptions":          "FATAL 0A000 not x",
		"InvalidReplication":          `FATAL 22023 invalid value for parameter "replication": "x"`,
		"StartupRefused":              "FATAL 22023 x",
		"Draining":                    "FATAL 57P03 Cancello is shutting down",
		"AdminShutdown":               "FATAL 57P01 terminating connection due to administrator command",
		"QueryWaitTimeout":            "ERROR 53300 no server connection became free within query_wait_timeout = 2m0s",
		"NoServer":                    "ERROR 08006 could not get a connection to the server: x",
		"ServerLostBeforeSend":        "ERROR 08006 the connection to the server was lost before the statement was sent",
		"OutcomeUnknown":              "ERROR 08007 the connection to the server was lost while the statement ran: its outcome is unknown",
		"CancelledByDisconnect":       "ERROR 08007 the connection to the server was closed to cancel the statement: its outcome is unknown",
		"TransactionLost":             "FATAL 08007 the connection to the server was lost within a transaction: its outcome is unknown",
		"SettingsRefused":             "FATAL 22023 x",
		"ServerRefused":               "FATAL 28P01 x",
		"Canceled":                    "ERROR 57014 canceling statement due to user request",
		"NamedStatementUnsupported":   "ERROR 0A000 named prepared statements are not supported with max_prepared_statements = 0",
		"ClientIdleTimeout":           "FATAL 57P05 terminating connection due to idle-session timeout",
		"IdleTransactionTimeout":      "FATAL 25P03 terminating connection due to idle-in-transaction timeout",
		"TransactionTimeout":          "FATAL 25P04 terminating connection due to transaction timeout",
		"TransactionRefused":          "ERROR 0A000 transaction blocks not allowed in statement pooling mode",
		"TransactionUndone":           "ERROR 0A000 transaction blocks not allowed in statement pooling mode",
		"UnnamedStatementMissing":     "ERROR 26000 unnamed prepared statement does not exist",
		"StatementMissing":            `ERROR 26000 prepared statement "x" does not exist`,
		"StatementExists":             `ERROR 42P05 prepared statement "x" already exists`,
		"StatementTooLarge":           `ERROR 54000 prepared statement "x" is too large to be kept for a later transaction`,
		"TooManyStatements":           "ERROR 54000 too many prepared statements",
		"UnnamedStatementTooLarge":    "ERROR 54000 the unnamed prepared statement is too large to be kept for a later batch",
		"NameTooLong":                 "ERROR 42622 portal name is too long",
		"InternalLimit":               "FATAL 54000 too many pipelined messages",
	}
	got := everything("x")
	if len(got) != len(want) {
		t.Errorf("%d errors in the table, %d are expected", len(got), len(want))
	}
	for name, e := range got {
		if line := e.Severity + " " + e.Code + " " + e.Message; line != want[name] {
			t.Errorf("%s:\n got %s\nwant %s", name, line, want[name])
		}
	}
}

// TestManners: every error is fit for the wire and for a log, whatever a client put into it.
func TestManners(t *testing.T) {
	code := regexp.MustCompile(`^[0-9A-Z]{5}$`)
	for _, hostile := range []string{"", "x", "a\x00b", "line\nfeed\r\x1b[31m", "\xff\xfe", strings.Repeat("é", 4000), strings.Repeat("\xff", 4000)} {
		for name, e := range everything(hostile) {
			if e.Severity != SeverityError && e.Severity != SeverityFatal {
				t.Errorf("%s: severity %q", name, e.Severity)
			}
			if !code.MatchString(e.Code) {
				t.Errorf("%s: code %q", name, e.Code)
			}
			if e.Message == "" && name != "SettingsRefused" {
				t.Errorf("%s: no message", name)
			}
			for _, s := range []string{e.Message, e.Detail, e.Hint} {
				if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
					t.Errorf("%s: %q", name, s)
				}
			}
			for _, s := range []string{e.Detail, e.Hint} {
				if s != "" && !strings.HasSuffix(s, ".") {
					t.Errorf("%s: detail and hint are sentences: %q", name, s)
				}
			}
		}
	}
}

// TestNamesAreCut: a name of any length makes a message of bounded length, and no letter is cut in two.
func TestNamesAreCut(t *testing.T) {
	tests := []struct{ in, want string }{
		{strings.Repeat("a", 63), `"` + strings.Repeat("a", 63) + `"`},
		{strings.Repeat("a", 64), `"` + strings.Repeat("a", 63) + `..."`},
		{strings.Repeat("é", 32), `"` + strings.Repeat("é", 31) + `..."`},
		{"tab\there", `"tab?here"`},
	}
	for _, tt := range tests {
		if got := quote(tt.in); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.in, got, tt.want)
		}
	}
}

// TestSettingsRefusedNeedsACode: a server that gives none must not make an error that drivers can't read.
func TestSettingsRefusedNeedsACode(t *testing.T) {
	for _, code := range []string{"", "22", "220233"} {
		if e := SettingsRefused(code, "no"); e.Code != "XX000" {
			t.Errorf("code %q became %q", code, e.Code)
		}
	}
}

func TestFatal(t *testing.T) {
	e := OutcomeUnknown()
	f := e.Fatal()
	if f.Severity != SeverityFatal || f.Code != e.Code || f.Message != e.Message || f.Hint != e.Hint || e.Severity != SeverityError {
		t.Errorf("%v became %v", e, f)
	}
}

func TestErrorText(t *testing.T) {
	var err error = New(SeverityFatal, "53300", "sorry, too many clients already")
	if got, want := err.Error(), "FATAL: sorry, too many clients already (SQLSTATE 53300)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
