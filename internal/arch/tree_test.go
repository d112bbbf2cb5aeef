package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "cancello"
	root   = "../.."
)

// source is one parsed Go file.
type source struct {
	path string // from the module's root, with slashes
	fset *token.FileSet
	file *ast.File
	code []byte
}

func (s source) dir() string  { return path.Dir(s.path) }
func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// at words a violation, with the place it is at.
func (s source) at(n ast.Node, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", s.path, s.fset.Position(n.Pos()).Line, fmt.Sprintf(format, args...))
}

func parse(path string, code []byte) (source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, code, parser.ParseComments|parser.SkipObjectResolution)
	return source{path: path, fset: fset, file: file, code: code}, err
}

// tree parses every Go file of the module, whatever its build tags. A folder with a go.mod of its own is another module.
func tree(t *testing.T) []source {
	t.Helper()
	var all []source
	walk(t, func(rel string, code []byte) {
		if path.Ext(rel) != ".go" || elsewhere(rel) {
			return
		}
		s, err := parse(rel, code)
		if err != nil {
			t.Error(err)
			return
		}
		all = append(all, s)
	})
	if len(all) < len(house) {
		t.Fatalf("%d Go files under %s: that is not the module", len(all), root)
	}
	return all
}

// elsewhere tells whether a file is one of another module inside our tree.
func elsewhere(rel string) bool {
	for dir := path.Dir(rel); dir != "."; dir = path.Dir(dir) {
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(dir), "go.mod")); err == nil {
			return true
		}
	}
	return false
}

// walk visits the files of the module, but for what is built, hidden, or test data.
func walk(t *testing.T, visit func(rel string, content []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if entry.IsDir() {
			if rel == ".git" || rel == "bin" || entry.Name() == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || rel == ".git" { // a file in a linked worktree
			return nil
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		visit(rel, content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// roomOf is the room of a package, given as a path from the module's root.
func roomOf(dir string) (room, bool) {
	for _, r := range house {
		if r.path == dir {
			return r, true
		}
	}
	return room{}, false
}

// pure says whether a file belongs to a pure package and is not a test.
func pure(s source) bool {
	r, ok := roomOf(s.dir())
	return ok && r.pure() && !s.isTest()
}

// imported is the path of an import, unquoted.
func imported(spec *ast.ImportSpec) string {
	name, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return name
}

// under says whether an import path is one of the given ones or inside one of them.
func under(name string, parents []string) bool {
	for _, p := range parents {
		if name == p || strings.HasPrefix(name, p+"/") {
			return true
		}
	}
	return false
}

// report fails the test with each violation.
func report(t *testing.T, violations []string) {
	t.Helper()
	for _, v := range violations {
		t.Error(v)
	}
}

// files are the names of what is in a folder, given as a path from the module's root.
func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(root, filepath.FromSlash(dir)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
