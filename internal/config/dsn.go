package config

import (
	"errors"
	"fmt"
	"strings"
)

// DefaultHost is this machine.
const DefaultHost = "localhost"

// DefaultPort is PostgreSQL's.
const DefaultPort = 5432

// ParseDSN reads where and as whom a server is reached: a URL (postgres:// or postgresql://) or a key=value string,
// both as libpq has them (libpq-connstring). What is allowed: host (an address, a name, the folder of a Unix
// socket; several with commas between them), port, load_balance_hosts, dbname, user, password, sslmode, sslrootcert, sslcert, sslkey, sslnegotiation, channel_binding, and what
// libpq has of keepalives; anything else is an error. No host is localhost, no port
// DefaultPort. The database is the name clients ask for, too; none is any ("*", passed on as asked).
//
// An error never repeats a part of the DSN that could be a slipped part of a password.
func ParseDSN(dsn string) (Database, error) {
	var p dsnParams
	var err error
	rest, isURL := cutScheme(dsn)
	switch {
	case isURL:
		err = p.url(rest)
	case strings.Contains(dsn, "://"):
		err = errors.New("a URL must begin with postgres:// or postgresql://")
	case strings.TrimSpace(dsn) == "":
		err = errors.New("it is empty: give postgres://USER@HOST:PORT/DATABASE")
	default:
		err = p.keywords(dsn)
	}
	if err == nil {
		var d Database
		if d, err = p.database(); err == nil {
			return d, nil
		}
	}
	return Database{}, err
}

func cutScheme(dsn string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(dsn, "postgres://"); ok {
		return rest, true
	}
	return strings.CutPrefix(dsn, "postgresql://")
}

// dsnParams is what was given, as text.
type dsnParams struct {
	host, port, loadBalance, dbname, user, password, sslmode, sslrootcert, sslcert, sslkey, sslnegotiation, channelBinding string

	keepalives, keepCount, keepIdle, keepInterval, userTimeout string
}

// field is where a parameter goes; nil for one that can't be given.
func (p *dsnParams) field(name string) *string {
	switch name {
	case "host":
		return &p.host
	case "port":
		return &p.port
	case "load_balance_hosts":
		return &p.loadBalance
	case "keepalives":
		return &p.keepalives
	case "keepalives_count":
		return &p.keepCount
	case "keepalives_idle":
		return &p.keepIdle
	case "keepalives_interval":
		return &p.keepInterval
	case "tcp_user_timeout":
		return &p.userTimeout
	case "dbname":
		return &p.dbname
	case "user":
		return &p.user
	case "password":
		return &p.password
	case "sslmode":
		return &p.sslmode
	case "sslrootcert":
		return &p.sslrootcert
	case "sslcert":
		return &p.sslcert
	case "sslkey":
		return &p.sslkey
	case "sslnegotiation":
		return &p.sslnegotiation
	case "channel_binding":
		return &p.channelBinding
	}
	return nil
}

func dsnNames() []string {
	return []string{"host", "port", "load_balance_hosts", "dbname", "user", "password", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslnegotiation", "channel_binding",
		"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}
}

// libpqNames are parameters that libpq has and a DSN for Cancello can't. A name is only repeated in an error when it
// is one of these: a stranger could be a part of a password that wasn't quoted.
func libpqNames() []string {
	return []string{
		"application_name", "channel_binding", "client_encoding", "connect_timeout", "fallback_application_name",
		"gssdelegation", "gssencmode", "gsslib", "hostaddr", "krbsrvname", "max_protocol_version", "min_protocol_version",
		"options", "passfile", "replication", "require_auth", "requirepeer", "requiressl", "service", "servicefile",
		"sslcert", "sslcertmode", "sslcompression", "sslcrl", "sslcrldir", "sslkey", "sslkeylogfile", "sslnegotiation",
		"sslpassword", "sslrootcert", "sslsni", "ssl_max_protocol_version", "ssl_min_protocol_version",
		"target_session_attrs",
	}
}

// set takes one parameter.
func (p *dsnParams) set(name, value string) error {
	if to := p.field(name); to != nil {
		if strings.ContainsRune(value, 0) {
			return fmt.Errorf("there is a zero byte in %s: PostgreSQL can't take it", name)
		}
		*to = value
		return nil
	}
	allowed := "allowed are " + strings.Join(dsnNames(), ", ")
	switch name {
	case "connect_timeout":
		return errors.New("parameter connect_timeout: use --set server_connect_timeout=SECONDS")
	case "database", "db":
		return errors.New("unknown parameter: did you mean dbname?")
	}
	for _, known := range libpqNames() {
		if name == known {
			return fmt.Errorf("parameter %s is not supported: leave it out; %s", name, allowed)
		}
	}
	if near, ok := nearest(name, dsnNames()); ok {
		return fmt.Errorf("unknown parameter: did you mean %s?", near)
	}
	return fmt.Errorf("unknown parameter: %s; in a URL write special characters of a password as %%XX, elsewhere quote it with '", allowed)
}

// database checks the values.
func (p *dsnParams) database() (Database, error) {
	d := NewDatabase(p.dbname)
	d.DBName, d.User, d.Password = p.dbname, p.user, p.password
	if d.Name == "" {
		d.Name = anyDatabase
	}
	if err := p.hosts(&d); err != nil {
		return d, err
	}
	var err error
	if d.Network, err = p.network(); err != nil {
		return d, err
	}
	d.TLS, err = p.tls()
	return d, err
}

// tls checks the values for TLS. What has to fit with what all servers have is Validate's.
func (p *dsnParams) tls() (DatabaseTLS, error) {
	t := DatabaseTLS{CA: p.sslrootcert, Cert: p.sslcert, Key: p.sslkey}
	if p.sslmode != "" {
		i := index(sslModes(), p.sslmode)
		if i < 0 {
			return t, errors.New("sslmode must be disable, allow, prefer, require, verify-ca or verify-full")
		}
		t.Mode = Give(SSLMode(i))
	}
	if p.sslnegotiation != "" {
		i := index(negotiations(), p.sslnegotiation)
		if i < 0 {
			return t, errors.New("sslnegotiation must be postgres or direct")
		}
		t.Negotiation = Give(Negotiation(i))
	}
	if p.channelBinding != "" {
		i := index(bindings(), p.channelBinding)
		if i < 0 {
			return t, errors.New("channel_binding must be disable, prefer or require")
		}
		t.Binding = Give(ChannelBinding(i))
	}
	return t, nil
}
