package arch

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// unwanted is what no file of the repository holds. Written in halves, or this file would hold it.
var unwanted = map[string]*regexp.Regexp{
	"a path of one machine": regexp.MustCompile(`(^|[\s"'=:(` + "`" + `])/(wo` + `rk|ro` + `ot|ho` + `me|tmp/spec)(/|$|[\s"'` + "`" + `])`),
	"a note to oneself":     regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`),
	"a package registry":    regexp.MustCompile(`regis` + `try\.[a-z]|proxy\.gol` + `ang\.org|\bnpm` + `js\.`),
}

// TestUnwanted: nothing that is true on one machine or on one day only.
func TestUnwanted(t *testing.T) {
	walk(t, func(rel string, content []byte) {
		if bytes.IndexByte(content, 0) < 0 {
			report(t, checkUnwanted(rel, string(content)))
		}
	})
}

func checkUnwanted(path, content string) []string {
	var found []string
	for i, line := range strings.Split(content, "\n") {
		for what, pattern := range unwanted {
			if m := pattern.FindString(line); m != "" {
				found = append(found, fmt.Sprintf("%s:%d: %s: %q", path, i+1, what, strings.TrimSpace(m)))
			}
		}
	}
	return found
}

// TestNoReplace: what go.mod says is what is built, on every machine.
func TestNoReplace(t *testing.T) {
	seen := false
	walk(t, func(rel string, content []byte) {
		if rel == "go.mod" {
			seen = true
			report(t, checkReplace(string(content)))
		}
	})
	if !seen {
		t.Error("no go.mod")
	}
}

func checkReplace(mod string) []string {
	var found []string
	for i, line := range strings.Split(mod, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "replace ") || strings.HasPrefix(line, "replace(") {
			found = append(found, fmt.Sprintf("go.mod:%d: no replace", i+1))
		}
	}
	return found
}
