package shorthand

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Side says whose messages they are: the same letter means different things.
type Side bool

// The sides.
const (
	Client Side = true
	Server Side = false
)

// Read makes the messages of a text: lines, or bars between them. A line that starts with # is a remark.
func Read(from Side, text string) ([]byte, error) {
	var b []byte
	for _, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		words, err := split(line)
		if err != nil {
			return nil, err
		}
		for len(words) > 0 {
			end := 0
			for end < len(words) && words[end] != bar {
				end++
			}
			if end > 0 {
				m, err := message(from, words[:end])
				if err != nil {
					return nil, fmt.Errorf("%s: %w", line, err)
				}
				b = append(b, m...)
			}
			words = words[min(end+1, len(words)):]
		}
	}
	return b, nil
}

// bar cannot be the outcome of a quoted word.
const bar = "\x00|"

// split takes a line apart: words, quoted words, bars.
func split(line string) ([]string, error) {
	var words []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		switch line[0] {
		case '|':
			words, line = append(words, bar), line[1:]
		case '"':
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
			word, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
			words, line = append(words, word), line[len(quoted):]
		default:
			n := strings.IndexAny(line, " |\t")
			if n < 0 {
				n = len(line)
			}
			word := line[:n]
			if size, ok := strings.CutPrefix(word, "*"); ok {
				if many, err := strconv.Atoi(size); err == nil {
					word = strings.Repeat("x ", many)[:many]
				}
			}
			words, line = append(words, word), line[n:]
		}
	}
	return words, nil
}

// message makes one message of its words.
func message(from Side, words []string) ([]byte, error) {
	typ, args := words[0], words[1:]
	if typ == "raw" {
		return hex.DecodeString(strings.Join(args, ""))
	}
	if len(typ) != 1 {
		return nil, fmt.Errorf("no type of message: %q", typ)
	}
	var body []byte
	var err error
	if from == Client {
		body, err = clientBody(typ[0], args)
	} else {
		body, err = serverBody(typ[0], args)
	}
	if err != nil {
		return nil, err
	}
	m := binary.BigEndian.AppendUint32([]byte{typ[0]}, uint32(len(body)+4))
	return append(m, body...), nil
}

// arg is the i-th argument, "" if it was left out.
func arg(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}

func text(s string) []byte { return append([]byte(s), 0) }

func clientBody(typ byte, args []string) ([]byte, error) {
	switch typ {
	case 'Q', 'f':
		return text(arg(args, 0)), nil
	case 'P':
		return append(append(text(arg(args, 0)), text(arg(args, 1))...), 0, 0), nil
	case 'B':
		return append(append(text(arg(args, 0)), text(arg(args, 1))...), 0, 0, 0, 0, 0, 0), nil
	case 'D', 'C':
		return append([]byte(arg(args, 0)), text(arg(args, 1))...), nil
	case 'E':
		return append(text(arg(args, 0)), 0, 0, 0, 0), nil
	case 'd', 'F':
		return filler(args)
	case 'S', 'H', 'c', 'X', 'p':
		return nil, nil
	}
	return nil, fmt.Errorf("no client sends %q", typ)
}

func serverBody(typ byte, args []string) ([]byte, error) {
	switch typ {
	case '1', '2', '3', 'n', 's', 'I', 'c':
		return nil, nil
	case 'C', 'Z':
		if typ == 'Z' {
			return []byte(arg(args, 0)), nil
		}
		return text(arg(args, 0)), nil
	case 'E', 'N':
		var b []byte
		for i, field := range []string{"S", "V", "C", "M"} {
			b = append(append(b, field...), text(arg(args, []int{0, 0, 1, 2}[i]))...)
		}
		return append(b, 0), nil
	case 'S':
		return append(text(arg(args, 0)), text(arg(args, 1))...), nil
	case 'A':
		pid, err := strconv.ParseUint(arg(args, 0), 10, 32)
		b := binary.BigEndian.AppendUint32(nil, uint32(pid))
		return append(append(b, text(arg(args, 1))...), text(arg(args, 2))...), err
	case 'T', 't':
		return []byte{0, 0}, nil
	case 'G', 'H', 'W':
		return []byte{0, 0, 0}, nil
	case 'd', 'D', 'V', 'K', 'R':
		return filler(args)
	}
	return nil, fmt.Errorf("no server sends %q", typ)
}

// filler is a body of so many bytes; none if the number was left out.
func filler(args []string) ([]byte, error) {
	if len(args) == 0 {
		return nil, nil
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return nil, err
	}
	return []byte(strings.Repeat("x", n)), nil
}
