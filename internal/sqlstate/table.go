package sqlstate

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The codes Cancello uses (errcodes-appendix).
const (
	CodeConnectionRejected    = "08004" // sqlserver_rejected_establishment_of_sqlconnection
	CodeConnectionFailure     = "08006" // connection_failure
	CodeOutcomeUnknown        = "08007" // transaction_resolution_unknown
	CodeProtocolViolation     = "08P01" // protocol_violation
	CodeFeatureNotSupported   = "0A000" // feature_not_supported
	CodeInvalidParameterValue = "22023" // invalid_parameter_value
	CodeInvalidStatementName  = "26000" // invalid_sql_statement_name
	CodeInvalidAuthorization  = "28000" // invalid_authorization_specification
	CodeInvalidPassword       = "28P01" // invalid_password
	CodeInvalidCatalogName    = "3D000" // invalid_catalog_name
	CodeSyntaxError           = "42601" // syntax_error
	CodeDuplicateStatement    = "42P05" // duplicate_prepared_statement
	CodeNameTooLong           = "42622" // name_too_long
	CodeIdleInTransaction     = "25P03" // idle_in_transaction_session_timeout
	CodeTransactionTimeout    = "25P04" // transaction_timeout
	CodeTooManyConnections    = "53300" // too_many_connections
	CodeProgramLimitExceeded  = "54000" // program_limit_exceeded
	CodeQueryCanceled         = "57014" // query_canceled
	CodeAdminShutdown         = "57P01" // admin_shutdown
	CodeCannotConnectNow      = "57P03" // cannot_connect_now
	CodeIdleSession           = "57P05" // idle_session_timeout
	codeInternalError         = "XX000" // internal_error
)

// Before and during login.

// ProtocolViolation: the client broke the protocol, as text says; its stream can't be read on.
func ProtocolViolation(text string) Error {
	return New(SeverityFatal, CodeProtocolViolation, text)
}

// InvalidMessageType: a message of a type that no client sends (SocketBackend in postgres.c).
func InvalidMessageType(typ byte) Error {
	return ProtocolViolation("invalid frontend message type " + strconv.Itoa(int(typ)))
}

// UnsupportedProtocol: a version that isn't spoken. message says which one and which are, in PostgreSQL's words.
func UnsupportedProtocol(message string) Error {
	return New(SeverityFatal, CodeFeatureNotSupported, message)
}

// NoUserName: a startup packet without a user.
func NoUserName() Error {
	return New(SeverityFatal, CodeInvalidAuthorization, "no PostgreSQL user name specified in startup packet")
}

// TLSRequired: the client asks to be let in over a connection in clear, and client_tls_sslmode doesn't allow it.
func TLSRequired() Error {
	e := New(SeverityFatal, CodeInvalidAuthorization, "SSL connection is required")
	e.Hint = "Connect with sslmode=require or a stronger one."
	return e
}

// TooManyConnections: max_client_conn, given as limit, is reached. The message is PostgreSQL's.
func TooManyConnections(limit int) Error {
	e := New(SeverityFatal, CodeTooManyConnections, "sorry, too many clients already")
	e.Detail = "Cancello has max_client_conn = " + strconv.Itoa(limit) + " client connections."
	e.Hint = "Close connections that are not needed, or raise max_client_conn."
	return e
}

// NoDescriptors: the process may have limit file descriptors and all are in use but for those kept for cancels.
func NoDescriptors(limit int) Error {
	e := New(SeverityFatal, CodeTooManyConnections, "sorry, too many clients already")
	e.Detail = "Cancello's limit of " + strconv.Itoa(limit) + " file descriptors is reached; the last ones are kept for cancels."
	e.Hint = "Close connections that are not needed, or raise the limit of open files (LimitNOFILE, ulimit -n) of Cancello."
	return e
}

// LoginTimeout: the client did not finish its login within client_login_timeout. PostgreSQL closes without a word
// here, which people take for a network fault. It is 08004 and not 08006 because nothing was lost: a connection
// was refused; not 57014, which programs take for a cancelled query; not 57P05, which means an idle session.
func LoginTimeout(limit time.Duration) Error {
	e := New(SeverityFatal, CodeConnectionRejected, "canceling authentication due to timeout")
	e.Detail = "The login was not finished within client_login_timeout = " + limit.String() + "."
	return e
}

// DatabaseNotConfigured: the client asks for a database that is not in the configuration. The message is
// PostgreSQL's for a database that does not exist.
func DatabaseNotConfigured(name string) Error {
	e := New(SeverityFatal, CodeInvalidCatalogName, "database "+quote(name)+" does not exist")
	e.Detail = "Cancello is not configured for a database of this name."
	return e
}

// ReplicationNotConfigured is DatabaseNotConfigured for who comes to replicate: libpq names a database for it of its own
// accord, "replication".
func ReplicationNotConfigured(name string) Error {
	e := DatabaseNotConfigured(name)
	e.Hint = "A replication connection is served by the database that it names, in dbname: name one that there is, or add " +
		quote(name) + " to [databases]."
	return e
}

// DatabaseDisabled: the console's DISABLE keeps new clients from a database.
func DatabaseDisabled(name string) Error {
	e := New(SeverityFatal, CodeCannotConnectNow, "database "+quote(name)+" is disabled")
	e.Hint = "An administrator disabled it; ENABLE at Cancello's console undoes that."
	return e
}

// PasswordFailed: a wrong password or an unknown user; which of them is not said.
func PasswordFailed(user string) Error {
	return New(SeverityFatal, CodeInvalidPassword, "password authentication failed for user "+quote(user))
}

// TooManyFailedLogins: as many logins as may wait because others from their address failed, wait already.
func TooManyFailedLogins() Error {
	e := New(SeverityFatal, CodeTooManyConnections, "too many logins from this address wait because others failed")
	e.Detail = "Logins from an address from which many have failed are made to wait for failed_login_delay."
	e.Hint = "Find the program with the wrong password; the log of Cancello names its user."
	return e
}

// CertificateMissing: clients prove who they are by a certificate, and this one has none. The message is PostgreSQL's.
func CertificateMissing() Error {
	return New(SeverityFatal, CodeInvalidAuthorization, "connection requires a valid client certificate")
}

// CertificateFailed: the client's certificate is not for the user that it asks to be. The message is PostgreSQL's.
func CertificateFailed(user string) Error {
	return New(SeverityFatal, CodeInvalidAuthorization, "certificate authentication failed for user "+quote(user))
}

// ChannelBindingFailed: the client's SCRAM proof is bound to another certificate than the one that was served. The
// message is PostgreSQL's.
func ChannelBindingFailed() Error {
	return New(SeverityFatal, CodeInvalidAuthorization, "SCRAM channel binding check failed")
}

// ChannelBindingUnseen: the client can do channel binding and believes that it was not offered, though it was. The texts
// are PostgreSQL's.
func ChannelBindingUnseen() Error {
	e := New(SeverityFatal, CodeInvalidAuthorization, "SCRAM channel binding negotiation error")
	e.Detail = "The client supports SCRAM channel binding but thinks the server does not.  However, this server does support channel binding."
	return e
}

// UnsupportedStartupParameter: a startup parameter, or options, that can't be kept for a client whose server
// connections are shared.
func UnsupportedStartupParameter(name string) Error {
	e := New(SeverityFatal, CodeFeatureNotSupported, "startup parameter "+quote(name)+" is not supported by Cancello")
	e.Hint = "Leave it out of the connection string, or give the value to the role or database with ALTER ROLE or ALTER DATABASE."
	return e
}

// InvalidOptions: the startup parameter `options` can't be read. message is PostgreSQL's.
func InvalidOptions(message string) Error {
	return New(SeverityFatal, CodeSyntaxError, clean(message))
}

// UnsupportedOptions: the startup parameter `options` has what only a server process of one's own could do. message says
// which.
func UnsupportedOptions(message string) Error {
	e := New(SeverityFatal, CodeFeatureNotSupported, clean(message))
	e.Hint = "Give settings as -c name=value, or name options in ignore_startup_parameters."
	return e
}

// StartupRefused: the server did not take the client's startup values, with this code and message. Its detail and hint go
// into Quote.
func StartupRefused(code, message string) Error {
	if len(code) != 5 {
		code = codeInternalError
	}
	if message == "" {
		message = "the server refused a startup parameter"
	}
	return New(SeverityFatal, code, clean(message))
}

// InvalidReplication: the startup parameter `replication` is neither a truth value nor "database". The words are
// PostgreSQL's.
func InvalidReplication(value string) Error {
	e := New(SeverityFatal, CodeInvalidParameterValue, "invalid value for parameter \"replication\": "+quote(value))
	e.Hint = "Valid values are: \"false\", 0, \"true\", 1, \"database\"."
	return e
}

// Draining: Cancello shuts down and lets nobody in. PostgreSQL has the same code for it.
func Draining() Error {
	e := New(SeverityFatal, CodeCannotConnectNow, "Cancello is shutting down")
	e.Hint = "Connect again in a moment."
	return e
}

// AdminShutdown: Cancello shuts down and closes a client that was let in, in PostgreSQL's words.
func AdminShutdown() Error {
	return New(SeverityFatal, CodeAdminShutdown, "terminating connection due to administrator command")
}

// Clients that take long. The messages are PostgreSQL's for its own limits.

// ClientIdleTimeout: the client asked for nothing for client_idle_timeout, given as limit.
func ClientIdleTimeout(limit time.Duration) Error {
	e := New(SeverityFatal, CodeIdleSession, "terminating connection due to idle-session timeout")
	e.Detail = "Nothing was asked within client_idle_timeout = " + limit.String() + "."
	return e
}

// IdleTransactionTimeout: a transaction or batch was open while the client did nothing for idle_transaction_timeout.
func IdleTransactionTimeout(limit time.Duration) Error {
	e := New(SeverityFatal, CodeIdleInTransaction, "terminating connection due to idle-in-transaction timeout")
	e.Detail = "A transaction was open and nothing was asked within idle_transaction_timeout = " + limit.String() + ". It was rolled back."
	return e
}

// TransactionTimeout: a transaction took transaction_timeout.
func TransactionTimeout(limit time.Duration) Error {
	e := New(SeverityFatal, CodeTransactionTimeout, "terminating connection due to transaction timeout")
	e.Detail = "The transaction did not end within transaction_timeout = " + limit.String() + "; it is rolled back."
	return e
}

// NoticeQueued is what a client is told that has waited for a server for query_wait_notify: PgBouncer's words.
const NoticeQueued = "No server connection available in postgres backend, client being queued"

// Servers.

// QueryWaitTimeout: no server became free within query_wait_timeout, given as limit. Nothing was sent.
func QueryWaitTimeout(limit time.Duration) Error {
	e := New(SeverityError, CodeTooManyConnections, "no server connection became free within query_wait_timeout = "+limit.String())
	e.Detail = "Nothing of the statement was sent to a server."
	e.Hint = "Look for long transactions that hold their server connection, or raise default_pool_size or query_wait_timeout."
	return e
}

// NoServer: no connection to a server could be opened, for the reason given, which must hold no secret. Nothing was
// sent. At login use NoServer(reason).Fatal().
func NoServer(reason string) Error {
	return New(SeverityError, CodeConnectionFailure, "could not get a connection to the server: "+clean(reason))
}

// ServerRefused: the server that a client is to use refused our login, with this code and message; the client is refused
// in the same words. server says where that was.
func ServerRefused(server, code, message string) Error {
	if len(code) != 5 {
		code = codeInternalError
	}
	if message == "" {
		message = "the server refused the login"
	}
	e := New(SeverityFatal, code, clean(message))
	e.Detail = "This is what the server " + clean(server) + " said to Cancello."
	return e
}

// ServerLostBeforeSend: the server's connection broke before anything of the unit was sent.
func ServerLostBeforeSend() Error {
	e := New(SeverityError, CodeConnectionFailure, "the connection to the server was lost before the statement was sent")
	e.Hint = "Nothing of the statement was run; it can be sent again."
	return e
}

// OutcomeUnknown: the server's connection broke while the unit ran. It may run on, and may commit.
func OutcomeUnknown() Error {
	e := New(SeverityError, CodeOutcomeUnknown, "the connection to the server was lost while the statement ran: its outcome is unknown")
	e.Hint = "The server may have finished and committed it. Look before sending it again."
	return e
}

// CancelledByDisconnect: a cancel was asked for, but the server has no cancel key or the cancel could not be carried
// to its end, so its connection was closed. Closing is not cancelling: the outcome is unknown.
func CancelledByDisconnect() Error {
	e := New(SeverityError, CodeOutcomeUnknown, "the connection to the server was closed to cancel the statement: its outcome is unknown")
	e.Detail = "The server could not be asked to cancel the statement."
	e.Hint = "The server may have finished and committed it. Look before sending it again."
	return e
}

// TransactionLost: the server's connection broke within a transaction or a batch. The client is closed, as on a
// direct connection, because its next statements would run outside of the transaction they belong to.
func TransactionLost() Error {
	e := New(SeverityFatal, CodeOutcomeUnknown, "the connection to the server was lost within a transaction: its outcome is unknown")
	e.Hint = "Unless its COMMIT was sent, the transaction was rolled back. Connect again."
	return e
}

// SessionLost: the server's connection broke while the client had nothing running on it, but had it for itself. Its
// session state is lost, so it is closed, as on a direct connection.
func SessionLost() Error {
	e := New(SeverityFatal, CodeConnectionFailure, "the connection to the server was lost")
	e.Hint = "No statement was running. Connect again."
	return e
}

// SettingsRefused: the server refused the client's own settings, with this code and message, before anything of
// the unit was sent. The connection is closed: it would run under settings that the client did not ask for.
func SettingsRefused(code, message string) Error {
	if len(code) != 5 {
		code = codeInternalError
	}
	e := New(SeverityFatal, code, clean(message))
	e.Detail = "The server refused a setting of this connection. Nothing of the statement was sent to it."
	return e
}

// Canceled: a unit that waited for a server was cancelled. Nothing of it was sent. The message is PostgreSQL's.
func Canceled() Error {
	return New(SeverityError, CodeQueryCanceled, "canceling statement due to user request")
}

// Statements.

// NamedStatementUnsupported: a Parse with a name where servers are shared and max_prepared_statements is 0.
func NamedStatementUnsupported() Error {
	e := New(SeverityError, CodeFeatureNotSupported, "named prepared statements are not supported with max_prepared_statements = 0")
	e.Hint = "Use pool_mode = session, set max_prepared_statements above 0, or switch off prepared statements in the driver."
	return e
}

// TransactionRefused: with pool_mode = statement, a statement that would leave a transaction block open. Nothing of it
// was sent. The message is PgBouncer's.
func TransactionRefused() Error {
	e := New(SeverityError, CodeFeatureNotSupported, "transaction blocks not allowed in statement pooling mode")
	e.Detail = "Nothing of the statement was run."
	e.Hint = "Send BEGIN, what belongs to the transaction, and COMMIT as one query, or use pool_mode = transaction."
	return e
}

// TransactionUndone: with pool_mode = statement, a statement did leave a transaction block open, which could not be
// foreseen.
func TransactionUndone() Error {
	e := TransactionRefused()
	e.Detail = "The transaction block that the statement left open was rolled back, with all that the statement did in it."
	return e
}

// UnnamedStatementMissing: a Bind or Describe of the unnamed statement, which this client has not parsed or has
// lost since. The message is PostgreSQL's.
func UnnamedStatementMissing() Error {
	return New(SeverityError, CodeInvalidStatementName, "unnamed prepared statement does not exist")
}

// StatementMissing: a Bind or Describe of a named statement that this client has not prepared. The message is
// PostgreSQL's.
func StatementMissing(name string) Error {
	return New(SeverityError, CodeInvalidStatementName, "prepared statement "+quote(name)+" does not exist")
}

// StatementExists: a Parse with a name that is in use. The message is PostgreSQL's.
func StatementExists(name string) Error {
	return New(SeverityError, CodeDuplicateStatement, "prepared statement "+quote(name)+" already exists")
}

// StatementTooLarge: a named statement of more than limit bytes was parsed in an earlier transaction. In transaction
// mode its text would have to be kept to use it again.
func StatementTooLarge(name string, limit int) Error {
	e := New(SeverityError, CodeProgramLimitExceeded, "prepared statement "+quote(name)+" is too large to be kept for a later transaction")
	e.Detail = "Cancello keeps at most " + strconv.Itoa(limit) + " bytes of it."
	e.Hint = "Send Parse and Bind in the same transaction, or use pool_mode = session."
	return e
}

// TooManyStatements: a client has more prepared statements than limit, or more bytes of them; what says which.
func TooManyStatements(what string, limit int) Error {
	e := New(SeverityError, CodeProgramLimitExceeded, "too many "+what)
	e.Detail = "Cancello holds at most " + strconv.Itoa(limit) + " for a client."
	e.Hint = "Close statements that are not needed any more, or use pool_mode = session."
	return e
}

// UnnamedStatementTooLarge: an unnamed statement of more than limit bytes was parsed in an earlier batch. In
// transaction mode its text would have to be kept to use it again.
func UnnamedStatementTooLarge(limit int) Error {
	e := New(SeverityError, CodeProgramLimitExceeded, "the unnamed prepared statement is too large to be kept for a later batch")
	e.Detail = "Cancello keeps at most " + strconv.Itoa(limit) + " bytes of it."
	e.Hint = "Send Parse and Bind in the same batch, or use pool_mode = session."
	return e
}

// NameTooLong: the name of a statement or portal (kind says which) has more than limit bytes.
func NameTooLong(kind string, limit int) Error {
	e := New(SeverityError, CodeNameTooLong, kind+" name is too long")
	e.Detail = "Cancello takes names of at most " + strconv.Itoa(limit) + " bytes."
	return e
}

// InternalLimit: a queue that Cancello holds for a client is full; what names it and limit is its size, in units
// that what says.
func InternalLimit(what string, limit int) Error {
	e := New(SeverityFatal, CodeProgramLimitExceeded, "too many "+what)
	e.Detail = "Cancello holds at most " + strconv.Itoa(limit) + " for a client."
	return e
}

// maxName is how many bytes of a name are shown: NAMEDATALEN - 1.
const maxName = 63

// quote shows a name that came from outside, cut and without control characters.
func quote(name string) string {
	name = clean(name)
	if len(name) > maxName {
		cut := maxName
		for cut > 0 && !utf8.RuneStart(name[cut]) {
			cut--
		}
		name = name[:cut] + "..."
	}
	return `"` + name + `"`
}

// clean makes text from outside fit for a message: valid UTF-8, and nothing that could start a new line in a log.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
