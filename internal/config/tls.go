package config

// SSLMode is how much TLS one side of Cancello asks for (sslmode).
type SSLMode uint8

// The modes, from nothing to everything.
const (
	SSLDisable SSLMode = iota
	SSLAllow
	SSLPrefer
	SSLRequire
	SSLVerifyCA
	SSLVerifyFull
)

func sslModes() []string {
	return []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
}

// String is the word of sslmode.
func (m SSLMode) String() string { return sslModes()[m] }

func (m *SSLMode) pick(i int) { *m = SSLMode(i) }
func (m *SSLMode) index() int { return int(*m) }

// TLSVersion is the oldest version of TLS that is spoken (tls_min_version).
type TLSVersion uint8

// The versions. Those before 1.2 are not spoken at all (RFC 8996).
const (
	TLS12 TLSVersion = iota
	TLS13
)

func tlsVersions() []string { return []string{"1.2", "1.3"} }

func (v *TLSVersion) pick(i int) { *v = TLSVersion(i) }
func (v *TLSVersion) index() int { return int(*v) }

// Negotiation is how TLS with a server begins (sslnegotiation).
type Negotiation uint8

// The ways.
const (
	NegotiatePostgres Negotiation = iota // an SSLRequest
	NegotiateDirect                      // with TLS itself, which PostgreSQL 17 and later know
)

func negotiations() []string { return []string{"postgres", "direct"} }

func (n *Negotiation) pick(i int) { *n = Negotiation(i) }
func (n *Negotiation) index() int { return int(*n) }

// ChannelBinding says whether a login to a server by SCRAM is bound to its TLS connection (channel_binding).
type ChannelBinding uint8

// The values, with libpq's meaning.
const (
	BindingDisable ChannelBinding = iota
	BindingPrefer
	BindingRequire
)

func bindings() []string { return []string{"disable", "prefer", "require"} }

// String is the word of channel_binding.
func (b ChannelBinding) String() string { return bindings()[b] }

func (b *ChannelBinding) pick(i int) { *b = ChannelBinding(i) }
func (b *ChannelBinding) index() int { return int(*b) }

// TLS is how connections are encrypted. Files are read at start and again at each reload, all of it holds for
// connections to come.
type TLS struct {
	Client ClientTLS
	Server ServerTLS
	Min    TLSVersion // on both sides
}

// ClientTLS is what clients are offered.
type ClientTLS struct {
	// Mode: disable declines TLS; allow and prefer speak it with who asks; require lets only those in who do (cancels
	// excepted: many drivers never encrypt them); verify-ca and verify-full, which mean the same here, want a client
	// certificate signed by CA.
	Mode SSLMode
	Cert string // the server certificate and its chain; needed unless disable
	Key  string
	CA   string // needed for verify-ca and verify-full
}

// SystemRoots in place of a file of root certificates means those of the operating system, as in libpq.
const SystemRoots = "system"

// ServerTLS is how servers are spoken to, in libpq's words and meaning.
type ServerTLS struct {
	Mode SSLMode
	CA   string // a file or SystemRoots. Where it is given the server's certificate is verified in every mode
	Cert string // empty: no client certificate
	Key  string
}

// DatabaseTLS is what a database says of it by itself. What is empty is as ServerTLS.
type DatabaseTLS struct {
	Mode        Override[SSLMode] // sslmode
	CA          string            // sslrootcert
	Cert        string            // sslcert
	Key         string            // sslkey
	Negotiation Override[Negotiation]
	Binding     Override[ChannelBinding] // channel_binding
}

// ServerTLS is how the servers of d are spoken to.
func (c *Config) ServerTLS(d Database) ServerTLS {
	t := c.TLS.Server
	if d.TLS.CA != "" {
		t.CA = d.TLS.CA
	}
	if d.TLS.Cert != "" || d.TLS.Key != "" {
		t.Cert, t.Key = d.TLS.Cert, d.TLS.Key
	}
	if d.TLS.CA == SystemRoots {
		t.Mode = SSLVerifyFull // as libpq where nothing else is said: the system's roots sign for anybody
	}
	t.Mode = d.TLS.Mode.Or(t.Mode)
	return t
}

// Direct says that TLS with the database's servers begins without a request.
func (d Database) Direct() bool { return d.TLS.Negotiation.Or(NegotiatePostgres) == NegotiateDirect }

// Binding says whether logins to the database's servers are bound to their TLS connections.
func (d Database) Binding() ChannelBinding { return d.TLS.Binding.Or(BindingPrefer) }

// Files are the paths of all files that c names, to be made absolute. Empty ones are not among them.
func (c *Config) Files() []*string {
	all := []*string{
		&c.Auth.File, &c.TLS.Client.Cert, &c.TLS.Client.Key, &c.TLS.Client.CA, &c.TLS.Server.CA, &c.TLS.Server.Cert, &c.TLS.Server.Key,
		&c.Cluster.SecretFile, &c.Cluster.PreviousFile,
	}
	for i := range c.Databases {
		t := &c.Databases[i].TLS
		all = append(all, &t.CA, &t.Cert, &t.Key)
	}
	var given []*string
	for _, path := range all {
		if *path != "" && *path != SystemRoots {
			given = append(given, path)
		}
	}
	return given
}

func checkTLS(c *Config) (faults []*Fault) {
	t, at := c.TLS.Client, []string{"tls", "client_tls_sslmode"}
	if t.Mode > SSLVerifyFull || c.TLS.Server.Mode > SSLVerifyFull {
		return nil // said elsewhere
	}
	if t.Mode != SSLDisable && (t.Cert == "" || t.Key == "") {
		faults = append(faults, fault(at, "client_tls_sslmode = %q needs client_tls_cert_file and client_tls_key_file", t.Mode))
	}
	if t.Mode >= SSLVerifyCA && t.CA == "" {
		faults = append(faults, fault(at, "client_tls_sslmode = %q needs client_tls_ca_file: give the file of certificates that sign clients'", t.Mode))
	}
	s := serverTLSNames{at: []string{"tls"}, mode: "server_tls_sslmode", ca: "server_tls_ca_file", cert: "server_tls_cert_file", key: "server_tls_key_file"}
	return append(faults, s.check(c.TLS.Server)...)
}

// checkDatabaseTLS looks at what a database says together with what holds for all.
func checkDatabaseTLS(at []string, name string, c *Config, d Database) (faults []*Fault) {
	t := c.ServerTLS(d)
	if d.TLS == (DatabaseTLS{}) || t.Mode > SSLVerifyFull { // said elsewhere
		return nil
	}
	s := serverTLSNames{at: at, prefix: name + ": ", mode: "sslmode", ca: "sslrootcert", cert: "sslcert", key: "sslkey"}
	faults = s.check(t)
	if d.Direct() && t.Mode < SSLRequire {
		faults = append(faults, s.fault("sslnegotiation", "sslnegotiation = \"direct\" needs sslmode = require, verify-ca or verify-full, since it can't be declined"))
	}
	if d.Binding() == BindingRequire && t.Mode == SSLDisable {
		faults = append(faults, s.fault("channel_binding", "channel_binding = \"require\" needs TLS: give an sslmode other than disable"))
	}
	return faults
}

// serverTLSNames are what the parts of a ServerTLS are called where they stand.
type serverTLSNames struct {
	at                          []string
	prefix, mode, ca, cert, key string
}

func (s serverTLSNames) fault(name, format string, args ...any) *Fault {
	return fault(append(s.at[:len(s.at):len(s.at)], name), s.prefix+format, args...)
}

// check says what doesn't fit together.
func (s serverTLSNames) check(t ServerTLS) (faults []*Fault) {
	if (t.Cert == "") != (t.Key == "") {
		faults = append(faults, s.fault(s.cert, "%s and %s belong together: give both or none", s.cert, s.key))
	}
	switch {
	case t.Mode >= SSLVerifyCA && t.CA == "":
		faults = append(faults, s.fault(s.mode, "%s = %q needs %s: give a file of root certificates, or %s for the operating system's", s.mode, t.Mode, s.ca, SystemRoots))
	case t.CA == SystemRoots && t.Mode != SSLVerifyFull && t.Mode != SSLDisable:
		faults = append(faults, s.fault(s.mode, "%s = %q is too weak for %s = %s, whose roots sign for anybody: use verify-full", s.mode, t.Mode, s.ca, SystemRoots))
	}
	return faults
}
