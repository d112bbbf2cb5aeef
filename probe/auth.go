package probe

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"encoding/binary"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/xdg-go/scram"
)

// The kinds of Authentication messages that we answer.
const (
	authOK           = 0
	authPassword     = 3
	authMD5          = 5
	authSASL         = 10
	authSASLContinue = 11
	authSASLFinal    = 12
)

var authNames = map[uint32]string{
	authOK: "AuthenticationOk", authPassword: "AuthenticationCleartextPassword", authMD5: "AuthenticationMD5Password",
	authSASL: "AuthenticationSASL", authSASLContinue: "AuthenticationSASLContinue", authSASLFinal: "AuthenticationSASLFinal",
	2: "AuthenticationKerberosV5", 7: "AuthenticationGSS", 8: "AuthenticationGSSContinue", 9: "AuthenticationSSPI",
}

// required are the names that require_auth has for the kinds.
var required = map[uint32]string{authOK: "none", authPassword: "password", authMD5: "md5", authSASL: "scram-sha-256"}

const (
	mechanism     = "SCRAM-SHA-256"
	mechanismPlus = "SCRAM-SHA-256-PLUS"
)

// authentication is our side of it.
type authentication struct {
	s      *Session
	done   bool
	begun  bool // something was asked of us
	scram  *scram.ClientConversation
	proven bool // the server has shown that it knows the password
}

// step answers one Authentication message.
func (a *authentication) step(body []byte) error {
	if len(body) < 4 {
		return &malformed{"an Authentication message without a kind"}
	}
	kind, rest := binary.BigEndian.Uint32(body), body[4:]
	if err := a.permitted(kind); err != nil {
		return err
	}
	if kind == authOK {
		if a.scram != nil && !a.proven {
			return &malformed{"AuthenticationOk before the end of SCRAM: the server didn't show that it knows the password"}
		}
		a.done = true
		return nil
	}
	password := a.s.b.Target.config.Password
	if password == "" && !a.begun {
		return &authError{fmt.Sprintf("the server asks for %s and there is no password: put it in the connection string, PGPASSWORD or a passfile", authNames[kind])}
	}
	a.begun = true
	switch kind {
	case authPassword:
		return a.s.Put(&pgproto3.PasswordMessage{Password: password})
	case authMD5:
		if len(rest) != 4 {
			return &malformed{"AuthenticationMD5Password without a salt of 4 bytes"}
		}
		inner := md5Hex(password + a.s.b.Target.config.User)
		return a.s.Put(&pgproto3.PasswordMessage{Password: "md5" + md5Hex(inner+string(rest))})
	case authSASL:
		return a.beginSCRAM(mechanisms(rest), password)
	case authSASLContinue, authSASLFinal:
		return a.continueSCRAM(kind, rest)
	}
	return &authError{fmt.Sprintf("the server asks for %s, which this check does not speak: give it a user with a password or trust", describeKind(kind))}
}

func describeKind(kind uint32) string {
	if name, ok := authNames[kind]; ok {
		return name
	}
	return fmt.Sprintf("authentication method %d", kind)
}

// permitted holds require_auth and channel_binding to what the server asks for.
func (a *authentication) permitted(kind uint32) error {
	name, known := required[kind]
	config := a.s.b.Target.config
	if kind == authOK && a.begun || kind == authSASLContinue || kind == authSASLFinal {
		return nil
	}
	if config.ChannelBinding == "require" && kind != authSASL {
		return &authError{"channel_binding=require, and the server does not ask for SCRAM"}
	}
	if config.RequireAuth == "" {
		return nil
	}
	list := strings.Split(config.RequireAuth, ",")
	negated := strings.HasPrefix(strings.TrimSpace(list[0]), "!")
	listed := slices.ContainsFunc(list, func(s string) bool { return known && strings.TrimPrefix(strings.TrimSpace(s), "!") == name })
	if listed == negated {
		return &authError{fmt.Sprintf("require_auth=%s does not allow what the server asks for", config.RequireAuth)}
	}
	return nil
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// mechanisms are the names in AuthenticationSASL.
func mechanisms(p []byte) []string {
	var names []string
	for len(p) > 1 {
		name, rest, ok := cutString(p)
		if !ok || name == "" {
			break
		}
		names = append(names, name)
		p = rest
	}
	return names
}

// beginSCRAM chooses the mechanism and sends the first message.
func (a *authentication) beginSCRAM(offered []string, password string) error {
	client, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		client, err = scram.SHA256.NewClientUnprepped("", password, "") // as PostgreSQL: bytes where SASLprep declines
	}
	if err != nil {
		return &authError{"the password can't be used with SCRAM"}
	}
	binding := a.s.b.Target.config.ChannelBinding
	chosen := mechanism
	var conversation *scram.ClientConversation
	switch plus := slices.Contains(offered, mechanismPlus) && a.s.State != nil && binding != "disable"; {
	case plus:
		channel, err := scram.NewTLSServerEndpointBinding(a.s.State)
		if err != nil {
			return &authError{"the TLS channel can't be bound: " + err.Error()}
		}
		chosen, conversation = mechanismPlus, client.NewConversationWithChannelBinding(channel)
	case binding == "require":
		return &authError{"channel_binding=require, and the server does not offer " + mechanismPlus}
	case !slices.Contains(offered, mechanism):
		return &authError{fmt.Sprintf("the server offers %s, and this check speaks %s", strings.Join(offered, ", "), mechanism)}
	default:
		conversation = client.NewConversation()
	}
	first, err := conversation.Step("")
	if err != nil {
		return err
	}
	a.scram = conversation
	return a.s.Put(&pgproto3.SASLInitialResponse{AuthMechanism: chosen, Data: []byte(first)})
}

func (a *authentication) continueSCRAM(kind uint32, data []byte) error {
	if a.scram == nil {
		return &malformed{"a SASL message before AuthenticationSASL"}
	}
	answer, err := a.scram.Step(string(data))
	if err != nil {
		return &malformed{"SCRAM: " + err.Error()}
	}
	if kind == authSASLFinal {
		a.proven = a.scram.Valid()
		return nil
	}
	return a.s.Put(&pgproto3.SASLResponse{Data: []byte(answer)})
}
