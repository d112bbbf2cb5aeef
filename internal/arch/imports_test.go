package arch

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// TestImports: rings import only inwards, inside a ring only what the table says, and others' modules only where
// it says so.
func TestImports(t *testing.T) {
	for _, s := range tree(t) {
		report(t, checkImports(s))
	}
}

// TestHouse: every package has its room, and none is mentioned twice.
func TestHouse(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range house {
		if seen[r.path] {
			t.Errorf("%s is twice in the table", r.path)
		}
		seen[r.path] = true
		for _, b := range r.beside {
			if other, ok := roomOf(b); !ok || other.ring != r.ring {
				t.Errorf("%s: %s beside it is not of its ring", r.path, b)
			}
		}
	}
	for _, s := range tree(t) {
		if _, ok := roomOf(s.dir()); !ok && !seen[s.dir()] {
			seen[s.dir()] = true
			t.Errorf("%s: package %s has no room in the table of house_test.go", s.path, s.dir())
		}
	}
}

func checkImports(s source) []string {
	r, ok := roomOf(s.dir())
	if !ok {
		return nil // TestHouse says so
	}
	var found []string
	for _, spec := range s.file.Imports {
		if why := refuse(r, s.isTest(), imported(spec)); why != "" {
			found = append(found, s.at(spec, "%s", why))
		}
	}
	return found
}

// refuse says why a package may not import another; empty if it may.
func refuse(r room, test bool, name string) string {
	if name == module {
		return "the module's root is no package"
	}
	if inside, ok := strings.CutPrefix(name, module+"/"); ok {
		return refuseOwn(r, test, inside)
	}
	first, _, _ := strings.Cut(name, "/")
	if strings.Contains(first, ".") && !under(name, r.vendor) && !(test && under(name, testVendor)) {
		return fmt.Sprintf("%s may not import %s: not in its row of the table", r.path, name)
	}
	return ""
}

func refuseOwn(r room, test bool, name string) string {
	to, ok := roomOf(name)
	switch {
	case !ok:
		return fmt.Sprintf("%s has no room in the table", name)
	case name == r.path && test: // an external test
		return ""
	case to.ring == bench && test:
		return ""
	case to.ring == bench && r.ring != bench:
		return fmt.Sprintf("%s may not import %s: that is for tests", r.path, name)
	case r.alone && !slices.Contains(r.beside, name):
		return fmt.Sprintf("%s may not import %s: it looks at us from outside", r.path, name)
	case to.ring < r.ring:
		return ""
	case to.ring == r.ring && slices.Contains(r.beside, name):
		return ""
	case to.ring == r.ring:
		return fmt.Sprintf("%s may not import %s beside it: not in its row of the table", r.path, name)
	}
	return fmt.Sprintf("%s may not import %s: imports point inwards", r.path, name)
}

// TestPurity: words and rules depend on nothing but what they are told.
func TestPurity(t *testing.T) {
	for _, s := range tree(t) {
		if pure(s) {
			report(t, checkPurity(s))
		}
	}
}

func checkPurity(s source) []string {
	var found []string
	timeName := ""
	for _, spec := range s.file.Imports {
		name := imported(spec)
		if r, _ := roomOf(s.dir()); under(name, impure) && name != addresses && !(r.replay && name == seeded) {
			found = append(found, s.at(spec, "a pure package may not import %s", name))
		}
		if name == "time" {
			timeName = "time"
			if spec.Name != nil {
				timeName = spec.Name.Name
			}
			if timeName == "." {
				found = append(found, s.at(spec, "time is imported under its name, to see what is used of it"))
			}
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if what := impurity(n, timeName); what != "" {
			found = append(found, s.at(n, "a pure package may not %s", what))
		}
		return true
	})
	return found
}

// impurity says what a node does that a pure package may not; empty if nothing.
func impurity(n ast.Node, timeName string) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "start a goroutine"
	case *ast.ChanType:
		return "use a channel"
	case *ast.SendStmt:
		return "send on a channel"
	case *ast.SelectStmt:
		return "select"
	case *ast.UnaryExpr:
		if n.Op.String() == "<-" {
			return "receive from a channel"
		}
	case *ast.SelectorExpr:
		if x, ok := n.X.(*ast.Ident); ok && timeName != "" && x.Name == timeName && slices.Contains(clock, n.Sel.Name) {
			return "look at the clock (time." + n.Sel.Name + "): now is told it"
		}
	}
	return ""
}

// TestNoSleep: nobody sleeps to hope for the best, tests included. Whoever must says why: // sleeps: ...
func TestNoSleep(t *testing.T) {
	for _, s := range tree(t) {
		report(t, checkSleep(s))
	}
}

func checkSleep(s source) []string {
	var found []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != "Sleep" {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && !marked(s, n, "// sleeps: ") {
			found = append(found, s.at(n, "time.Sleep: wait for what is to happen, or say why on the line: // sleeps: ..."))
		}
		return true
	})
	return found
}

// marked says whether the line of the node holds the mark with something behind it.
func marked(s source, n ast.Node, mark string) bool {
	lines := strings.Split(string(s.code), "\n")
	_, reason, ok := strings.Cut(lines[s.fset.Position(n.Pos()).Line-1], mark)
	return ok && strings.TrimSpace(reason) != ""
}
