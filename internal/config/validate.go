package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Validate says all that is wrong with c, one line for each fault, or nil. What only the system knows, as whether
// an address can be listened on or a file be read, it doesn't look at.
func Validate(c *Config) error {
	var faults []error
	faults = append(faults, checkAuth(c.Auth)...)
	faults = append(faults, checkListen(c)...)
	faults = append(faults, checkDatabases(c.Databases)...)
	for _, s := range settings() {
		if err := s.check(c); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

func checkAuth(a Auth) (faults []error) {
	switch {
	case a.Method > SCRAM:
		faults = append(faults, fmt.Errorf("auth = %q is not allowed: give trust, plain or scram-sha-256", strconv.Itoa(int(a.Method))))
	case a.Method != Trust && a.File == "":
		faults = append(faults, fmt.Errorf("auth = %q needs auth_file: give the file of users and passwords", a.Method))
	}
	return faults
}

func checkListen(c *Config) (faults []error) {
	if len(c.Listen) == 0 {
		faults = append(faults, errors.New("listen is empty: give at least one address as HOST:PORT"))
	}
	for i, addr := range c.Listen {
		host, err := splitAddr(addr)
		if err != nil {
			faults = append(faults, fmt.Errorf("listen = %q: %w", addr, err))
			continue
		}
		if before(c.Listen, i, addr) {
			faults = append(faults, fmt.Errorf("listen = %q is given twice: leave one out", addr))
		}
		if c.Auth.Method == Trust && !c.AllowRemoteTrust && !loopback(host) {
			faults = append(faults, fmt.Errorf("listen = %q with auth = \"trust\" would let in anybody who can reach it: "+
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

func checkDatabases(list []Database) (faults []error) {
	if len(list) == 0 {
		faults = append(faults, errors.New("there is no database: give at least one --upstream DSN"))
	}
	for i, d := range list {
		name := fmt.Sprintf("database %q", d.Name)
		if d.Name == "" {
			faults = append(faults, fmt.Errorf("database number %d has no name: give one, or \"*\" for any", i+1))
			name = fmt.Sprintf("database number %d", i+1)
		}
		for _, e := range list[:i] {
			if e.Name == d.Name && d.Name != "" {
				faults = append(faults, fmt.Errorf("%s is given twice: each name, and \"*\", can have one upstream", name))
				break
			}
		}
		if d.Host == "" {
			faults = append(faults, fmt.Errorf("%s: host is empty: give a name, an address or the folder of a Unix socket", name))
		}
		if d.Port < 1 || d.Port > 65535 {
			faults = append(faults, fmt.Errorf("%s: port = %d is not allowed: give 1 to 65535", name, d.Port))
		}
		if strings.ContainsRune(d.Name+d.Host+d.DBName+d.User+d.Password, 0) {
			faults = append(faults, fmt.Errorf("%s: there is a zero byte in a value: PostgreSQL can't take it", name))
		}
	}
	return faults
}
