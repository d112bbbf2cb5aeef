// Package key mints and judges the cancel keys that Cancello hands to its clients. They are always our own,
// never a server's.
//
// Role: a BackendKeyData is a pid and a key. The pid says which node and which slot of it a CancelRequest is
// for; the key proves that whoever sends it was given it. At protocol 3.0 the key is four random bytes, kept
// with the slot. At 3.2 it is 32 bytes that carry node and incarnation under a MAC, so that a forged one is told
// by a single hash, before a slot is looked at or anything is dialed, and a key of another node or of an earlier
// process is told from a forged one. Nodes share a secret; while it is changed keys under two are genuine.
//
// It may import wire, and of the standard library what is pure (crypto/hmac, crypto/sha256, crypto/subtle,
// encoding/binary). Random bytes come in as arguments.
//
// Invariants: bit 31 of a pid is never set (int32 in clients: positive), bit 30 always is, so that it is above
// every pid of a Linux system (at most 4194304); whether two keys are equal takes the same time wherever they
// differ. A genuine MAC says that a key was minted here, not that it is the slot's present one: the caller still
// compares it with Equal.
//
// Who guesses keys is told by Guesses, which decides how long the connection of a failed request is kept.
//
// Limits: 1024 nodes, Slots clients of a node.
package key
