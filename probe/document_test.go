package probe

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

// update rewrites files that are made from what is here.
var update = flag.Bool("update", false, "rewrite the list of cases in docs/check.md")

// documented is the list of cases for the document.
func documented() string {
	var b strings.Builder
	group := ""
	for _, c := range Cases() {
		if c.Group != group {
			group = c.Group
			fmt.Fprintf(&b, "\n### %s\n", group)
		}
		fmt.Fprintf(&b, "\n#### `%s`\n\n%s\n\n", c.ID, c.Title)
		if c.Races {
			b.WriteString("- Runs only with `--races`.\n")
		}
		fmt.Fprintf(&b, "- Expected: %s\n- Source: %s\n- If not: %s\n", c.Expected, c.Source, c.Means)
	}
	return b.String()
}

// TestDocument: the document lists the cases that there are.
func TestDocument(t *testing.T) {
	const path = "../docs/check.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const mark = "-run TestDocument -update -->\n"
	before, list, ok := strings.Cut(string(text), mark)
	if !ok {
		t.Fatalf("%s has no list of cases", path)
	}
	if list == documented() {
		return
	}
	if !*update {
		t.Fatalf("%s: the list of cases is not up to date: go test ./probe -run TestDocument -update", path)
	}
	if err := os.WriteFile(path, []byte(before+mark+documented()), 0o644); err != nil {
		t.Fatal(err)
	}
}
