package listen

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// inSomeEpoll looks for a socket, by its number, in all epoll instances of this process.
func inSomeEpoll(t *testing.T, ino uint64) bool {
	t.Helper()
	infos, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil || len(infos) == 0 {
		t.Fatal("no /proc/self/fdinfo", err)
	}
	want := fmt.Sprintf("ino:%x ", ino)
	for _, path := range infos {
		f, err := os.Open(path)
		if err != nil {
			continue // closed meanwhile
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "tfd:") && strings.Contains(lines.Text()+" ", want) {
				f.Close()
				return true
			}
		}
		f.Close()
	}
	return false
}
