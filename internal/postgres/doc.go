// Package postgres finds a PostgreSQL on this machine and runs throwaway clusters of it: initdb, start, stop,
// kill. It serves the demo and the tests; a Cancello in production never needs it.
//
// Ring 2: it may use the operating system and imports nothing of Cancello.
//
// What holds:
//   - PostgreSQL refuses to run as root. Under root the server runs as postgres, else as nobody, and everything
//     it needs lies where that account can enter: never under root's home or temporary folder.
//   - A cluster lives in one folder: data, socket, log, shared memory. Stop removes it. If this process is killed
//     the kernel tells the server to quit at once, and the next New sweeps the folder away.
//   - It listens on 127.0.0.1 and on a Unix socket in its folder only, so that any number run side by side.
//   - No secret passes through here: the Unix socket is trusted, passwords are given by SQL over it.
//   - Durability is off (fsync): a kill of the server loses nothing, a crash of the machine may.
//
// Linux only: it relies on the parent death signal and on /proc.
package postgres
