package arch

import (
	"bytes"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestSize: files and functions stay small enough to be read.
func TestSize(t *testing.T) {
	for _, s := range tree(t) {
		report(t, checkSize(s))
	}
}

func checkSize(s source) []string {
	var found []string
	limit := maxFile
	if s.isTest() {
		limit = maxTestFile
	}
	if n := bytes.Count(s.code, []byte("\n")); n > limit {
		found = append(found, s.at(s.file, "%d lines, at most %d", n, limit))
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		f, ok := n.(*ast.FuncDecl)
		if !ok {
			return true
		}
		if n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1; n > maxFunc {
			found = append(found, s.at(f, "%s has %d lines, at most %d", f.Name.Name, n, maxFunc))
		}
		if f.Name.Name == "init" && f.Recv == nil {
			found = append(found, s.at(f, "no init: what must be built is built where it is used"))
		}
		return true
	})
	return found
}

// TestNames: a package is named after what it provides.
func TestNames(t *testing.T) {
	for _, s := range tree(t) {
		report(t, checkName(s))
	}
}

func checkName(s source) []string {
	var found []string
	for _, part := range append(strings.Split(s.dir(), "/"), s.file.Name.Name) {
		if slices.Contains(emptyNames, part) {
			found = append(found, s.at(s.file.Name, "package %s: %q says nothing of what it provides", s.dir(), part))
		}
	}
	return slices.Compact(found)
}

// TestPackageComments: each package says in doc.go, and only there, what it is for. A main package says it in
// main.go.
func TestPackageComments(t *testing.T) {
	report(t, checkPackageComments(tree(t)))
}

func checkPackageComments(all []source) []string {
	var found []string
	described := map[string]bool{}
	first := map[string]source{}
	for _, s := range all {
		if s.isTest() {
			continue
		}
		name, home := s.file.Name.Name, "doc.go"
		opening := "Package " + name + " "
		if name == "main" {
			home, opening = "main.go", "Command "+path.Base(s.dir())+" "
		}
		if _, ok := first[s.dir()]; !ok {
			first[s.dir()] = s
		}
		if s.file.Doc == nil {
			continue
		}
		if path.Base(s.path) != home {
			found = append(found, s.at(s.file, "the package comment belongs in %s", home))
			continue
		}
		if !strings.HasPrefix(s.file.Doc.Text(), opening) {
			found = append(found, s.at(s.file, "the package comment begins with %q", opening))
		}
		described[s.dir()] = true
	}
	for _, s := range all {
		if first[s.dir()].path == s.path && !described[s.dir()] {
			found = append(found, s.at(s.file, "package %s has no doc.go (a command: main.go) with a package comment", s.dir()))
		}
	}
	return found
}

// TestExportedComments: what another package can use is described where it is declared.
func TestExportedComments(t *testing.T) {
	for _, s := range tree(t) {
		if !s.isTest() {
			report(t, checkExported(s))
		}
	}
}

// wellKnown are methods whose meaning an interface of the standard library gives.
var wellKnown = []string{"Error", "Unwrap", "String", "Len", "Less", "Swap", "Push", "Pop", "Read", "Write", "Close"}

func checkExported(s source) []string {
	var found []string
	for _, decl := range s.file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if !d.Name.IsExported() || d.Doc != nil || d.Recv != nil && (!exportedReceiver(d.Recv) || slices.Contains(wellKnown, name)) {
				continue
			}
			found = append(found, s.at(d, "%s is exported and has no comment", name))
		case *ast.GenDecl:
			found = append(found, checkGroup(s, d)...)
		}
	}
	return found
}

// checkGroup looks at a declaration of types, constants or variables. A comment above the group serves all in it
// but types.
func checkGroup(s source, d *ast.GenDecl) []string {
	var found []string
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			alone := d.Doc != nil && d.Lparen == token.NoPos
			if spec.Name.IsExported() && spec.Doc == nil && spec.Comment == nil && !alone {
				found = append(found, s.at(spec, "%s is exported and has no comment", spec.Name.Name))
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				if name.IsExported() && spec.Doc == nil && spec.Comment == nil && d.Doc == nil {
					found = append(found, s.at(name, "%s is exported and has no comment", name.Name))
				}
			}
		}
	}
	return found
}

func exportedReceiver(fields *ast.FieldList) bool {
	if len(fields.List) == 0 {
		return false
	}
	t := fields.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}
