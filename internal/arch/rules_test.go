package arch

import (
	"go/ast"
	"go/importer"
	"go/types"
	"strings"
	"testing"
)

// TestRules: each rule finds what it is there for, and leaves alone what is near it.
func TestRules(t *testing.T) {
	long := "func f() {\n" + strings.Repeat("\t_ = 0\n", maxFunc-1) + "}\n"
	for name, c := range map[string]struct {
		path  string
		check func(source) []string
		code  string
		want  string // part of the one violation; empty for none
	}{
		"inwards":               {"internal/engine/a.go", checkImports, `package a; import _ "cancello/internal/wire"`, ""},
		"outwards":              {"internal/engine/a.go", checkImports, `package a; import _ "cancello/internal/loop"`, "inwards"},
		"word to word":          {"internal/wire/a.go", checkImports, `package a; import _ "cancello/internal/sqlstate"`, "beside"},
		"rule to rule":          {"internal/session/a.go", checkImports, `package a; import _ "cancello/internal/lease"`, "beside"},
		"rule to unit":          {"internal/session/a.go", checkImports, `package a; import _ "cancello/internal/unit"`, ""},
		"engine to rule":        {"internal/engine/a.go", checkImports, `package a; import _ "cancello/internal/lease"`, ""},
		"proxy to loop":         {"internal/proxy/a.go", checkImports, `package a; import _ "cancello/internal/loop"`, ""},
		"loop to proxy":         {"internal/loop/a.go", checkImports, `package a; import _ "cancello/internal/proxy"`, "beside"},
		"proxy to obs":          {"internal/proxy/a.go", checkImports, `package a; import _ "cancello/internal/obs"`, "beside"},
		"house to bench":        {"internal/app/a.go", checkImports, `package a; import _ "cancello/internal/sim"`, "for tests"},
		"probe to word":         {"probe/a.go", checkImports, `package a; import _ "cancello/internal/wire"`, "outside"},
		"cli to probe":          {"internal/cli/a.go", checkImports, `package a; import _ "cancello/probe"`, ""},
		"test to bench":         {"internal/app/a_test.go", checkImports, `package a; import _ "cancello/internal/sim"`, ""},
		"test outwards":         {"internal/loop/a_test.go", checkImports, `package a; import _ "cancello/internal/app"`, "inwards"},
		"external test":         {"internal/loop/a_test.go", checkImports, `package a_test; import _ "cancello/internal/loop"`, ""},
		"no room":               {"internal/app/a.go", checkImports, `package a; import _ "cancello/internal/nowhere"`, "no room"},
		"module in row":         {"internal/cli/a.go", checkImports, `package a; import _ "github.com/spf13/cobra"`, ""},
		"module not in row":     {"internal/app/a.go", checkImports, `package a; import _ "github.com/spf13/cobra"`, "row"},
		"module of tests":       {"internal/app/a.go", checkImports, `package a; import _ "github.com/google/go-cmp/cmp"`, "row"},
		"module in test":        {"internal/app/a_test.go", checkImports, `package a; import _ "github.com/google/go-cmp/cmp"`, ""},
		"nearly a module":       {"internal/cli/a.go", checkImports, `package a; import _ "github.com/spf13/cobras"`, "row"},
		"pure os":               {"internal/unit/a.go", checkPurity, `package a; import _ "os"`, "os"},
		"pure net/http":         {"internal/unit/a.go", checkPurity, `package a; import _ "net/http"`, "net/http"},
		"pure net/netip":        {"internal/unit/a.go", checkPurity, `package a; import _ "net/netip"`, ""},
		"pure slog":             {"internal/unit/a.go", checkPurity, `package a; import _ "log/slog"`, "log/slog"},
		"pure strings":          {"internal/unit/a.go", checkPurity, `package a; import _ "strings"`, ""},
		"pure now":              {"internal/unit/a.go", checkPurity, `package a; import "time"; var x = time.Now()`, "time.Now"},
		"pure clock as value":   {"internal/unit/a.go", checkPurity, `package a; import "time"; var x = time.Now`, "time.Now"},
		"pure renamed clock":    {"internal/unit/a.go", checkPurity, `package a; import c "time"; var x = c.Since(y)`, "time.Since"},
		"pure dot clock":        {"internal/unit/a.go", checkPurity, `package a; import . "time"; var x = Second`, "under its name"},
		"pure duration":         {"internal/unit/a.go", checkPurity, `package a; import "time"; var x = time.Second`, ""},
		"pure go":               {"internal/unit/a.go", checkPurity, `package a; func f() { go f() }`, "goroutine"},
		"pure channel":          {"internal/unit/a.go", checkPurity, `package a; type c chan int`, "channel"},
		"pure receive":          {"internal/unit/a.go", checkPurity, `package a; func f() { <-c }`, "receive"},
		"pure send":             {"internal/unit/a.go", checkPurity, `package a; func f() { c <- 1 }`, "send"},
		"pure select":           {"internal/unit/a.go", checkPurity, `package a; func f() { select {} }`, "select"},
		"pure chance":           {"internal/unit/a.go", checkPurity, `package a; import _ "math/rand/v2"`, "math/rand/v2"},
		"seeded chance":         {"internal/sim/a.go", checkPurity, `package a; import _ "math/rand/v2"`, ""},
		"sleep":                 {"internal/loop/a_test.go", checkSleep, "package a; import \"time\"\nfunc f() { time.Sleep(1) }", "time.Sleep"},
		"sleep with a reason":   {"internal/loop/a_test.go", checkSleep, "package a; import \"time\"\nfunc f() { time.Sleep(1) } // sleeps: the load to measure", ""},
		"long file":             {"internal/loop/a.go", checkSize, "package a\n" + strings.Repeat("\n", maxFile), "801 lines"},
		"long test":             {"internal/loop/a_test.go", checkSize, "package a\n" + strings.Repeat("\n", maxFile), ""},
		"longest function":      {"internal/loop/a.go", checkSize, "package a\n" + strings.Replace(long, "\t_ = 0\n", "", 1), ""},
		"long function":         {"internal/loop/a.go", checkSize, "package a\n" + long, "101 lines"},
		"init":                  {"internal/loop/a.go", checkSize, `package a; func init() {}`, "init"},
		"method init":           {"internal/loop/a.go", checkSize, `package a; func (t) init() {}`, ""},
		"util":                  {"internal/util/a.go", checkName, `package util`, "util"},
		"named":                 {"internal/loop/a.go", checkName, `package loop`, ""},
		"exported function":     {"internal/loop/a.go", checkExported, `package a; func F() {}`, "F is exported"},
		"exported method":       {"internal/loop/a.go", checkExported, `package a; func (*T[K]) F() {}`, "F is exported"},
		"method of unexported":  {"internal/loop/a.go", checkExported, `package a; func (*t) F() {}`, ""},
		"method of an idea":     {"internal/loop/a.go", checkExported, `package a; func (T) Error() string`, ""},
		"exported type":         {"internal/loop/a.go", checkExported, "package a\n// Some.\ntype (\nT int\n)", "T is exported"},
		"described type":        {"internal/loop/a.go", checkExported, "package a\n// T is.\ntype T int", ""},
		"exported constant":     {"internal/loop/a.go", checkExported, `package a; const C = 1`, "C is exported"},
		"described group":       {"internal/loop/a.go", checkExported, "package a\n// All.\nconst (\nC = 1\n)", ""},
		"no comment":            {"internal/loop/a.go", alone, `package a`, "no doc.go"},
		"comment elsewhere":     {"internal/loop/a.go", alone, "// Package a is.\npackage a", "belongs in doc.go"},
		"comment in its place":  {"internal/loop/doc.go", alone, "// Package a is.\npackage a", ""},
		"comment of another":    {"internal/loop/doc.go", alone, "// Package b is.\npackage a", "begins with"},
		"command":               {"cmd/cancello/main.go", alone, "// Command cancello is.\npackage main", ""},
		"range over a map":      {"internal/unit/a.go", typed, "package a; func f(m map[int]int) { for range m {} }", "range over a map"},
		"over a named map":      {"internal/unit/a.go", typed, "package a; type t map[int]int; func f(m t) { for range m {} }", "range over a map"},
		"over a slice":          {"internal/unit/a.go", typed, "package a; func f(m []int) { for range m {} }", ""},
		"over a map, reasoned":  {"internal/unit/a.go", typed, "package a; func f(m map[int]int) { for range m {} } // order does not matter: counted", ""},
		"over a map, no reason": {"internal/unit/a.go", typed, "package a; func f(m map[int]int) { for range m {} } // order does not matter: ", "range over a map"},
		"keys":                  {"internal/unit/a.go", typed, `package a; import "maps"; func f(m map[int]int) { for range maps.Keys(m) {} }`, "maps.Keys"},
		"sorted keys":           {"internal/unit/a.go", typed, `package a; import ("maps"; "slices"); func f(m map[int]int) []int { return slices.Sorted(maps.Keys(m)) }`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := parse(c.path, []byte(c.code))
			if err != nil {
				t.Fatal(err)
			}
			found := c.check(s)
			if c.want == "" && len(found) > 0 || c.want != "" && !strings.Contains(strings.Join(found, "\n"), c.want) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}

// alone is the rule of package comments for a package of one file.
func alone(s source) []string {
	found := checkPackageComments([]source{s})
	if len(found) > 1 {
		found = found[:1]
	}
	return found
}

// typed is the rule of map order for a package of one file.
func typed(s source) []string {
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(s.fset, "source", nil)}
	if _, err := config.Check("a", s.fset, []*ast.File{s.file}, info); err != nil {
		return []string{err.Error()}
	}
	return checkOrder(s, info)
}

// TestTextRules: the same for the rules on text.
func TestTextRules(t *testing.T) {
	for text, want := range map[string]bool{
		"see /wo" + "rk/notes":                  true,
		"HOME=/ro" + "ot":                       true,
		"`/tmp/" + "spec/x`":                    true,
		"internal/wo" + "rk/x":                  false,
		"/usr/lib/postgresql":                   false,
		"// TO" + "DO: later":                   true,
		"todo = append(todo, x)":                false,
		"https://regis" + "try.example.org/pkg": true,
		"a registry of names":                   false,
	} {
		if got := checkUnwanted("file", text); (len(got) > 0) != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if checkReplace("module m\nreplace a => b\n") == nil || checkReplace("// nothing to replace\n") != nil {
		t.Error("replace lines are not told from others")
	}
}
