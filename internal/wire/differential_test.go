package wire

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5/pgproto3"
)

var texts = []string{"", "x", "select 1", "naïve Straße", strings.Repeat("long", 3000)}

// decodeBackend reads one message of a server with pgproto3 and demands that nothing is left over.
func decodeBackend(t testing.TB, b []byte) pgproto3.BackendMessage {
	t.Helper()
	r := bytes.NewReader(b)
	f := pgproto3.NewFrontend(r, nil)
	msg, err := f.Receive()
	if err != nil {
		t.Fatalf("pgproto3 can't read % x: %v", b, err)
	}
	if n := f.ReadBufferLen() + r.Len(); n != 0 {
		t.Fatalf("pgproto3 read %T and left %d bytes of % x", msg, n, b)
	}
	return msg
}

// decodeFrontend reads one message of a client with pgproto3; auth says what a 'p' is. A Flush is put behind it and
// must be what comes next, so the message ends where it should.
func decodeFrontend(t testing.TB, b []byte, auth uint32) pgproto3.FrontendMessage {
	t.Helper()
	back := pgproto3.NewBackend(io.MultiReader(bytes.NewReader(b), bytes.NewReader(AppendHeader(nil, MsgFlush, 0))), nil)
	if err := back.SetAuthType(auth); err != nil {
		t.Fatal(err)
	}
	msg, err := back.Receive()
	if err != nil {
		t.Fatalf("pgproto3 can't read % x: %v", b, err)
	}
	next, err := back.Receive()
	if _, ok := next.(*pgproto3.Flush); !ok {
		t.Fatalf("pgproto3 read %T and then %T, %v", msg, next, err)
	}
	return msg
}

func same(t testing.TB, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOursReadByPgproto3Backend(t *testing.T) {
	same(t, &pgproto3.AuthenticationOk{}, decodeBackend(t, AppendAuthOK(nil)))
	same(t, &pgproto3.AuthenticationCleartextPassword{}, decodeBackend(t, AppendAuthCleartext(nil)))
	same(t, &pgproto3.AuthenticationMD5Password{Salt: [4]byte{1, 2, 3, 4}}, decodeBackend(t, AppendAuthMD5(nil, [4]byte{1, 2, 3, 4})))
	same(t, &pgproto3.AuthenticationSASL{AuthMechanisms: []string{"A", "B"}}, decodeBackend(t, AppendAuthSASL(nil, "A", "B")))
	for _, s := range texts {
		if len(s) > 2000 {
			continue // pgproto3 keeps libpq's limit for Authentication
		}
		same(t, &pgproto3.AuthenticationSASLContinue{Data: []byte(s)}, decodeBackend(t, AppendAuthSASLContinue(nil, []byte(s))))
		same(t, &pgproto3.AuthenticationSASLFinal{Data: []byte(s)}, decodeBackend(t, AppendAuthSASLFinal(nil, []byte(s))))
	}
	for _, s := range texts {
		same(t, &pgproto3.ParameterStatus{Name: "n" + s, Value: s}, decodeBackend(t, AppendParameterStatus(nil, "n"+s, s)))
		same(t, &pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "57014", Message: s, Detail: s, Hint: s},
			decodeBackend(t, AppendError(nil, "ERROR", "57014", s, s, s)))
		same(t, &pgproto3.NoticeResponse{Severity: "NOTICE", SeverityUnlocalized: "NOTICE", Code: "00000", Message: s},
			decodeBackend(t, AppendNotice(nil, "NOTICE", "00000", s)))
		if s != "" {
			same(t, &pgproto3.NegotiateProtocolVersion{NewestMinorProtocol: uint32(V32), UnrecognizedOptions: []string{s, s}},
				decodeBackend(t, AppendNegotiateProtocolVersion(nil, V32, []string{s, s})))
		}
	}
	same(t, &pgproto3.NegotiateProtocolVersion{NewestMinorProtocol: uint32(V30)}, decodeBackend(t, AppendNegotiateProtocolVersion(nil, V30, nil)))
	for n := 4; n <= MaxCancelKeyLen; n++ {
		key := bytes.Repeat([]byte{byte(n)}, n)
		same(t, &pgproto3.BackendKeyData{ProcessID: 1<<30 | 5, SecretKey: key}, decodeBackend(t, AppendBackendKeyData(nil, 1<<30|5, key)))
	}
	for _, status := range []byte{'I', 'T', 'E'} {
		same(t, &pgproto3.ReadyForQuery{TxStatus: status}, decodeBackend(t, AppendReadyForQuery(nil, status)))
	}
}

func TestOursReadByPgproto3Frontend(t *testing.T) {
	const none = pgproto3.AuthTypeOk
	same(t, &pgproto3.Sync{}, decodeFrontend(t, AppendSync(nil), none))
	same(t, &pgproto3.Flush{}, decodeFrontend(t, AppendHeader(nil, MsgFlush, 0), none))
	same(t, &pgproto3.Terminate{}, decodeFrontend(t, AppendTerminate(nil), none))
	for _, s := range texts {
		same(t, &pgproto3.Query{String: s}, decodeFrontend(t, AppendQuery(nil, s), none))
		same(t, &pgproto3.Parse{Name: s, Query: s}, decodeFrontend(t, AppendParse(nil, s, s), none))
		same(t, &pgproto3.Close{ObjectType: 'S', Name: s}, decodeFrontend(t, AppendClose(nil, 'S', s), none))
		same(t, &pgproto3.Close{ObjectType: 'P', Name: s}, decodeFrontend(t, AppendClose(nil, 'P', s), none))
		same(t, &pgproto3.CopyFail{Message: s}, decodeFrontend(t, AppendCopyFail(nil, s), none))
		same(t, &pgproto3.PasswordMessage{Password: s}, decodeFrontend(t, AppendPassword(nil, s), pgproto3.AuthTypeCleartextPassword))
		same(t, &pgproto3.SASLResponse{Data: []byte(s)}, decodeFrontend(t, AppendSASLResponse(nil, []byte(s)), pgproto3.AuthTypeSASLContinue))
		same(t, &pgproto3.SASLInitialResponse{AuthMechanism: "M", Data: []byte(s)},
			decodeFrontend(t, AppendSASLInitialResponse(nil, "M", []byte(s)), pgproto3.AuthTypeSASL))
	}
}

// TestStartupReadByPgproto3: only the versions and keys that pgproto3 knows, and no name twice: its parameters are a map.
func TestStartupReadByPgproto3(t *testing.T) {
	read := func(b []byte) pgproto3.FrontendMessage {
		msg, err := pgproto3.NewBackend(bytes.NewReader(b), nil).ReceiveStartupMessage()
		if err != nil {
			t.Fatalf("pgproto3 can't read % x: %v", b, err)
		}
		return msg
	}
	same(t, &pgproto3.SSLRequest{}, read(AppendSSLRequest(nil)))
	for _, v := range []Version{V30, V32} {
		same(t, &pgproto3.StartupMessage{ProtocolVersion: uint32(v), Parameters: map[string]string{"user": "me", "application_name": ""}},
			read(AppendStartup(nil, v, []Param{{"user", "me"}, {"application_name", ""}})))
	}
	for n := 4; n <= MaxCancelKeyLen; n++ {
		key := bytes.Repeat([]byte{byte(n)}, n)
		same(t, &pgproto3.CancelRequest{ProcessID: 9, SecretKey: key}, read(AppendCancelRequest(nil, 9, key)))
	}
}

// encode writes a message with pgproto3.
func encode(t testing.TB, msg pgproto3.Message) []byte {
	t.Helper()
	b, err := msg.Encode(nil)
	if err != nil {
		t.Fatalf("pgproto3 can't write %T: %v", msg, err)
	}
	return b
}

func TestPgproto3ReadByOursStartup(t *testing.T) {
	tests := []struct {
		msg  pgproto3.Message
		want Startup
	}{
		{&pgproto3.SSLRequest{}, Startup{Kind: SSLRequest, Version: codeSSL}},
		{&pgproto3.GSSEncRequest{}, Startup{Kind: GSSENCRequest, Version: codeGSSENC}},
		{&pgproto3.StartupMessage{ProtocolVersion: uint32(V30)}, Startup{Version: V30}},
		{
			&pgproto3.StartupMessage{ProtocolVersion: uint32(V32), Parameters: map[string]string{"user": "naïve"}},
			Startup{Version: V32, Params: []Param{{"user", "naïve"}}},
		},
		{&pgproto3.CancelRequest{ProcessID: 9}, Startup{Kind: CancelRequest, Version: codeCancel, PID: 9}},
		{
			&pgproto3.CancelRequest{ProcessID: 9, SecretKey: bytes.Repeat([]byte{1}, 256)},
			Startup{Kind: CancelRequest, Version: codeCancel, PID: 9, Key: bytes.Repeat([]byte{1}, 256)},
		},
	}
	for _, tt := range tests {
		got, err := ParseStartup(encode(t, tt.msg))
		if err != nil {
			t.Errorf("%T: %v", tt.msg, err)
			continue
		}
		same(t, tt.want, got)
	}
}

func TestPgproto3ReadByOursHeaders(t *testing.T) {
	front := map[byte]pgproto3.Message{
		MsgQuery: &pgproto3.Query{String: "select 1"}, MsgParse: &pgproto3.Parse{Name: "s", Query: "q", ParameterOIDs: []uint32{23}},
		MsgBind: &pgproto3.Bind{Parameters: [][]byte{nil, []byte("x")}}, MsgDescribe: &pgproto3.Describe{ObjectType: 'S'},
		MsgExecute: &pgproto3.Execute{MaxRows: 1}, MsgClose: &pgproto3.Close{ObjectType: 'P', Name: "p"},
		MsgFlush: &pgproto3.Flush{}, MsgSync: &pgproto3.Sync{}, MsgTerminate: &pgproto3.Terminate{},
		MsgFunctionCall: &pgproto3.FunctionCall{Function: 1}, MsgPassword: &pgproto3.PasswordMessage{Password: "x"},
		MsgCopyData: &pgproto3.CopyData{Data: []byte("row")}, MsgCopyDone: &pgproto3.CopyDone{}, MsgCopyFail: &pgproto3.CopyFail{Message: "x"},
	}
	back := map[byte]pgproto3.Message{
		MsgAuthentication: &pgproto3.AuthenticationMD5Password{}, MsgParameterStatus: &pgproto3.ParameterStatus{Name: "n"},
		MsgBackendKeyData: &pgproto3.BackendKeyData{SecretKey: []byte{1, 2, 3, 4}}, MsgReadyForQuery: &pgproto3.ReadyForQuery{TxStatus: 'I'},
		MsgErrorResponse: &pgproto3.ErrorResponse{Code: "57014"}, MsgNoticeResponse: &pgproto3.NoticeResponse{Code: "00000"},
		MsgNotificationResponse: &pgproto3.NotificationResponse{Channel: "c"}, MsgRowDescription: &pgproto3.RowDescription{},
		MsgDataRow: &pgproto3.DataRow{Values: [][]byte{nil, []byte("x")}}, MsgCommandComplete: &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")},
		MsgEmptyQueryResponse: &pgproto3.EmptyQueryResponse{}, MsgPortalSuspended: &pgproto3.PortalSuspended{},
		MsgParseComplete: &pgproto3.ParseComplete{}, MsgBindComplete: &pgproto3.BindComplete{}, MsgCloseComplete: &pgproto3.CloseComplete{},
		MsgNoData: &pgproto3.NoData{}, MsgParameterDescription: &pgproto3.ParameterDescription{ParameterOIDs: []uint32{23}},
		MsgCopyInResponse: &pgproto3.CopyInResponse{}, MsgCopyOutResponse: &pgproto3.CopyOutResponse{}, MsgCopyBothResponse: &pgproto3.CopyBothResponse{},
		MsgCopyData: &pgproto3.CopyData{Data: []byte("row")}, MsgCopyDone: &pgproto3.CopyDone{},
		MsgFunctionCallResponse: &pgproto3.FunctionCallResponse{Result: []byte("x")}, MsgNegotiateProtocolVersion: &pgproto3.NegotiateProtocolVersion{},
	}
	check := func(name string, read func([]byte) (byte, int, error), messages map[byte]pgproto3.Message) {
		for want, msg := range messages {
			b := encode(t, msg)
			typ, body, err := read(b)
			if err != nil || typ != want || body != len(b)-HeaderLen {
				t.Errorf("%s of %T: %q, %d, %v; want %q, %d", name, msg, typ, body, err, want, len(b)-HeaderLen)
			}
		}
	}
	check("FrontendHeader", FrontendHeader, front)
	check("BackendHeader", BackendHeader, back)
}

func TestPgproto3ReadByOursBodies(t *testing.T) {
	for _, s := range texts {
		b := encode(t, &pgproto3.ParameterStatus{Name: "n" + s, Value: s})
		name, value, ok := ParameterStatus(b[HeaderLen:])
		if !ok || string(name) != "n"+s || string(value) != s {
			t.Errorf("ParameterStatus: %q, %q, %v", name, value, ok)
		}
		b = encode(t, &pgproto3.ErrorResponse{
			Severity: "FEHLER", SeverityUnlocalized: "ERROR", Code: "22012", Message: "m" + s, Detail: "d" + s, Hint: "h" + s,
			Position: 7, Where: "w", SchemaName: "s", File: "f.c", Line: 9, Routine: "r",
		})
		for field, want := range map[byte]string{
			'S': "FEHLER", 'V': "ERROR", 'C': "22012", 'M': "m" + s, 'D': "d" + s, 'H': "h" + s,
			'P': "7", 'W': "w", 's': "s", 'F': "f.c", 'L': "9", 'R': "r",
		} {
			if got := ErrorField(b[HeaderLen:], field); string(got) != want {
				t.Errorf("field %q: %q, want %q", field, got, want)
			}
		}
	}
	key := bytes.Repeat([]byte{3}, 40)
	pid, got, ok := BackendKeyData(encode(t, &pgproto3.BackendKeyData{ProcessID: 77, SecretKey: key})[HeaderLen:])
	if !ok || pid != 77 || !bytes.Equal(got, key) {
		t.Errorf("BackendKeyData: %d, %d bytes, %v", pid, len(got), ok)
	}
}
