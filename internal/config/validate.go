package config

import (
	"fmt"
	"slices"
	"strings"
)

// Validate says all that is wrong with c, a Fault and a line for each, or nil. What only the system knows, as whether
// an address can be listened on or a file be read, it doesn't look at.
func Validate(c *Config) error {
	faults := check(nil, "", general(), c)
	if c.Auth.Method.Listed() && c.Auth.File == "" {
		faults = append(faults, fault([]string{"auth", "auth_type"}, "auth_type = %q needs auth_file (--auth-file): give the file of users and passwords", c.Auth.Method))
	}
	if c.Auth.Method == Cert && c.TLS.Client.Mode < SSLVerifyCA {
		faults = append(faults, fault([]string{"auth", "auth_type"}, "auth_type = \"cert\" needs client_tls_sslmode = verify-ca or verify-full, with client_tls_ca_file: else clients' certificates are not looked at"))
	}
	faults = append(faults, checkListen(c)...)
	faults = append(faults, checkDatabases(c)...)
	faults = append(faults, checkTLS(c)...)
	faults = append(faults, checkKeys(c)...)
	faults = append(faults, checkUsers(c.Users)...)
	faults = append(faults, checkCluster(c)...)
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
	if _, _, err := splitAddr(HTTPAddr(value)); err != nil {
		return err.Error()
	}
	return ""
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
