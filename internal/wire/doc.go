// Package wire knows PostgreSQL's frontend/backend protocol, version 3: the frame of a message, the packets that
// come before the first one (startup, SSLRequest, GSSENCRequest, CancelRequest), the negotiation of the minor
// version, and the few messages that Cancello writes or looks into itself.
//
// It imports only pure parts of the standard library, and nothing of Cancello.
//
// Invariants:
//   - A length is checked against its limit before anything of that length is read, allocated or skipped.
//   - No function reads past the slice it is given, and none panics on any bytes.
//   - Header functions and decoders do not allocate, and keep no reference to their input beyond what they return.
//     Appenders allocate only when dst is too small.
//   - An error's text is what PostgreSQL says to its client in the same place, so it can be passed on. It never
//     holds bytes of a message's body.
//
// Limits: MaxStartupLen, MaxCancelKeyLen, MaxSmallLen, MaxMessageLen, MaxServerSmallLen and MaxServerLen.
//
// Sources: "Frontend/Backend Protocol" in PostgreSQL's documentation; src/include/libpq/pqcomm.h, libpq.h and
// protocol.h; SocketBackend in postgres.c; ProcessStartupPacket in backend_startup.c; pqParseInput3 in libpq.
package wire
