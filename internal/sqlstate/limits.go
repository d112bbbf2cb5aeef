package sqlstate

import "strconv"

// TooManyDatabaseClients: a database has as many clients as max_db_client_connections, given as limit, lets it have. The
// message is PostgreSQL's for a database's own limit.
func TooManyDatabaseClients(database string, limit int) Error {
	e := New(SeverityFatal, CodeTooManyConnections, "too many connections for database "+quote(database))
	e.Detail = "Cancello has max_db_client_connections = " + strconv.Itoa(limit) + " client connections to it."
	e.Hint = "Close connections that are not needed, or raise max_db_client_connections."
	return e
}

// TooManyUserClients: a user has as many clients as max_user_client_connections, given as limit, lets it have. The message
// is PostgreSQL's for a role's own limit.
func TooManyUserClients(user string, limit int) Error {
	e := New(SeverityFatal, CodeTooManyConnections, "too many connections for role "+quote(user))
	e.Detail = "Cancello has max_user_client_connections = " + strconv.Itoa(limit) + " client connections of it."
	e.Hint = "Close connections that are not needed, or raise max_user_client_connections."
	return e
}

// NoRoomForServer: a client's login waited for a server that may not be opened, because a limit of servers, of its
// pool or of all pools of its database or user, named by setting, is reached.
func NoRoomForServer(setting string, limit int) Error {
	e := New(SeverityFatal, CodeTooManyConnections, "no server connection could be opened within query_wait_timeout")
	e.Detail = "There are as many as " + setting + " = " + strconv.Itoa(limit) + " lets there be, and none of them is idle."
	e.Hint = "Look for long transactions or sessions that hold them, or raise " + setting + "."
	return e
}

// ServerReplaced: the server that a session has for itself is to be closed, and server_fast_close does not let it wait
// for the session's end. why says what for. Nothing was running.
func ServerReplaced(why string) Error {
	e := New(SeverityFatal, CodeAdminShutdown, "terminating connection due to administrator command")
	e.Detail = "The server connection of this session is closed (" + clean(why) + "), and server_fast_close is set."
	e.Hint = "No statement was running. Connect again."
	return e
}
