// Package shorthand writes messages of the protocol as a person would on paper, for scripts in testdata:
//
//	P "" "select 1" | B "" "" | E | S          from a client
//	1 | 2 | T | D | C "SELECT 1" | Z I         from a server
//
// A message is its type byte and what matters of its body; a bar stands between two. In place of a text, *300 is a
// text of 300 bytes, words of one letter. It is pure and imports nothing of ours; what it cannot show it shows as a number of bytes.
package shorthand
