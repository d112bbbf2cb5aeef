package arch

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
)

const whereToLook = "Where to look:"

// TestWhereToLook: a doc.go that says where to look says so of each file of its package, and of none that is not there.
func TestWhereToLook(t *testing.T) {
	files, docs := map[string][]string{}, map[string]string{}
	walk(t, func(rel string, content []byte) {
		if path.Ext(rel) != ".go" || strings.HasSuffix(rel, "_test.go") || elsewhere(rel) {
			return
		}
		dir, name := path.Split(rel)
		if name != "doc.go" {
			files[dir] = append(files[dir], name)
		} else if strings.Contains(string(content), whereToLook) {
			docs[dir] = string(content)
		}
	})
	if docs["internal/engine/"] == "" {
		t.Error("internal/engine/doc.go does not say where to look")
	}
	for dir, doc := range docs {
		report(t, checkLook(dir, doc, files[dir]))
	}
}

func checkLook(dir, doc string, files []string) []string {
	_, list, _ := strings.Cut(doc, whereToLook)
	list, _, _ = strings.Cut(list, "\n//\n")
	named := strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(" \n\t/,;:()", r) })
	for i := range named {
		named[i] = strings.TrimSuffix(named[i], ".")
	}
	var found []string
	for _, file := range files {
		if !slices.Contains(named, file) {
			found = append(found, fmt.Sprintf("%sdoc.go does not say what %s is for", dir, file))
		}
	}
	for _, word := range named {
		if strings.HasSuffix(word, ".go") && !slices.Contains(files, word) {
			found = append(found, fmt.Sprintf("%sdoc.go speaks of %s, which is not there", dir, word))
		}
	}
	return found
}

// What the checks of decisions and of doc.go are there for is found, and nothing else.
func TestListsAreHeldToTheFiles(t *testing.T) {
	for _, c := range []struct {
		found []string
		want  string // part of the only violation; empty: none
	}{
		{checkLook("p/", "Where to look: a.go, b.go (this).\n//\n// c.go", []string{"a.go", "b.go"}), ""},
		{checkLook("p/", "Where to look: a.go (this).", []string{"a.go", "b.go"}), "b.go"},
		{checkLook("p/", "Where to look: a.go, b.go.", []string{"a.go"}), "b.go"},
		{checkDecisions(map[string]string{"0001-a.md": "# 1. A", "0002-b.md": "# 2. B"}), ""},
		{checkDecisions(map[string]string{"0001-a.md": "# 1. A", "0001-b.md": "# 1. B"}), "has the number of"},
		{checkDecisions(map[string]string{"0001-a.md": "# 2. A"}), "heading"},
		{checkDecisions(map[string]string{"0002-b.md": "# 2. B"}), "there is no 0001"},
		{checkDecisions(map[string]string{"1-a.md": "# 1. A"}), "not named"},
	} {
		if c.want == "" && len(c.found) > 0 || c.want != "" && (len(c.found) != 1 || !strings.Contains(c.found[0], c.want)) {
			t.Errorf("want %q, found %v", c.want, c.found)
		}
	}
}
