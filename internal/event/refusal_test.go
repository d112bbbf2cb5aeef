package event

import "testing"

func TestWhy(t *testing.T) {
	for code, want := range map[string]string{
		"28P01": "password", "28000": "authorization", "08P01": "protocol", "0A000": "unsupported", "08004": "timeout",
		"53300": "limit", "53000": "limit", "3D000": "database", "57P01": "shutdown", "57P03": "shutdown",
		"08006": "server", "22023": "server", "": "server", "5": "server",
	} {
		if got := (LoginRefused{Code: code}).Why().String(); got != want {
			t.Errorf("%q is %s, want %s", code, got, want)
		}
	}
	for r := range Refusals {
		if Refusal(r).String() == "" {
			t.Errorf("refusal %d has no name", r)
		}
	}
}
