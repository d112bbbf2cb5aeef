package sqlstate

import (
	"strings"
	"testing"
)

// Who comes to replicate is told which database is meant; others are not told of replication.
func TestReplicationHint(t *testing.T) {
	if e := ReplicationNotConfigured("replication"); !strings.Contains(e.Hint, `"replication" to [databases]`) {
		t.Errorf("hint %q", e.Hint)
	}
	if e := DatabaseNotConfigured("shop"); e.Hint != "" {
		t.Errorf("hint %q", e.Hint)
	}
}
