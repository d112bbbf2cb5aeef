package admin

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The page for operators has what SHOW HELP has: all that can be shown, and all commands.
func TestConsoleIsExplained(t *testing.T) {
	content, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	for _, v := range views() {
		if v.name != "FDS" && !strings.Contains(page, "`"+v.name+"`") { // which only says why it is not there
			t.Errorf("docs/operations.md does not tell of SHOW %s", v.name)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^\t([A-Z_]+)`).FindAllStringSubmatch(help(), -1) {
		if m[1] != "SHOW" && !regexp.MustCompile("`"+m[1]+"[` ]").MatchString(page) {
			t.Errorf("docs/operations.md does not tell of %s", m[1])
		}
	}
}
