package wire

import (
	"runtime"
	"testing"
)

// TestNoAllocations: what runs for each message costs no heap.
func TestNoAllocations(t *testing.T) {
	dst := make([]byte, 0, 4096)
	data, key := []byte("n,,n=,r=abc"), make([]byte, 32)
	params := []Param{{"user", "me"}, {"database", "db"}}
	names := []string{"_pq_.foo", "_pq_.bar"}
	front, back := AppendSync(nil), AppendReadyForQuery(nil, 'I')
	report := AppendError(nil, "ERROR", "57014", "stop", "", "")[HeaderLen:]
	status := AppendParameterStatus(nil, "TimeZone", "UTC")[HeaderLen:]
	startup := AppendStartup(nil, V30, params)

	tests := []struct {
		name string
		run  func()
	}{
		{"FrontendHeader", func() { _, _, _ = FrontendHeader(front) }},
		{"BackendHeader", func() { _, _, _ = BackendHeader(back) }},
		{"StartupLen", func() { _, _ = StartupLen(startup) }},
		{"Negotiate", func() { _, _ = Negotiate(V32, params) }},
		{"CString", func() { _, _, _ = CString(status) }},
		{"ErrorField", func() { _ = ErrorField(report, 'M') }},
		{"ParameterStatus", func() { _, _, _ = ParameterStatus(status) }},
		{"BackendKeyData", func() { _, _, _ = BackendKeyData(key) }},
		{"AppendHeader", func() { _ = AppendHeader(dst, MsgSync, 0) }},
		{"AppendAuthOK", func() { _ = AppendAuthOK(dst) }},
		{"AppendAuthCleartext", func() { _ = AppendAuthCleartext(dst) }},
		{"AppendAuthMD5", func() { _ = AppendAuthMD5(dst, [4]byte{1, 2, 3, 4}) }},
		{"AppendAuthSASL", func() { _ = AppendAuthSASL(dst, "SCRAM-SHA-256") }},
		{"AppendAuthSASLContinue", func() { _ = AppendAuthSASLContinue(dst, data) }},
		{"AppendAuthSASLFinal", func() { _ = AppendAuthSASLFinal(dst, data) }},
		{"AppendParameterStatus", func() { _ = AppendParameterStatus(dst, "TimeZone", "UTC") }},
		{"AppendBackendKeyData", func() { _ = AppendBackendKeyData(dst, 1, key) }},
		{"AppendReadyForQuery", func() { _ = AppendReadyForQuery(dst, 'I') }},
		{"AppendError", func() { _ = AppendError(dst, "ERROR", "57014", "stop", "d", "h") }},
		{"AppendNotice", func() { _ = AppendNotice(dst, "NOTICE", "00000", "hm") }},
		{"AppendNegotiateProtocolVersion", func() { _ = AppendNegotiateProtocolVersion(dst, V32, names) }},
		{"AppendQuery", func() { _ = AppendQuery(dst, "select 1") }},
		{"AppendParse", func() { _ = AppendParse(dst, "s", "select 1") }},
		{"AppendSync", func() { _ = AppendSync(dst) }},
		{"AppendTerminate", func() { _ = AppendTerminate(dst) }},
		{"AppendClose", func() { _ = AppendClose(dst, 'S', "s") }},
		{"AppendCopyFail", func() { _ = AppendCopyFail(dst, "gone") }},
		{"AppendPassword", func() { _ = AppendPassword(dst, "x") }},
		{"AppendSASLInitialResponse", func() { _ = AppendSASLInitialResponse(dst, "SCRAM-SHA-256", data) }},
		{"AppendSASLResponse", func() { _ = AppendSASLResponse(dst, data) }},
		{"AppendStartup", func() { _ = AppendStartup(dst, V30, params) }},
		{"AppendCancelRequest", func() { _ = AppendCancelRequest(dst, 1, key) }},
		{"AppendSSLRequest", func() { _ = AppendSSLRequest(dst) }},
	}
	for _, tt := range tests {
		if n := testing.AllocsPerRun(100, tt.run); n != 0 {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
	}
}

// TestRefusedLengthsAllocateNothingOfTheirSize: an error of a few words is all that a hostile length costs.
func TestRefusedLengthsAllocateNothingOfTheirSize(t *testing.T) {
	huge := []byte{'S', 0x7f, 0xff, 0xff, 0xff}
	tests := []struct {
		name string
		run  func() error
	}{
		{"FrontendHeader", func() error { _, _, err := FrontendHeader(huge); return err }},
		{"BackendHeader", func() error { _, _, err := BackendHeader(huge); return err }},
		{"StartupLen", func() error { _, err := StartupLen(huge[1:]); return err }},
	}
	const runs = 1000
	for _, tt := range tests {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			if tt.run() == nil {
				t.Fatalf("%s took a length of 2 GB", tt.name)
			}
		}
		runtime.ReadMemStats(&after)
		if size := (after.TotalAlloc - before.TotalAlloc) / runs; size > 1024 {
			t.Errorf("%s: %d bytes for a refused length", tt.name, size)
		}
	}
}
