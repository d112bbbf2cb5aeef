package sqlstate

// The severities of errors (protocol-error-fields). An ERROR ends the statement, a FATAL the connection.
const (
	SeverityError = "ERROR"
	SeverityFatal = "FATAL"
)

// Error is an ErrorResponse to be. Detail and Hint may be empty.
type Error struct {
	Severity, Code, Message, Detail, Hint string
}

// New makes an error that has neither detail nor hint.
func New(severity, code, message string) Error {
	return Error{Severity: severity, Code: code, Message: message}
}

// Error is the form for logs: "FATAL: sorry, too many clients already (SQLSTATE 53300)".
func (e Error) Error() string {
	return e.Severity + ": " + e.Message + " (SQLSTATE " + e.Code + ")"
}

// Quote is the same error with a server's own detail and hint, which may be empty.
func (e Error) Quote(detail, hint string) Error {
	e.Detail, e.Hint = clean(detail), clean(hint)
	return e
}

// Fatal is the same error where the connection can't go on: at login, or where going on would let later statements
// of a lost transaction run by themselves.
func (e Error) Fatal() Error {
	e.Severity = SeverityFatal
	return e
}
