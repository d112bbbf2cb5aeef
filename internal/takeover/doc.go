// Package takeover has a new process take the place of a running one, without a connection refused: the listening sockets
// go over with their queues, and the two know of each other until the old one's last client has left.
//
// Role: a driver. Each process has a socket of its own beside takeover_socket, which is a symbolic link to that of the
// process in service (place.go). Over it a new process claims what the running one listens on (claim.go), and the
// running one answers (host.go): the sockets by SCM_RIGHTS with their configured addresses, what judges the keys that
// it gave out, and where its own predecessors are. Both speak in packets (packet.go). What a process is given, by its
// predecessor or by systemd, waits in Sockets until its configuration asks for it (sockets.go).
//
// It may import x/sys/unix and go-systemd's activation, and of the house listen alone.
//
// Invariants: whichever of the two has taken the baton (baton.go) is in service, and no other. Until the new process says
// that it serves, the old one can go on as if nothing had been: it has closed nothing, and does go on if the new one ends.
// From then on it accepts nothing. Where the old one ends first, the new one serves. Either side speaks to processes of its
// own user alone (SO_PEERCRED). No socket file is unlinked or bound again by who took it over; the last owner removes it.
//
// Limits: a packet has 64 KB and 253 descriptors, one takeover goes on at a time, and the new process has a minute
// between its claim and its go, and ten seconds from there until it takes the baton.
package takeover
