package obs

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The page for operators names each metric that there is, and none besides.
func TestMetricsAreExplained(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	s := New(plain(io.Discard))
	defer s.Close()
	families, err := s.Registry("1", aSnapshot).Gather()
	if err != nil {
		t.Fatal(err)
	}
	page, there := string(content), map[string]bool{}
	for _, f := range families {
		there[f.GetName()] = true
		if strings.HasPrefix(f.GetName(), "cancello_") && !strings.Contains(page, "`"+f.GetName()+"`") {
			t.Errorf("docs/operations.md does not tell of %s", f.GetName())
		}
	}
	for _, m := range regexp.MustCompile("`(cancello_\\w+)`").FindAllStringSubmatch(page, -1) {
		if !there[m[1]] {
			t.Errorf("docs/operations.md tells of %s, which there is not", m[1])
		}
	}
}
