package admin

import (
	"strings"

	"cancello/internal/sqlstate"
)

// word is one word of a statement. A quoted one is a name as it stands, others are as they are but for their case.
type word struct {
	text   string
	quoted bool
}

// is compares a word that is not quoted with one in capitals.
func (w word) is(keyword string) bool { return !w.quoted && strings.EqualFold(w.text, keyword) }

// name is the word as a name: as in SQL, one that is not quoted is in small letters.
func (w word) name() string {
	if w.quoted {
		return w.text
	}
	return strings.ToLower(w.text)
}

// statements cuts a text at its semicolons into statements of words. Comments and empty statements are left out.
func statements(text string) ([][]word, error) {
	var all [][]word
	var now []word
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == ';':
			if len(now) > 0 {
				all, now = append(all, now), nil
			}
			i++
		case strings.IndexByte(" \t\r\n\f", c) >= 0:
			i++
		case strings.HasPrefix(text[i:], "--"):
			n := strings.IndexByte(text[i:], '\n')
			if n < 0 {
				n = len(text) - i
			}
			i += n
		case strings.HasPrefix(text[i:], "/*"):
			n := strings.Index(text[i:], "*/")
			if n < 0 {
				return nil, syntax("unterminated /* comment")
			}
			i += n + 2
		case c == '"' || c == '\'':
			w, n, err := quoted(text[i:])
			if err != nil {
				return nil, err
			}
			now = append(now, w)
			i += n
		case c == '=' || c == ',':
			now = append(now, word{text: string(c)})
			i++
		default:
			n := strings.IndexAny(text[i:], " \t\r\n\f;\"'=,")
			if n < 0 {
				n = len(text) - i
			}
			now = append(now, word{text: text[i : i+n]})
			i += n
		}
	}
	if len(now) > 0 {
		all = append(all, now)
	}
	return all, nil
}

// quoted reads a name or a text in quotes; two of them in a row are one within.
func quoted(s string) (w word, n int, err error) {
	mark := s[0]
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != mark {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == mark {
			b.WriteByte(mark)
			i++
			continue
		}
		return word{b.String(), true}, i + 1, nil
	}
	return word{}, 0, syntax("unterminated quoted text")
}

func syntax(message string) sqlstate.Error {
	return sqlstate.New(sqlstate.SeverityError, codeSyntax, message)
}
