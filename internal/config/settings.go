package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxDuration bounds every time: a year. Longer ones are slips of the unit.
const maxDuration = 365 * 24 * time.Hour

// setting is one line of a table: a name and the one kind of value it has. It is of the whole (T is Config), of a
// database, or of a user.
type setting[T any] struct {
	name  string
	table string // of the file: [pool]; empty for the top, and for entries, which are tables of their own
	about string // for people, in a few words
	when  When
	flag  string // that sets it, in place of --set

	given  func(*T) *bool // says whether the value holds; nil: it always does
	absent string         // what holds where it is not given, for people
	secret bool           // the value is never shown

	number   func(*T) *int
	min, max int
	several  bool             // a list is allowed, too: of a number, or of a text
	numbers  func(*T) *string // where several numbers go, with commas between them; empty for one

	duration func(*T) *time.Duration
	zero     string // what 0 means; empty: 0 is not allowed

	words []string // allowed words, the default first
	word  func(*T) choice

	text    func(*T) *string
	allowed string                          // of texts and lists, in words
	refused func(value string) (why string) // empty: it is allowed. Nil: all are

	list func(*T) *[]string

	yes func(*T) *bool
}

// choice is a value that is one of some words.
type choice interface {
	pick(i int)
	index() int
}

func (m *Mode) pick(i int)   { *m = Mode(i) }
func (m *Mode) index() int   { return int(*m) }
func (m *Method) pick(i int) { *m = Method(i) }
func (m *Method) index() int { return int(*m) }

func (f *LogFormat) pick(i int) { *f = LogFormat(i) }
func (f *LogFormat) index() int { return int(*f) }

// kind is how a value is written in a file.
type kind uint8

const (
	aWord kind = iota // a text that is one of some
	aText
	aNumber
	aTime // a text with a unit, or a number of seconds
	aList // of texts
	aYes  // true or false
)

func (s *setting[T]) kind() kind {
	switch {
	case s.number != nil:
		return aNumber
	case s.duration != nil:
		return aTime
	case s.text != nil:
		return aText
	case s.list != nil:
		return aList
	case s.yes != nil:
		return aYes
	}
	return aWord
}

// path is where the setting is in a file.
func (s *setting[T]) path() string {
	if s.table == "" {
		return s.name
	}
	return s.table + "." + s.name
}

// set changes c only if the value is allowed. A list's values are separated by commas; they are looked at together, by
// Validate.
func (s *setting[T]) set(c *T, value string) error {
	switch s.kind() {
	case aNumber:
		if s.numbers != nil {
			n, list, ok := s.portList(value)
			if !ok {
				return s.refuse(value)
			}
			*s.number(c), *s.numbers(c) = n, list
			break
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < s.min || n > s.max {
			return s.refuse(value)
		}
		*s.number(c) = n
	case aTime:
		d, err := parseDuration(value)
		if err != nil || !s.timely(d) {
			return s.refuse(value)
		}
		*s.duration(c) = d
	case aText:
		if why := s.faulty(value); why != "" {
			return s.because(value, why)
		}
		*s.text(c) = value
	case aList:
		var list []string
		for v := range strings.SplitSeq(value, ",") {
			list = append(list, strings.TrimSpace(v))
		}
		*s.list(c) = list
	case aYes:
		if value != "true" && value != "false" {
			return s.refuse(value)
		}
		*s.yes(c) = value == "true"
	default:
		i := index(s.words, value)
		if i < 0 {
			return s.refuse(value)
		}
		if s.word != nil {
			s.word(c).pick(i)
		}
	}
	if s.given != nil {
		*s.given(c) = true
	}
	return nil
}

func index(words []string, word string) int {
	for i, w := range words {
		if w == word {
			return i
		}
	}
	return -1
}

// check is Validate's part: c may have been filled by hand. Lists are looked at as a whole, elsewhere.
func (s *setting[T]) check(c *T) error {
	if s.given != nil && !*s.given(c) {
		return nil
	}
	switch s.kind() {
	case aNumber:
		if n := *s.number(c); n < s.min || n > s.max {
			return s.refuse(strconv.Itoa(n))
		}
		if s.numbers != nil && *s.numbers(c) != "" {
			if _, _, ok := s.portList(*s.numbers(c)); !ok {
				return s.refuse(*s.numbers(c))
			}
		}
	case aTime:
		if d := *s.duration(c); !s.timely(d) {
			return s.refuse(durationText(d))
		}
	case aText:
		if why := s.faulty(*s.text(c)); why != "" {
			return s.because(*s.text(c), why)
		}
	case aWord:
		if s.word != nil && s.word(c).index() >= len(s.words) {
			return s.refuse(strconv.Itoa(s.word(c).index()))
		}
	}
	return nil
}

// timely is the bound of every time: nothing between 0 and a millisecond, which only a slip of the unit gives.
func (s *setting[T]) timely(d time.Duration) bool {
	return d == 0 && s.zero != "" || d >= time.Millisecond && d <= maxDuration
}

func (s *setting[T]) faulty(value string) (why string) {
	switch {
	case strings.ContainsRune(value, 0):
		return "there is a zero byte in it, which PostgreSQL can't take"
	case s.refused != nil:
		return s.refused(value)
	}
	return ""
}

// refuse is the error for a value that isn't allowed.
func (s *setting[T]) refuse(value string) error { return s.because(value, "") }

func (s *setting[T]) because(value, why string) error {
	switch {
	case s.secret:
		value = "***"
	default:
		value = strconv.Quote(value)
	}
	if why == "" {
		why = "give " + s.bounds()
	}
	return fmt.Errorf("%s = %s is not allowed: %s", s.name, value, why)
}

// bounds says what is allowed.
func (s *setting[T]) bounds() string {
	switch s.kind() {
	case aNumber:
		text := fmt.Sprintf("a whole number from %d to %d", s.min, s.max)
		if s.several {
			text += ", or a list of them"
		}
		return text
	case aTime:
		text := "a time from 1ms to 8760h (a number is seconds; units are ms, s, m or min, h)"
		if s.zero != "" {
			text += ", or 0 for " + s.zero
		}
		return text
	case aText, aList:
		return s.allowed
	case aYes:
		return "true or false"
	}
	switch n := len(s.words); n {
	case 1:
		return s.words[0] + ", which is all there is so far"
	default:
		return strings.Join(s.words[:n-1], ", ") + " or " + s.words[n-1]
	}
}

// value is the setting's value for people, in the form that set takes; empty where it is not given. A secret is shown
// as stars.
func (s *setting[T]) value(c *T) string {
	if s.given != nil && !*s.given(c) {
		return ""
	}
	switch s.kind() {
	case aNumber:
		if s.numbers != nil && *s.numbers(c) != "" {
			return *s.numbers(c)
		}
		return strconv.Itoa(*s.number(c))
	case aTime:
		return durationText(*s.duration(c))
	case aText:
		if s.secret && *s.text(c) != "" {
			return "***"
		}
		return *s.text(c)
	case aList:
		return strings.Join(*s.list(c), ", ")
	case aYes:
		return strconv.FormatBool(*s.yes(c))
	}
	if s.word == nil {
		return s.words[0]
	}
	if i := s.word(c).index(); i < len(s.words) {
		return s.words[i]
	}
	return strconv.Itoa(s.word(c).index())
}

// same tells whether two have the same value, secrets too.
func (s *setting[T]) same(a, b *T) bool {
	if s.secret {
		return *s.text(a) == *s.text(b)
	}
	return s.value(a) == s.value(b)
}
