// Package loop carries the bytes of adopted connections: one thread, one receive buffer, no lock and no
// allocation per message. To its user it is completion-style (bytes arrived, send these, so much was sent), so
// that io_uring and kqueue can stand in for epoll without a change outside this package.
//
// It imports engine for the words Conn, Buf and How, golang.org/x/sys/unix, and crypto/tls. It knows nothing of
// PostgreSQL, of clients or of servers.
//
// # Threads
//
// Run locks a thread and calls the Handler on it, one call at a time, never from inside a method of the Loop
// (Drain excepted, which is asked for the very purpose). Stop, Post, Now, Reserve and Conns may be called from any
// goroutine; everything else only on the loop: in a Handler's method or a posted function.
//
// # A turn
//
// Poll without blocking; if there is nothing to do, poll again and block. With a processor of its own (KeepProcessor) a
// loop whose last wait was short does so in one step, and without a word to the scheduler (doze); where one connection alone
// brings small pieces of something large, it sleeps 50 us first (stream). Note what became readable and writable, in the order the kernel tells it; run the posted functions; tell those who await a descriptor; give each readable
// connection one read, in arrival order; then timers. What the Handler sends is written, each connection once with all its
// pieces joined (write, or writev for several) and followed by its Sent: after every call, but after small reads (1 KB) only
// behind the last of them, or 64, since whoever is woken by a write competes with the loop for the processor (ADR 22). A
// connection that has something to hear hears it before it is read. What small reads bring is copied then; else Forward refers to the
// receive buffer. What the kernel does not take is copied to the heap and written when the socket has room. So no reference into
// the buffer outlives the call that lent it, and one buffer serves every connection: an idle one owns none.
//
// # Edge-triggered
//
// Every connection is registered once, for everything, edge-triggered. Pause, Resume and a blocked write are then
// flags here instead of epoll_ctl calls, of which a level-triggered loop would make two for each client that waits
// for a server. The price is to remember what the kernel said: a connection stays readable until a read
// comes back short. That is trusted (no read is made only to see EAGAIN) except after a FIN, an error or an urgent
// mark was announced, which may stand behind a short read without another edge.
//
// # TLS
//
// crypto/tls sits on memory instead of a socket: a read that finds nothing fails with an error that it takes for a
// passing one, a write collects records. What one read of the socket brings is opened at once, into a second buffer
// that all connections share, so of an idle one there is only what crypto/tls holds itself. Sent counts content, not
// records, and a batch only when the kernel has taken all of its records: the records of at most one batch are kept on
// the heap, what waits behind them as it came. A handshake can't be resumed: it is over before AdoptTLS.
//
// # Descriptors of the caller's
//
// Await tells once when a descriptor that was not adopted is ready: for conversations of a few bytes, such as a cancel
// on its way to a server or a client that logs in, which must not cost a goroutine. Watch tells of one again and again, a
// listening socket for one. Everything is done to it by the caller. What they make the Handler send is written after each
// single call, as with a call of the Handler.
//
// # The end of a connection
//
// Each Conn gets exactly one Closed, last; its error is nil if it was closed as asked, io.EOF after the peer's FIN,
// else the socket's error. FIN is told behind all data in front of it. A paused connection is not read, so there
// FIN is told at once only if nothing is unread; after Resume otherwise. A reset is told to a paused connection at
// once, to others behind the data that arrived before it (a server's last words are often followed by one). When a
// write fails, what has arrived is still read first, for the same reason.
//
// With TLS close_notify and a bare FIN are both io.EOF; in the middle of a record a FIN is an error. Close with Flush
// sends close_notify before its FIN. A paused connection whose FIN was announced is read if so little stands before it that
// it may be a close_notify: Data may follow a Pause.
//
// # io_uring
//
// A driver for it was tried and thrown away (ADR 17). The Handler, the engine and the order of a turn stay as they are; what changes is
// epoll_linux.go and, in the other files, how bytes are read and written and how a descriptor is given up. It
//   - sets its ring up with SINGLE_ISSUER and DEFER_TASKRUN, disabled until Run has its thread: so nothing completes but inside
//     io_uring_enter, and Drain is: enter without waiting, note, tell what came of this connection, until 64 KB or nothing more;
//   - notes completions where note notes readiness, in a place of each connection, and tells them in readAll;
//   - receives one-shot into provided buffers, again only after Data and unless paused. A receive in flight at a Pause stays; a
//     paused connection without one gets a poll for its end (POLLRDHUP). No buffer left (ENOBUFS): a plain read into recv;
//   - says More after a full buffer, with CQE_F_SOCK_NONEMPTY, or if another completion of the connection is noted;
//   - sends with MSG_DONTWAIT, spills what is left, and polls for room; gives lent buffers back after the submission. Before it
//     reads into recv or opens records into opened again, and before Run returns, it submits;
//   - submits few sends together, and reckons with those in front of each when it says Told: the kernel takes them one after the other;
//   - cancels what is in flight before it closes a descriptor, and tells Closed and frees the name after the last completion. So
//     too before Await tells that time is over, and before shut closes the ring, which by itself lets go of sockets some time later;
//   - reports what epoll_ctl refuses at once (EBADF) although it would come as a completion.
//
// A Conn fills the 64 bits of user_data: the kind of an operation takes its place from the generation, which need not be whole if
// names are freed as said.
//
// # Limits
//
// A TLS connection that makes us answer (KeyUpdate) without reading the answers is ended at 128 KB of them.
// One read takes at most 64 KB; so does Drain. Close with Flush waits for a peer that does not read as long as it
// takes some bytes each minute (flushStall), then for its FIN at most a second or 64 KB. The heap queue of a connection has no limit
// of its own: the engine sees in Sent what is left and pauses the source.
//
// With the build tag invariants lent memory is scribbled over after its lifetime, and calls from another
// thread are caught.
package loop
