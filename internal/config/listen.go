package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Listener is one place to listen on, as a network of package net and an address in it.
type Listener struct {
	Network, Address string
	Said             string              // the address as configured, without what else is said of it
	Keys             Override[KeyPolicy] // client_keys of who connects there, where its database has none of its own
}

// Listeners are the places of a validated configuration, in its order. A Unix socket of which the port was not said has
// that of the first TCP address, or else the port of DefaultListen: it is a part of the socket's name.
func (c *Config) Listeners() []Listener {
	list := make([]Listener, len(c.Listen))
	for i, value := range c.Listen {
		addr, options := splitListen(value)
		list[i] = Listener{Network: "tcp", Address: addr, Said: addr}
		list[i].Keys, _ = listenerKeys(options)
		if folder, port, ok := splitSocket(addr); ok {
			if port == "" {
				port = c.socketPort()
			}
			list[i].Network, list[i].Address = "unix", strings.TrimSuffix(folder, "/")+"/.s.PGSQL."+port
		}
	}
	return list
}

func (c *Config) socketPort() string {
	for _, value := range append(slices.Clone(c.Listen), DefaultListen) {
		addr, _ := splitListen(value)
		if _, port, err := splitAddr(addr); err == nil && port != "0" {
			return port
		}
	}
	return ""
}

func checkListen(c *Config) (faults []*Fault) {
	at := []string{"listen"}
	if len(c.Listen) == 0 {
		faults = append(faults, fault(at, "listen is empty: give at least one address as HOST:PORT, or the folder of a Unix socket"))
	}
	places := c.Listeners()
	for i, value := range c.Listen {
		addr, options := splitListen(value)
		same := func(l Listener) bool { return l.Network == places[i].Network && l.Address == places[i].Address }
		if slices.ContainsFunc(places[:i], same) && !strings.HasSuffix(addr, ":0") {
			faults = append(faults, fault(at, "listen = %q is given twice: leave one out", addr))
		}
		if _, err := listenerKeys(options); err != nil {
			faults = append(faults, fault(at, "listen = %q: %w", value, err))
		}
		if isSocket(addr) {
			if err := badSocket(addr); err != nil {
				faults = append(faults, fault(at, "listen = %q: %w", addr, err))
			}
			continue
		}
		host, _, err := splitAddr(addr)
		if err != nil {
			faults = append(faults, fault(at, "listen = %q: %w", addr, err))
			continue
		}
		if c.Auth.Method == Trust && !c.AllowRemoteTrust && !loopback(host) {
			faults = append(faults, fault(at, "listen = %q with auth_type = \"trust\" would let in anybody who can reach it: "+
				"use --auth scram-sha-256, listen on 127.0.0.1 or ::1, or say --allow-remote-trust", addr))
		}
	}
	return faults
}

// splitSocket reads FOLDER or FOLDER:PORT of a Unix socket, or @NAME or @NAME:PORT of an abstract one.
func splitSocket(addr string) (folder, port string, ok bool) {
	if !isSocket(addr) {
		return "", "", false
	}
	if i := strings.LastIndexByte(addr, ':'); i >= 0 {
		return addr[:i], addr[i+1:], true
	}
	return addr, "", true
}

// maxSocketPath is what the kernel takes as the name of a Unix socket: sun_path less its zero byte.
const maxSocketPath = 107

func badSocket(addr string) error {
	folder, port, _ := splitSocket(addr)
	if port != "" || strings.HasSuffix(addr, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return errors.New("behind the colon comes the port in the socket's name, a number from 1 to 65535")
		}
	}
	switch {
	case strings.ContainsAny(addr, "\x00\r\n"):
		return errors.New("there is a zero byte or a new line in it")
	case folder == "@":
		return errors.New("an abstract socket has a name behind the @")
	case strings.Contains(folder, "/.s.PGSQL."):
		return errors.New("give the folder: the socket in it is called .s.PGSQL.PORT, as clients expect")
	case len(folder)+len("/.s.PGSQL.65535") > maxSocketPath:
		return fmt.Errorf("the name of a Unix socket has %d bytes at most: give a shorter folder", maxSocketPath)
	}
	return nil
}

// badTakeover tells why a value is no takeover_socket.
func badTakeover(value string) (why string) {
	switch {
	case value == "":
		return ""
	case !strings.HasPrefix(value, "/") || strings.HasSuffix(value, "/"):
		return "give the absolute path of a socket that is to be made, such as /run/cancello/takeover"
	case len(value)+len(".01234567") > maxSocketPath:
		return "it is too long for a socket: give a shorter path"
	}
	return ""
}

// splitAddr reads HOST:PORT; the host may be empty, which is every address, and an IPv6 address is in brackets.
// Port 0 asks the system for a free one.
func splitAddr(addr string) (host, port string, err error) {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 {
		return "", "", errors.New("the port is missing: give HOST:PORT")
	}
	host, port = addr[:i], addr[i+1:]
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "", "", errors.New("the port must be a number from 0 to 65535")
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		return host[1 : len(host)-1], port, nil
	}
	switch {
	case strings.ContainsAny(host, ":[]"):
		return "", "", errors.New("an IPv6 address is written in brackets, as [::1]:6432")
	case host == "*":
		return "", "", errors.New("for every address leave the host out, as :6432")
	case strings.ContainsAny(host, " \t/"):
		return "", "", errors.New("the host must be a name or an address")
	}
	return host, port, nil
}

// SocketMode is who may connect to a Unix socket, as chmod has it.
func (c *Config) SocketMode() uint32 {
	n, _ := strconv.ParseUint(c.Socket.Mode, 8, 32)
	return uint32(n)
}

// Name is what a place is called between the processes of a node: the address as configured, or a Unix socket's path.
func (l Listener) Name() string {
	if l.Network == "unix" {
		return l.Address
	}
	return l.Said
}

// Socket is how Unix sockets that are listened on appear in their folder. It does not concern abstract ones.
type Socket struct {
	Mode  string // unix_socket_mode: octal, as for chmod
	Group string // unix_socket_group: name or number; empty: the process's own
}

// badMode tells why a value is no mode of a file.
func badMode(value string) (why string) {
	if n, err := strconv.ParseUint(value, 8, 32); err != nil || n > 0o777 {
		return "give an octal number as for chmod, such as 0770"
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
