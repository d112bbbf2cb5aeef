package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Validate says all that is wrong with c, a Fault and a line for each, or nil. What only the system knows, as whether
// an address can be listened on or a file be read, it doesn't look at.
func Validate(c *Config) error {
	faults := check(nil, "", general(), c)
	if c.Auth.Method.Listed() && c.Auth.File == "" {
		faults = append(faults, fault([]string{"auth", "auth_type"}, "auth_type = %q needs auth_file: give the file of users and passwords", c.Auth.Method))
	}
	if c.Auth.Method == Cert && c.TLS.Client.Mode < SSLVerifyCA {
		faults = append(faults, fault([]string{"auth", "auth_type"}, "auth_type = \"cert\" needs client_tls_sslmode = verify-ca or verify-full, with client_tls_ca_file: else clients' certificates are not looked at"))
	}
	faults = append(faults, checkListen(c)...)
	faults = append(faults, checkDatabases(c)...)
	faults = append(faults, checkTLS(c)...)
	faults = append(faults, checkUsers(c.Users)...)
	return join(faults)
}

// check looks at each setting of a table by itself.
func check[T any](at []string, prefix string, table []setting[T], c *T) (faults []*Fault) {
	for _, s := range table {
		if err := s.check(c); err != nil {
			path := append(slices.Clip(at), strings.Split(s.path(), ".")...)
			faults = append(faults, fault(path, "%s%w", prefix, err))
		}
	}
	return faults
}

func checkListen(c *Config) (faults []*Fault) {
	at := []string{"listen"}
	if len(c.Listen) == 0 {
		faults = append(faults, fault(at, "listen is empty: give at least one address as HOST:PORT"))
	}
	for i, addr := range c.Listen {
		host, err := splitAddr(addr)
		if err != nil {
			faults = append(faults, fault(at, "listen = %q: %w", addr, err))
			continue
		}
		if before(c.Listen, i, addr) {
			faults = append(faults, fault(at, "listen = %q is given twice: leave one out", addr))
		}
		if c.Auth.Method == Trust && !c.AllowRemoteTrust && !loopback(host) {
			faults = append(faults, fault(at, "listen = %q with auth_type = \"trust\" would let in anybody who can reach it: "+
				"use --auth scram-sha-256, listen on 127.0.0.1 or ::1, or say --allow-remote-trust", addr))
		}
	}
	return faults
}

func before(list []string, i int, s string) bool {
	for _, t := range list[:i] {
		if t == s && !strings.HasSuffix(s, ":0") {
			return true
		}
	}
	return false
}

// splitAddr reads HOST:PORT; the host may be empty, which is every address, and an IPv6 address is in brackets.
// Port 0 asks the system for a free one.
func splitAddr(addr string) (host string, err error) {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 {
		return "", errors.New("the port is missing: give HOST:PORT")
	}
	host, port := addr[:i], addr[i+1:]
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "", errors.New("the port must be a number from 0 to 65535")
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		return host[1 : len(host)-1], nil
	}
	switch {
	case strings.ContainsAny(host, ":[]"):
		return "", errors.New("an IPv6 address is written in brackets, as [::1]:6432")
	case host == "*":
		return "", errors.New("for every address leave the host out, as :6432")
	case strings.ContainsAny(host, " \t/"):
		return "", errors.New("the host must be a name or an address")
	}
	return host, nil
}

// HTTPAddr is what to listen on for HTTP: a port alone is one of this machine's, for itself.
func HTTPAddr(value string) string {
	if value == "" || strings.Contains(value, ":") {
		return value
	}
	return "127.0.0.1:" + value
}

// refuseHTTP tells why a value of http is not allowed.
func refuseHTTP(value string) string {
	if value == "" {
		return ""
	}
	if _, err := splitAddr(HTTPAddr(value)); err != nil {
		return err.Error()
	}
	return ""
}

// loopback is sure: a name that merely resolves to a loopback address isn't taken for one.
func loopback(host string) bool {
	if host == "localhost" || host == "::1" {
		return true
	}
	parts := strings.Split(host, ".")
	if len(parts) != 4 || parts[0] != "127" {
		return false
	}
	for _, p := range parts {
		if n, err := strconv.ParseUint(p, 10, 8); err != nil || strconv.FormatUint(n, 10) != p {
			return false
		}
	}
	return true
}

func checkDatabases(c *Config) (faults []*Fault) {
	list := c.Databases
	if len(list) == 0 {
		faults = append(faults, fault(nil, "there is no database: give at least one --upstream DSN, or [databases.NAME] in a file"))
	}
	for i, d := range list {
		at, name := []string{"databases", d.Name}, databaseName(d.Name)
		switch {
		case d.Name == "":
			name = fmt.Sprintf("database number %d", i+1)
			faults = append(faults, fault(at, "%s has no name: give one, or \"*\" for any", name))
		case d.Name == Console:
			faults = append(faults, fault(at, "%s is the console: give the upstream another name for clients, and its own as dbname", name))
		case strings.ContainsRune(d.Name, 0):
			faults = append(faults, fault(at, "%s: there is a zero byte in its name, which no client can say", name))
		case slices.ContainsFunc(list[:i], func(e Database) bool { return e.Name == d.Name }):
			faults = append(faults, fault(at, "%s is given twice: each name, and \"*\", can have one upstream", name))
		}
		faults = append(faults, check(at, name+": ", ofDatabase(), &d)...)
		faults = append(faults, checkHosts(at, name, d)...)
		faults = append(faults, checkDatabaseTLS(at, name, c, d)...)
	}
	return faults
}

func checkUsers(list []User) (faults []*Fault) {
	for i, u := range list {
		at, name := []string{"users", u.Name}, userName(u.Name)
		switch {
		case u.Name == "":
			name = fmt.Sprintf("user number %d", i+1)
			faults = append(faults, fault(at, "%s has no name: give one", name))
		case slices.ContainsFunc(list[:i], func(e User) bool { return e.Name == u.Name }):
			faults = append(faults, fault(at, "%s is given twice: leave one out", name))
		}
		faults = append(faults, check(at, name+": ", ofUser(), &u)...)
	}
	return faults
}
