package shorthand

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Stream says what goes by in one direction. Messages may come in pieces.
type Stream struct {
	From Side
	rest int  // of the message under way
	typ  byte // its type
}

// Say is the shorthand of the next bytes. A piece of a message is said by its size.
func (s *Stream) Say(b []byte) string {
	var said []string
	for len(b) > 0 {
		if s.rest > 0 {
			n := min(s.rest, len(b))
			said = append(said, fmt.Sprintf("%c+%d", s.typ, n))
			s.rest, b = s.rest-n, b[n:]
			continue
		}
		if len(b) < 5 {
			return strings.Join(append(said, fmt.Sprintf("raw %x", b)), " | ")
		}
		n := 1 + int(binary.BigEndian.Uint32(b[1:]))
		if n < 5 {
			return strings.Join(append(said, fmt.Sprintf("raw %x", b)), " | ")
		}
		if n > len(b) {
			said = append(said, fmt.Sprintf("%c(%d of %d bytes)", b[0], len(b), n))
			s.typ, s.rest = b[0], n-len(b)
			break
		}
		said = append(said, say(s.From, b[0], b[5:n]))
		b = b[n:]
	}
	return strings.Join(said, " | ")
}

// Say is the shorthand of whole messages.
func Say(from Side, b []byte) string {
	s := Stream{From: from}
	return s.Say(b)
}

func say(from Side, typ byte, body []byte) string {
	words := []string{string(typ)}
	switch {
	case from == Client && bytes.IndexByte([]byte("QPBf"), typ) >= 0:
		words = append(words, quote(body, map[byte]int{'Q': 1, 'f': 1, 'P': 2, 'B': 2}[typ])...)
	case from == Client && bytes.IndexByte([]byte("DC"), typ) >= 0 && len(body) > 0:
		words = append(words, string(body[:1]))
		words = append(words, quote(body[1:], 1)...)
	case from == Client && typ == 'E':
		if name := quote(body, 1); name[0] != `""` {
			words = append(words, name...)
		}
	case from == Server && typ == 'Z':
		words = append(words, string(body))
	case from == Server && typ == 'C':
		words = append(words, quote(body, 1)...)
	case from == Server && (typ == 'E' || typ == 'N'):
		words = append(words, field(body, 'S'), field(body, 'C'))
		if m := field(body, 'M'); m != "" {
			words = append(words, strconv.Quote(m))
		}
	case from == Server && typ == 'S':
		words = append(words, quote(body, 2)...)
	case from == Server && typ == 'A' && len(body) >= 4:
		words = append(words, strconv.Itoa(int(binary.BigEndian.Uint32(body))))
		words = append(words, quote(body[4:], 2)...)
	case from == Server && bytes.IndexByte([]byte("TtGHW"), typ) >= 0:
	case len(body) > 0:
		words = append(words, strconv.Itoa(len(body)))
	}
	return strings.Join(words, " ")
}

// quote shows the n strings in front of a body; long ones by their size.
func quote(body []byte, n int) []string {
	var words []string
	for range n {
		s, rest, _ := bytes.Cut(body, []byte{0})
		body = rest
		if len(s) > 80 && strings.Trim(string(s), "x ") == "" {
			words = append(words, "*"+strconv.Itoa(len(s)))
			continue
		}
		words = append(words, strconv.Quote(string(s)))
	}
	return words
}

// field is a field of an ErrorResponse.
func field(body []byte, name byte) string {
	for len(body) > 1 {
		s, rest, _ := bytes.Cut(body[1:], []byte{0})
		if body[0] == name {
			return string(s)
		}
		body = rest
	}
	return ""
}
