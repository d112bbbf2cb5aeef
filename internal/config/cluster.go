package config

import (
	"fmt"
	"slices"
	"strings"
)

// Cluster is this node among the others.
type Cluster struct {
	Node   int    // node: the number that the keys of its clients have
	Listen string // peer_listen: where other nodes reach it, as HOST:PORT; empty: nowhere
	// Secret (cluster_secret) is what the nodes have in common, Previous (cluster_secret_previous) what they had before.
	// Each stands there or in a file.
	Secret, SecretFile     string
	Previous, PreviousFile string
}

// String is the node for people, without its secrets.
func (c Cluster) String() string {
	return strings.Join(said(ofCluster(), &Config{Cluster: c}), " ")
}

// GoString is String, so that %#v has no secret either.
func (c Cluster) GoString() string { return c.String() }

// MarshalText is String, so that encoders and structured loggers, which ask for it, have no secret either.
func (c Cluster) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// MinSecret is the length below which a cluster's secret is refused, in bytes: whoever holds a key of protocol 3.2 can
// try secrets at home.
const MinSecret = 16

// Nodes is how many nodes a key can tell apart.
const Nodes = 1024

// Peer is another node.
type Peer struct {
	Node    Override[int] // always given in a valid one
	Address string        // HOST:PORT of its peer_listen
	Mode    PeerMode      // sslmode
}

// Number is the peer's node.
func (p Peer) Number() uint16 { return uint16(p.Node.Value) }

// String is the peer for people.
func (p Peer) String() string { return strings.Join(said(ofPeer(), &p), " ") }

// PeerMode is how a peer is spoken to (sslmode of a peer).
type PeerMode uint8

// The modes.
const (
	PeerRequire PeerMode = iota // by a link, which is encrypted, or not at all
	PeerPrefer                  // by a link, or where there is none as clients do, in clear
	PeerDisable                 // as clients do, in clear
)

func peerModes() []string { return []string{"require", "prefer", "disable"} }

// String is the word of a peer's sslmode.
func (m PeerMode) String() string { return peerModes()[m] }

func (m *PeerMode) pick(i int) { *m = PeerMode(i) }
func (m *PeerMode) index() int { return int(*m) }

// ofCluster is the part of the general table about nodes.
func ofCluster() []setting[Config] {
	return []setting[Config]{
		{table: "cluster", name: "node", when: Restart, about: "the number of this node, another one for each: a cancel key says which node it is of. Other nodes are `[[peers]]` of the file",
			max: Nodes - 1, number: func(c *Config) *int { return &c.Cluster.Node }},
		{table: "cluster", name: "peer_listen", when: Restart, about: "where other nodes reach this one. Their links are encrypted, and prove that they know `cluster_secret`. A CancelRequest in clear is taken there, too, and judged here alone; nothing else is",
			absent: "nowhere", allowed: "HOST:PORT; without a host all of this machine's", refused: refusePeerListen, text: func(c *Config) *string { return &c.Cluster.Listen }},
		{table: "cluster", name: "cluster_secret", about: "what all nodes have in common, and nobody else: cancel keys are made under it, and links of nodes prove it. Clients keep the keys that they have when it is changed, see `cluster_secret_previous`",
			absent: "from `cluster_secret_file`, or the variable CANCELLO_CLUSTER_SECRET; else random, for one node", secret: true, allowed: allowedSecret, refused: badSecret, text: func(c *Config) *string { return &c.Cluster.Secret }},
		{table: "cluster", name: "cluster_secret_file", about: "a file that holds `cluster_secret`, read again at each reload", allowed: allowedPath, text: func(c *Config) *string { return &c.Cluster.SecretFile }},
		{table: "cluster", name: "cluster_secret_previous", about: "what it was before: keys and links under it are still good",
			absent: "after a reload that changed it, what it was", secret: true, allowed: allowedSecret, refused: badSecret, text: func(c *Config) *string { return &c.Cluster.Previous }},
		{table: "cluster", name: "cluster_secret_previous_file", about: "a file that holds `cluster_secret_previous`", allowed: allowedPath, text: func(c *Config) *string { return &c.Cluster.PreviousFile }},
	}
}

const allowedSecret = "a text of 16 bytes or more, as random as `openssl rand -hex 32` is"

// ofPeer is the table of what [[peers]] may say.
func ofPeer() []setting[Peer] {
	return []setting[Peer]{
		{name: "node", about: "its `node`", max: Nodes - 1,
			given: func(p *Peer) *bool { return &p.Node.Given }, number: func(p *Peer) *int { return &p.Node.Value }},
		{name: "address", about: "where its `peer_listen` is reached from here", allowed: "HOST:PORT", refused: badPeerAddress, text: func(p *Peer) *string { return &p.Address }},
		{name: "sslmode", about: "how it is spoken to: by a link, encrypted, or not at all; by a link, and where there is none by a CancelRequest in clear; by the latter alone, of which no more is known than that it was taken",
			words: peerModes(), word: func(p *Peer) choice { return &p.Mode }},
	}
}

func badSecret(value string) (why string) {
	if n := len(value); n > 0 && n < MinSecret {
		return fmt.Sprintf("it has %d bytes: give %s", n, allowedSecret)
	}
	return ""
}

func refusePeerListen(value string) (why string) {
	if value == "" {
		return ""
	}
	if _, _, err := splitAddr(value); err != nil {
		return err.Error()
	}
	return ""
}

func badPeerAddress(value string) (why string) {
	host, port, err := splitAddr(value)
	switch {
	case value == "":
		return "give where it is reached, as HOST:PORT"
	case err != nil:
		return err.Error()
	case host == "":
		return "the host is missing: give HOST:PORT"
	case port == "0":
		return "the port must be a number from 1 to 65535"
	}
	return ""
}

// checkCluster looks at nodes together. Whether there is a secret only who knows the environment can tell.
func checkCluster(c *Config) (faults []*Fault) {
	n := &c.Cluster
	for _, s := range []struct{ text, file, name string }{
		{n.Secret, n.SecretFile, "cluster_secret"}, {n.Previous, n.PreviousFile, "cluster_secret_previous"},
	} {
		if s.text != "" && s.file != "" {
			faults = append(faults, fault([]string{"cluster", s.name}, "%s and %s_file are both given: leave one out", s.name, s.name))
		}
	}
	if n.Listen != "" && !strings.HasSuffix(n.Listen, ":0") && slices.ContainsFunc(c.Listeners(), func(l Listener) bool { return l.Said == n.Listen }) {
		faults = append(faults, fault([]string{"cluster", "peer_listen"}, "peer_listen = %q is in listen, too: clients and nodes need each their own", n.Listen))
	}
	for i, p := range c.Peers {
		at, name := []string{peersTable, fmt.Sprint(i + 1)}, fmt.Sprintf("peer number %d", i+1)
		if p.Node.Given {
			name = peerName(p)
		}
		same := func(what func(Peer) bool) bool { return slices.ContainsFunc(c.Peers[:i], what) }
		switch {
		case !p.Node.Given:
			faults = append(faults, fault(at, "%s: node is missing: give its number", name))
		case p.Node.Value == n.Node:
			faults = append(faults, fault(append(at[:2:2], "node"), "%s is this node itself (node = %d): leave it out here, or correct one of the numbers", name, n.Node))
		case same(func(q Peer) bool { return q.Node == p.Node }):
			faults = append(faults, fault(append(at[:2:2], "node"), "%s is given twice: each node has one address", name))
		case same(func(q Peer) bool { return q.Address == p.Address }):
			faults = append(faults, fault(append(at[:2:2], "address"), "%s: another peer has the address %q: each node has one of its own", name, p.Address))
		}
		faults = append(faults, check(at, name+": ", ofPeer(), &p)...)
	}
	return faults
}

func peerName(p Peer) string { return fmt.Sprintf("peer %d", p.Node.Value) }

// peerChanges is what differs of the other nodes.
func peerChanges(old, updated []Peer) (list []Change) {
	of := func(list []Peer, p Peer) (Peer, bool) {
		i := slices.IndexFunc(list, func(q Peer) bool { return q.Node == p.Node })
		if i < 0 {
			return Peer{}, false
		}
		return list[i], true
	}
	for _, p := range updated {
		before, there := of(old, p)
		if !there {
			list = append(list, Change{peerName(p), Live, "", p.String()})
			continue
		}
		list = append(list, differences(peerName(p)+" ", ofPeer(), &before, &p)...)
	}
	for _, p := range old {
		if _, there := of(updated, p); !there {
			list = append(list, Change{peerName(p), Live, p.String(), ""})
		}
	}
	return list
}
