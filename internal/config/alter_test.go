package config

import (
	"strings"
	"testing"
)

func TestAlter(t *testing.T) {
	for _, tt := range []struct{ key, value, want string }{
		{"query_wait_timeout", "17s", ""}, {"auth_file", "/etc/users", ""}, {"pool_mode", "transaction", ""},
		{"listen", "*:1", "listen cannot be changed without a restart"},
		{"max_client_conn", "no", "max_client_conn"}, {"default_pool_siz", "1", "did you mean"},
	} {
		c := Default()
		err := Alter(&c, tt.key, tt.value)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s = %s: %v, want %q", tt.key, tt.value, err, tt.want)
			continue
		}
		before := Default()
		if changes := Diff(&before, &c); (len(changes) == 1) != (err == nil) {
			t.Errorf("%s = %s changes %v", tt.key, tt.value, changes)
		}
	}
}
