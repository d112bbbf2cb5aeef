// Package arch holds the rules of the house as tests: which package may import which, what the pure ones keep away
// from, how large and how well described things are. The table in house_test.go is the place to read them.
//
// Bench side: it imports nothing of Cancello, it reads the source. Limits: it sees the source of our own packages,
// not what a library does inside; build tags are looked at for the order of maps only where the table names them.
package arch
