package config

import (
	"errors"
	"strings"
)

// hintEscape is for what goes wrong when a password has characters that end it.
const hintEscape = "in a URL the characters @ : / ? % of a user or password are written %40 %3A %2F %3F %25"

// url reads what follows the scheme: [user[:password]@][host][:port][/dbname][?name=value[&...]]. It is not net/url,
// whose errors repeat the whole URL with its password.
func (p *dsnParams) url(rest string) error {
	if i := strings.IndexByte(rest, '#'); i >= 0 {
		return errors.New("there is a # in the URL: write it %23")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, dbname, _ := strings.Cut(rest, "/")
	address := authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		login := authority[:i]
		address = authority[i+1:]
		if strings.ContainsRune(login, '@') {
			return errors.New("there are two @ before the host; " + hintEscape)
		}
		user, password, _ := strings.Cut(login, ":")
		if err := p.setDecoded("user", user); err != nil {
			return err
		}
		if err := p.setDecoded("password", password); err != nil {
			return err
		}
	} else if strings.ContainsRune(dbname, '@') {
		return errors.New("there is a / before the @; " + hintEscape)
	}
	if err := p.address(address); err != nil {
		return err
	}
	if err := p.setDecoded("dbname", dbname); err != nil {
		return err
	}
	return p.query(query)
}

// address reads [host][:port], or several with commas between them; an IPv6 address is in brackets.
func (p *dsnParams) address(s string) error {
	var hosts, ports []string
	for one := range strings.SplitSeq(s, ",") {
		host, port, err := hostAndPort(one)
		if err != nil {
			return err
		}
		hosts, ports = append(hosts, host), append(ports, port)
	}
	if strings.Join(ports, "") == "" {
		ports = nil
	}
	p.port = strings.Join(ports, ",")
	return p.setDecoded("host", strings.Join(hosts, ","))
}

func hostAndPort(s string) (host, port string, err error) {
	if inside, ok := strings.CutPrefix(s, "["); ok {
		host, after, ok := strings.Cut(inside, "]")
		if !ok || host == "" || after != "" && after[0] != ':' {
			return "", "", errors.New("an IPv6 address is written in brackets, as [::1]:5432")
		}
		return host, strings.TrimPrefix(after, ":"), nil
	}
	host, port, _ = strings.Cut(s, ":")
	if strings.ContainsRune(port, ':') {
		return "", "", errors.New("an IPv6 address is written in brackets, as [::1]:5432; " + hintEscape)
	}
	return host, port, nil
}

// query reads name=value pairs. They win over what stands before, as in libpq.
func (p *dsnParams) query(s string) error {
	for len(s) > 0 {
		var pair string
		pair, s, _ = strings.Cut(s, "&")
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return errors.New("after ? come name=value pairs, with & between them; " + hintEscape)
		}
		if err := p.setDecoded(name, value); err != nil {
			return err
		}
	}
	return nil
}

func (p *dsnParams) setDecoded(name, value string) error {
	decoded, ok := decodePercent(value)
	if !ok {
		return errors.New("a % in the URL is not followed by two hexadecimal digits; " + hintEscape)
	}
	return p.set(name, decoded)
}

// decodePercent undoes %XX. A + stays one, as in libpq.
func decodePercent(s string) (string, bool) {
	if !strings.ContainsRune(s, '%') {
		return s, true
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		high, ok1 := hexDigit(s[i+1])
		low, ok2 := hexDigit(s[i+2])
		if !ok1 || !ok2 {
			return "", false
		}
		out = append(out, high<<4|low)
		i += 2
	}
	return string(out), true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
