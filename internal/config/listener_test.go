package config

import (
	"strings"
	"testing"
)

// What may stand behind an address to listen on, and how each slip is told.
func TestListenerOptions(t *testing.T) {
	for _, tt := range []struct{ listen, want string }{
		{"localhost:1?client_keys=3.2", ""},
		{":6432?client_keys=3.2", "would let in anybody"},
		{"localhost:x?client_keys=3.2", "the port must be a number"},
		{"localhost:1?client_key=3.2", `listen = "localhost:1?client_key=3.2": unknown setting "client_key" of an address: did you mean client_keys?`},
		{"localhost:1?mode=x", `unknown setting "mode" of an address: there is client_keys`},
		{"localhost:1?", `unknown setting "" of an address`},
		{"/run/x?client_keys", "client_keys has no value: write it as ?client_keys=3.2"},
		{"localhost:1?client_keys=alway", `client_keys = "alway" is not allowed: did you mean always?`},
		{"localhost:1?client_keys=sometimes", `client_keys = "sometimes" is not allowed: give always, 3.2 or never`},
		{"localhost:1?client_keys=3.2&client_keys=3.2", "client_keys is given twice"},
		{"localhost:1?client_keys=upstream", `client_keys = "upstream" is for databases, not for addresses to listen on`},
		{"localhost:6432?client_keys=never", `listen = "localhost:6432" is given twice`},
	} {
		c := good()
		c.Listen = []string{"localhost:6432", tt.listen}
		err := Validate(c)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.listen, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: %v, want %s", tt.listen, err, tt.want)
		}
	}
}

// Whose word on keys holds: the database's, that of where a client connects to, the general one.
func TestKeys(t *testing.T) {
	var unsaid Override[KeyPolicy]
	for _, tt := range []struct {
		database, listener Override[KeyPolicy]
		want               KeyPolicy
	}{
		{unsaid, unsaid, KeysSince32},
		{unsaid, Give(KeysAlways), KeysAlways},
		{unsaid, Give(KeysNever), KeysNever},
		{Give(KeysAlways), unsaid, KeysAlways},
		{Give(KeysAlways), Give(KeysNever), KeysAlways},
		{Give(KeysUpstream), Give(KeysNever), KeysUpstream},
	} {
		c := good()
		c.Cancel.Keys, c.Databases[0].Keys = KeysSince32, tt.database
		s, ok := c.Share("db", "u")
		if got := s.KeysFor(tt.listener); !ok || got != tt.want {
			t.Errorf("database %v, listener %v: %v, want %v", tt.database, tt.listener, got, tt.want)
		}
	}
}
