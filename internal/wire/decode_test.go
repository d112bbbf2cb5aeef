package wire

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCString(t *testing.T) {
	tests := []struct {
		in, s, rest string
		ok          bool
	}{
		{"", "", "", false},
		{"abc", "", "", false},
		{"\x00", "", "", true},
		{"abc\x00", "abc", "", true},
		{"abc\x00def\x00", "abc", "def\x00", true},
	}
	for _, tt := range tests {
		s, rest, ok := CString([]byte(tt.in))
		if string(s) != tt.s || string(rest) != tt.rest || ok != tt.ok {
			t.Errorf("%q: %q, %q, %v", tt.in, s, rest, ok)
		}
	}
}

func TestErrorField(t *testing.T) {
	body := AppendError(nil, "ERROR", "57014", "stop", "", "again")[HeaderLen:]
	tests := []struct {
		name  string
		body  []byte
		field byte
		want  []byte
	}{
		{"code", body, 'C', []byte("57014")},
		{"severity", body, 'V', []byte("ERROR")},
		{"message", body, 'M', []byte("stop")},
		{"hint", body, 'H', []byte("again")},
		{"absent", body, 'D', nil},
		{"the terminator is no field", body, 0, nil},
		{"empty field is not absent", []byte("M\x00\x00"), 'M', []byte{}},
		{"first of two", []byte("C1\x00C2\x00\x00"), 'C', []byte("1")},
		{"nothing behind the terminator", []byte("S1\x00\x00C2\x00\x00"), 'C', nil},
		{"letters in a value are no fields", []byte("MC1\x00\x00"), 'C', nil},
		{"empty body", nil, 'C', nil},
		{"no terminator", []byte("C57014\x00"), 'C', []byte("57014")},
		{"cut in the field", []byte("SERROR\x00C570"), 'C', nil},
		{"cut behind the letter", []byte("SERROR\x00C"), 'C', nil},
		{"found before the cut", []byte("SERROR\x00C57014\x00Mthe mess"), 'C', []byte("57014")},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, ErrorField(tt.body, tt.field)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	for cut := range body {
		if got := ErrorField(body[:cut], 'C'); got != nil && string(got) != "57014" {
			t.Errorf("cut at %d: %q", cut, got)
		}
	}
}

func TestParameterStatus(t *testing.T) {
	tests := []struct {
		in, name, value string
		ok              bool
	}{
		{"TimeZone\x00UTC\x00", "TimeZone", "UTC", true},
		{"application_name\x00\x00", "application_name", "", true},
		{"\x00\x00", "", "", true},
		{"", "", "", false},
		{"TimeZone", "", "", false},
		{"TimeZone\x00", "", "", false},
		{"TimeZone\x00UTC", "", "", false},
		{"TimeZone\x00UTC\x00x", "", "", false},
	}
	for _, tt := range tests {
		name, value, ok := ParameterStatus([]byte(tt.in))
		if string(name) != tt.name || string(value) != tt.value || ok != tt.ok {
			t.Errorf("%q: %q, %q, %v", tt.in, name, value, ok)
		}
	}
}

func TestBackendKeyData(t *testing.T) {
	for n := range 300 {
		key := make([]byte, n)
		pid, got, ok := BackendKeyData(AppendBackendKeyData(nil, 0xfffffff0, key)[HeaderLen:])
		if !ok || pid != 0xfffffff0 || len(got) != n {
			t.Fatalf("key of %d bytes: pid %d, %d bytes, %v", n, pid, len(got), ok)
		}
	}
	for n := range 4 {
		if _, _, ok := BackendKeyData(make([]byte, n)); ok {
			t.Errorf("a pid of %d bytes was taken", n)
		}
	}
}

// TestZeroByteEndsText: text from elsewhere can't smuggle in a field or spoil a frame.
func TestZeroByteEndsText(t *testing.T) {
	tests := []struct {
		name      string
		got, want []byte
	}{
		{"error", AppendError(nil, "ERROR", "XX000", "a\x00C00000", "d\x00x", "h\x00x"), AppendError(nil, "ERROR", "XX000", "a", "d", "h")},
		{"parameter", AppendParameterStatus(nil, "n\x00x", "v\x00x"), AppendParameterStatus(nil, "n", "v")},
		{"nothing before it", AppendParameterStatus(nil, "n", "\x00x"), AppendParameterStatus(nil, "n", "")},
		{"query", AppendQuery(nil, "select 1\x00; drop"), AppendQuery(nil, "select 1")},
		{"startup", AppendStartup(nil, V30, []Param{{"user\x00x", "me\x00options\x00-c x"}}), AppendStartup(nil, V30, []Param{{"user", "me"}})},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
