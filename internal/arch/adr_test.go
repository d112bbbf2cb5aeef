package arch

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"testing"
)

var decision = regexp.MustCompile(`^(\d{4})-[a-z0-9-]+\.md$`)

// TestDecisions: each decision in docs/adr has a number of its own, none is left out, and its heading says the same one.
// Two that are written at once take the same.
func TestDecisions(t *testing.T) {
	headings := map[string]string{}
	walk(t, func(rel string, content []byte) {
		if path.Dir(rel) == "docs/adr" {
			heading, _, _ := strings.Cut(string(content), "\n")
			headings[path.Base(rel)] = heading
		}
	})
	if len(headings) == 0 {
		t.Error("no decisions in docs/adr")
	}
	report(t, checkDecisions(headings))
}

// checkDecisions takes the first lines of files by their names.
func checkDecisions(headings map[string]string) []string {
	var found []string
	numbers := map[string]string{}
	for name, heading := range headings {
		m := decision.FindStringSubmatch(name)
		if m == nil {
			found = append(found, fmt.Sprintf("docs/adr/%s: not named NNNN-words-of-its-title.md", name))
			continue
		}
		if other := numbers[m[1]]; other != "" {
			found = append(found, fmt.Sprintf("docs/adr/%s has the number of %s", name, other))
		}
		numbers[m[1]] = name
		if want := "# " + strings.TrimLeft(m[1], "0") + ". "; !strings.HasPrefix(heading, want) {
			found = append(found, fmt.Sprintf("docs/adr/%s: its heading does not begin with %q", name, want))
		}
	}
	for i := 1; i <= len(numbers); i++ {
		if number := fmt.Sprintf("%04d", i); numbers[number] == "" {
			found = append(found, fmt.Sprintf("docs/adr: there is no %s, but a later one", number))
		}
	}
	return found
}
