package config

import (
	"errors"
	"strings"
)

const spaces = " \t\r\n\v\f"

// keywords reads name=value pairs with white space between them (conninfo_parse in fe-connect.c): around = there may
// be spaces, a value may be in single quotes, and \ takes the next character as it is.
func (p *dsnParams) keywords(s string) error {
	for {
		s = strings.TrimLeft(s, spaces)
		if s == "" {
			return nil
		}
		name, rest, ok := strings.Cut(s, "=")
		name = strings.TrimRight(name, spaces)
		if !ok || name == "" || strings.ContainsAny(name, spaces) {
			return errors.New("it must be a URL or name=value pairs; a value with spaces is written in single quotes")
		}
		value, rest, err := keywordValue(strings.TrimLeft(rest, spaces))
		if err != nil {
			return err
		}
		if err := p.set(name, value); err != nil {
			return err
		}
		s = rest
	}
}

// keywordValue reads one value from the front of s.
func keywordValue(s string) (value, rest string, err error) {
	var out strings.Builder
	quoted := strings.HasPrefix(s, "'")
	if quoted {
		s = s[1:]
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			out.WriteByte(s[i])
		case c == '\\' && !quoted: // libpq drops one at the very end
		case quoted && c == '\'':
			rest = s[i+1:]
			if rest != "" && !strings.ContainsRune(spaces, rune(rest[0])) {
				return "", "", errors.New(`there is text behind a closing single quote; inside quotes write \'`)
			}
			return out.String(), rest, nil
		case !quoted && strings.IndexByte(spaces, c) >= 0:
			return out.String(), s[i:], nil
		default:
			out.WriteByte(c)
		}
	}
	if quoted {
		return "", "", errors.New("a closing single quote is missing")
	}
	return out.String(), "", nil
}
