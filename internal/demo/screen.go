package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// screen is what a person reads. It is used by one goroutine.
type screen struct {
	out    io.Writer
	colour bool
	lost   func(error) // called when out takes no more
	scenes int
}

// The styles, as terminals know them.
const (
	bold  = "\x1b[1m"
	green = "\x1b[32m"
	red   = "\x1b[31m"
	plain = "\x1b[0m"
)

// width of a line in columns.
const width = 96

func (s *screen) style(style, text string) string {
	if !s.colour {
		return text
	}
	return style + text + plain
}

func (s *screen) line(text string) {
	if _, err := io.WriteString(s.out, text+"\n"); err != nil {
		s.lost(err)
	}
}

// scene begins the next scene.
func (s *screen) scene(title string) {
	s.scenes++
	s.line("")
	s.line(s.style(bold, fmt.Sprintf("%d. %s", s.scenes, title)))
}

// tell says what happens now.
func (s *screen) tell(format string, args ...any) {
	for _, line := range wrap(fmt.Sprintf(format, args...), width-3) {
		s.line("   " + line)
	}
}

// seen says what was seen and is as promised.
func (s *screen) seen(format string, args ...any) {
	s.marked(s.style(green, "✓"), fmt.Sprintf(format, args...))
}

// failure says what was seen and is not as promised.
func (s *screen) failure(err error) {
	s.marked(s.style(red, "✗"), "NOT AS PROMISED: "+err.Error())
	s.line("")
}

func (s *screen) marked(mark, text string) {
	for i, line := range wrap(text, width-5) {
		if i > 0 {
			mark = " "
		}
		s.line("   " + mark + " " + line)
	}
}

// text is a paragraph outside of the scenes.
func (s *screen) text(format string, args ...any) {
	for _, line := range wrap(fmt.Sprintf(format, args...), width) {
		s.line(line)
	}
}

// wrap breaks a text at blanks into lines of at most so many letters, where its words allow.
func wrap(text string, columns int) []string {
	var lines []string
	line, length := "", 0
	for word := range strings.FieldsSeq(text) {
		n := len([]rune(word))
		switch {
		case line == "":
			line, length = word, n
		case length+1+n > columns:
			lines = append(lines, line)
			line, length = word, n
		default:
			line, length = line+" "+word, length+1+n
		}
	}
	return append(lines, line)
}

// ms is a duration as a person reads it.
func ms(d time.Duration) string {
	if d >= 100*time.Millisecond {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// number has its thousands set apart.
func number(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", number(n/1000), n%1000)
}

// times is how often, in a word where there is one.
func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}
