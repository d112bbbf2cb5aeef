package arch

import (
	"go/ast"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/tools/go/packages"
)

// TestOrder: what a pure package does never depends on the order of a map. A range over one is refused unless its
// line says why it doesn't matter.
func TestOrder(t *testing.T) {
	var patterns []string
	for _, r := range house {
		if _, err := os.Stat(filepath.Join(root, r.path)); r.pure() && err == nil {
			patterns = append(patterns, "./"+r.path)
		}
	}
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, tags := range tagSets {
		config := &packages.Config{
			Mode:       packages.NeedName | packages.NeedCompiledGoFiles | packages.NeedFiles | packages.NeedImports | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo,
			Dir:        root,
			BuildFlags: []string{"-tags=" + tags},
		}
		all, err := packages.Load(config, patterns...)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != len(patterns) {
			t.Errorf("%d packages loaded, want %d", len(all), len(patterns))
		}
		for _, p := range all {
			if len(p.Errors) > 0 {
				t.Errorf("%s does not compile, so its maps can't be told: %v", p.PkgPath, p.Errors[0])
				continue
			}
			for i, file := range p.Syntax {
				code, err := os.ReadFile(p.CompiledGoFiles[i])
				if err != nil {
					t.Fatal(err)
				}
				rel, err := filepath.Rel(here, p.CompiledGoFiles[i])
				if err != nil {
					t.Fatal(err)
				}
				report(t, checkOrder(source{path: filepath.ToSlash(rel), fset: p.Fset, file: file, code: code}, p.TypesInfo))
			}
		}
	}
}

func checkOrder(s source, info *types.Info) []string {
	var found []string
	sorted := map[ast.Node]bool{} // calls whose order a sort undoes at once
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.RangeStmt:
			if isMap(info.TypeOf(n.X)) && !marked(s, n, orderMark) {
				found = append(found, s.at(n, "range over a map: sort it, or say on the line why its order does not matter (%swhy)", orderMark))
			}
		case *ast.CallExpr:
			pkg, name := callee(info, n)
			if pkg == "slices" && slices.Contains([]string{"Sorted", "SortedFunc", "SortedStableFunc"}, name) && len(n.Args) > 0 {
				sorted[n.Args[0]] = true
			}
			if pkg == "maps" && slices.Contains([]string{"All", "Keys", "Values"}, name) && !sorted[n] && !marked(s, n, orderMark) {
				found = append(found, s.at(n, "maps.%s has no order: wrap it in slices.Sorted, or say on the line why that does not matter (%swhy)", name, orderMark))
			}
		}
		return true
	})
	return found
}

func isMap(t types.Type) bool {
	if t == nil {
		return false
	}
	_, ok := t.Underlying().(*types.Map)
	return ok
}

// callee is the package and name of the function that is called; empty where it is no plain function.
func callee(info *types.Info, call *ast.CallExpr) (pkg, name string) {
	fun := ast.Unparen(call.Fun)
	if index, ok := fun.(*ast.IndexExpr); ok {
		fun = index.X
	}
	sel, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	f, ok := info.Uses[sel.Sel].(*types.Func)
	if !ok || f.Pkg() == nil {
		return "", ""
	}
	return f.Pkg().Path(), f.Name()
}
