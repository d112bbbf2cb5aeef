package arch

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// named is a test as a document names it, `TestXxx` or `TestXxx/case`, and script a file of testdata.
var (
	named  = regexp.MustCompile("`(Test[A-Z]\\w*)((?:/[^`]+)?)`")
	script = regexp.MustCompile("`(\\w+\\.txt)`")
)

// proofs are the documents whose sentences name the tests that hold them, and how many names there are at least.
var proofs = []struct {
	page  string
	least int
}{{"docs/cancel.md", 100}, {"README.md", 10}}

// TestNamedTests: every test, case and script that a document names is there.
func TestNamedTests(t *testing.T) {
	pages, tests, scripts := map[string]string{}, map[string][]string{}, map[string]bool{}
	for _, dir := range []string{"internal/engine/testdata", "internal/session/testdata", "internal/relay/testdata"} {
		for _, name := range files(t, dir) {
			scripts[name] = true
		}
	}
	walk(t, func(rel string, content []byte) {
		switch {
		case strings.HasSuffix(rel, ".md"):
			pages[rel] = string(content)
		case strings.HasSuffix(rel, "_test.go"):
			for _, m := range declared.FindAllStringSubmatch(string(content), -1) {
				tests[m[1]] = append(tests[m[1]], string(content))
			}
		}
	})
	for _, proof := range proofs {
		if len(named.FindAllString(pages[proof.page], -1)) < proof.least {
			t.Errorf("%s names hardly any test", proof.page)
		}
		report(t, checkNamed(proof.page, pages[proof.page], tests, scripts))
	}
}

var declared = regexp.MustCompile(`(?m)^func (Test[A-Z]\w*)\(`)

// checkNamed tells what a document names in vain. tests are the sources of the files that a test of that name is in. A case
// is one if its name is a text in one of them.
func checkNamed(page, content string, tests map[string][]string, scripts map[string]bool) []string {
	var found []string
	for i, line := range strings.Split(content, "\n") {
		at := fmt.Sprintf("%s:%d: ", page, i+1)
		for _, m := range named.FindAllStringSubmatch(line, -1) {
			sources := tests[m[1]]
			if sources == nil {
				found = append(found, at+"there is no "+m[1])
				continue
			}
			for _, part := range strings.Split(m[2], "/")[1:] {
				has := func(source string) bool {
					return strings.Contains(source, `"`+part+`"`) || number.MatchString(part) && regexp.MustCompile(`\b`+part+`\b`).MatchString(source)
				}
				if !slices.ContainsFunc(sources, has) {
					found = append(found, at+m[1]+" has no case "+part)
				}
			}
		}
		for _, m := range script.FindAllStringSubmatch(line, -1) {
			if !scripts[m[1]] {
				found = append(found, at+"there is no script "+m[1])
			}
		}
	}
	return found
}

var number = regexp.MustCompile(`^\d+$`)

// TestNamedTestsAreLookedFor: the check above finds what is missing.
func TestNamedTestsAreLookedFor(t *testing.T) {
	tests := map[string][]string{"TestA": {`t.Run("one", ...)`, `{"two", 3}`}}
	for text, want := range map[string]string{
		"`TestA`": "", "`TestA/one`": "", "`TestA/two`": "", "`TestA/3`": "", "TestB": "", "`a.txt`": "",
		"`TestB`": "p:1: there is no TestB", "`TestA/four`": "p:1: TestA has no case four", "`TestA/four words`, `TestA`": "p:1: TestA has no case four words",
		"`b.txt`": "p:1: there is no script b.txt", "`TestA/33`": "p:1: TestA has no case 33",
	} {
		if got := strings.Join(checkNamed("p", text, tests, map[string]bool{"a.txt": true}), "; "); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// outcomeNames is where the outcomes of cancels are named, and told their number by it.
var outcomeNames = regexp.MustCompile(`outcomeNames = \[\.\.\.\]string\{([^}]*)\}`)

// TestOutcomesAreExplained: each outcome has a line in the table of docs/cancel.md, and each line is one.
func TestOutcomesAreExplained(t *testing.T) {
	var names, rows []string
	walk(t, func(rel string, content []byte) {
		switch rel {
		case "internal/event/event.go":
			if m := outcomeNames.FindSubmatch(content); m != nil {
				for _, quoted := range strings.Split(string(m[1]), ",") {
					names = append(names, strings.Trim(quoted, ` "`))
				}
			}
		case "docs/cancel.md":
			_, table, _ := strings.Cut(string(content), "\n## Outcomes\n")
			table, _, _ = strings.Cut(table, "\n## ")
			for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)`").FindAllStringSubmatch(table, -1) {
				rows = append(rows, m[1])
			}
		}
	})
	slices.Sort(names)
	slices.Sort(rows)
	if len(names) == 0 || !slices.Equal(names, rows) {
		t.Errorf("the outcomes are %s,\nand docs/cancel.md explains %s", strings.Join(names, " "), strings.Join(rows, " "))
	}
}
