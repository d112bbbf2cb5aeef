package fake

// Knobs are what the server does otherwise than PostgreSQL 18. The zero value misbehaves nowhere.
type Knobs struct {
	CloseAtOnce bool // every connection is closed as soon as it is accepted
	Silent      bool // nothing is ever answered

	Startup     StartupKnobs
	Key         KeyKnobs
	Negotiation NegotiationKnobs
	Encryption  EncryptionKnobs
	Cancel      CancelKnobs
	Pooler      PoolerKnobs
}

// StartupKnobs are about what comes between the startup packet and the first ReadyForQuery.
type StartupKnobs struct {
	Password      string // ask for it in clear
	Version       string // server_version; default 18.4
	DropParams    []string
	ParamsFirst   bool   // ParameterStatus before AuthenticationOk
	Strange       bool   // a message that has no place in a login
	NoReady       bool   // the login never ends
	Most          int    // later logins than that many never end
	ReadyTwice    bool   // another ReadyForQuery that nobody asked for
	ReadyStatus   byte   // default 'I'
	UnknownParam  string // an unknown startup parameter: "" is refused with 42704, "accept", "close", "hang", "08P01"
	IgnoreGarbage bool   // what is no startup packet is answered with silence
}

// KeyKnobs are about BackendKeyData.
type KeyKnobs struct {
	None     bool
	Twice    bool
	First    bool                                   // before ParameterStatus
	Late     bool                                   // behind ReadyForQuery
	Length30 int                                    // default 4
	Length32 int                                    // default 32
	PID      func(n int) uint32                     // of the n-th session, from 1; default the backend's
	Key      func(n int, p uint32, size int) []byte // default random
}

// NegotiationKnobs are about versions and _pq_ options.
type NegotiationKnobs struct {
	Latest         uint32          // default 3.2
	None           bool            // NegotiateProtocolVersion is never sent
	Always         bool            // it is also sent where all is as asked
	MinorOnly      bool            // it carries the minor version alone
	SayAsked       bool            // it repeats the version that was asked for
	Twice          bool            // it comes twice
	Late           bool            // it comes behind AuthenticationOk
	DropOptions    bool            // it names no option
	DropEmpty      bool            // it names no option whose value is empty
	NameAll        bool            // it names every parameter, with the prefix of options
	SortOptions    bool            // it names the options in another order
	OnceEach       bool            // a repeated option is named once
	AskedKey       bool            // the key has the length for the version asked for, not for the one agreed on
	Refuse         map[uint32]bool // versions that are refused with an error
	Close          map[uint32]bool // versions whose connection is closed without a word
	Hang           map[uint32]bool // versions that are never answered
	AcceptMajor    bool            // another major version is taken for 3.0
	RefuseOptions  bool            // _pq_ options are refused as unknown parameters
	BreakOnOptions bool            // a session that asked for an option fails at its first query
}

// EncryptionKnobs are about SSLRequest, GSSENCRequest and direct TLS.
type EncryptionKnobs struct {
	TLS          bool // there is a certificate
	SSLAnswer    byte // to SSLRequest, instead of 'S' or 'N'; 'E' is an ErrorResponse
	SSLHang      bool // SSLRequest is not answered
	SSLDrop      bool // the connection is closed behind the answer 'N'
	BadHandshake bool // 'S', and then no TLS
	NoDirect     bool // TLS at once is not understood
	DirectNoALPN bool // TLS at once is taken without an ALPN name
	NoSelection  bool // no ALPN name is ever chosen
	AnyALPN      bool // a foreign ALPN name is no reason to end
	Again        byte // how a second SSLRequest is answered: 0 with an error
	Smuggle      bool // what came in clear behind SSLRequest is taken as sent over TLS
	TellEarly    bool // what came in clear behind SSLRequest is refused over TLS, as up to PostgreSQL 16. No fault
	Discard      bool // what came in clear behind SSLRequest is thrown away
	GSSAnswer    byte // to GSSENCRequest; default 'N'; 'E' is an ErrorResponse
	GSSHang      bool
	GSSDrop      bool // the connection is closed behind the answer 'N'
	GSSEndsSSL   bool // SSLRequest behind GSSENCRequest is refused
}
