package app

import (
	"strings"
	"testing"

	"cancello/internal/config"
)

// What a system allows by default is enough for the defaults, with an upstream or a dozen.
func TestDefaultsNeedFewDescriptors(t *testing.T) {
	c := config.Default()
	for range 12 {
		c.Databases = append(c.Databases, config.Database{Name: "db"})
	}
	if err := enough(c, 1024); err != nil {
		t.Error(err)
	}
}

func TestTooFewDescriptors(t *testing.T) {
	c := config.Default()
	c.Databases = []config.Database{{Name: "db"}}
	c.Pool.MaxClientConn = 10_000
	tests := []struct {
		limit uint64
		want  []string // nil: none
	}{
		{0, nil}, {10_276, nil}, {1 << 63, nil},
		{10_275, []string{"limit of open files is 10275, and 10276 are needed", "max_client_conn = 10000, 20 for the pools, 256 for",
			"LimitNOFILE=10276", "`ulimit -n 10276`", "nofile=10276", "or set max_client_conn = 9999 or lower"}},
		{1024, []string{"limit of open files is 1024,", "or set max_client_conn = 748 or lower"}},
		{276, []string{"or lower max_client_conn and the pools"}},
	}
	for _, tt := range tests {
		err := enough(c, tt.limit)
		if (err == nil) != (tt.want == nil) {
			t.Errorf("%d: %v", tt.limit, err)
			continue
		}
		for _, w := range tt.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%d: %v, want %q in it", tt.limit, err, w)
			}
		}
	}
}
