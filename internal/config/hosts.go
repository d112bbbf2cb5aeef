package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Balance is in which order the hosts of a database are tried (load_balance_hosts).
type Balance uint8

// The orders.
const (
	InTurn  Balance = iota // each new connection begins with the next host
	InOrder                // each begins with the first
)

func balances() []string { return []string{"round-robin", "disable"} }

// String is the word of load_balance_hosts.
func (b Balance) String() string { return balances()[b] }

func (b *Balance) pick(i int) { *b = Balance(i) }
func (b *Balance) index() int { return int(*b) }

// Upstream is one place where PostgreSQL is.
type Upstream struct {
	Host string // name, address, or the folder of a Unix socket
	Port int
}

// Upstreams are the places of a validated database, in the order given.
func (d Database) Upstreams() []Upstream {
	hosts := strings.Split(d.Host, ",")
	list := make([]Upstream, len(hosts))
	ports := strings.Split(d.Ports, ",")
	for i, host := range hosts {
		list[i] = Upstream{strings.TrimSpace(host), d.Port}
		if d.Ports != "" && i < len(ports) {
			list[i].Port, _ = strconv.Atoi(ports[i])
		}
	}
	return list
}

// checkHosts looks at hosts and ports together.
func checkHosts(at []string, name string, d Database) (faults []*Fault) {
	if d.Ports == "" {
		return nil
	}
	hosts, ports := len(strings.Split(d.Host, ",")), len(strings.Split(d.Ports, ","))
	if hosts != ports {
		faults = append(faults, fault(append(at[:len(at):len(at)], "port"), "%s: there are %d hosts and %d ports: give one port for all, or one for each host", name, hosts, ports))
	}
	return faults
}

// badHosts tells why a list of hosts is not allowed.
func badHosts(list string) (why string) {
	for host := range strings.SplitSeq(list, ",") {
		if why := badHost(strings.TrimSpace(host)); why != "" {
			return why
		}
	}
	return ""
}

func badHost(host string) (why string) {
	switch {
	case host == "":
		return "give a name, an address or the folder of a Unix socket, or several with commas between them"
	case !isSocket(host) && strings.ContainsAny(host, " \t\r\n@/[]"):
		return "give a name, an address without its port, or the folder of a Unix socket, which begins with /"
	}
	return ""
}

// isSocket tells whether a host is the folder of a Unix socket, or the beginning of the name of an abstract one.
func isSocket(host string) bool { return strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") }

// portList reads one number or several with commas between them, and the first of them. The text is empty for one.
func (s *setting[T]) portList(value string) (first int, list string, ok bool) {
	parts := strings.Split(value, ",")
	for i, part := range parts {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < s.min || n > s.max {
			return 0, "", false
		}
		parts[i] = strconv.Itoa(n)
		if i == 0 {
			first = n
		}
	}
	if len(parts) == 1 {
		return first, "", true
	}
	return first, strings.Join(parts, ","), true
}

// hosts reads the hosts and ports of a DSN: lists with commas, as libpq has them. What is empty in a list is as where
// nothing is given.
func (p *dsnParams) hosts(d *Database) error {
	hosts := strings.Split(p.host, ",")
	for i, host := range hosts {
		if host == "" {
			hosts[i] = DefaultHost
		}
		if !isSocket(host) && strings.ContainsAny(host, " \t\r\n@/[]") || strings.HasPrefix(host, "@") {
			return fmt.Errorf("host must be a name, an address or a folder that begins with /; %s", hintEscape)
		}
	}
	d.Host = strings.Join(hosts, ",")
	ports := strings.Split(p.port, ",")
	if len(ports) > 1 && len(ports) != len(hosts) {
		return fmt.Errorf("there are %d hosts and %d ports: give one port for all, or one for each host", len(hosts), len(ports))
	}
	for i, port := range ports {
		if port == "" {
			ports[i] = strconv.Itoa(DefaultPort)
			continue
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("port must be a number from 1 to 65535; %s", hintEscape)
		}
		ports[i] = strconv.FormatUint(n, 10)
	}
	d.Port, _ = strconv.Atoi(ports[0])
	if len(ports) > 1 {
		d.Ports = strings.Join(ports, ",")
	}
	return p.balance(d, len(hosts))
}

// balance reads load_balance_hosts with libpq's meaning, where disable is the default. libpq's other word is random; in
// turn spreads connections as evenly.
func (p *dsnParams) balance(d *Database, hosts int) error {
	switch p.loadBalance {
	case "":
		if hosts > 1 {
			d.Balance = Give(InOrder)
		}
	case "disable":
		d.Balance = Give(InOrder)
	case "random", "round-robin":
		d.Balance = Give(InTurn)
	default:
		return fmt.Errorf("load_balance_hosts must be disable, random or round-robin")
	}
	return nil
}
