package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Peers come, move and go at once; the number of this node and where it is reached do not change; of a secret no more is
// said than that it is another one.
func TestDiffOfClusters(t *testing.T) {
	old, updated := good(), good()
	old.Cluster = Cluster{Node: 1, Listen: ":7432", Secret: "hunter2 hunter2 hunter2"}
	updated.Cluster = Cluster{Node: 2, Listen: ":7433", Secret: "hunter2 hunter2 another", Previous: "hunter2 hunter2 hunter2"}
	old.Peers = []Peer{{Node: Give(3), Address: "a:1"}, {Node: Give(4), Address: "b:1"}}
	updated.Peers = []Peer{{Node: Give(4), Address: "b:2", Mode: PeerDisable}, {Node: Give(0), Address: "c:1"}}
	want := []Change{
		{"node", Restart, "1", "2"},
		{"peer_listen", Restart, ":7432", ":7433"},
		{"cluster_secret", Live, "***", "*** (changed)"},
		{"cluster_secret_previous", Live, "", "***"},
		{"peer 4 address", Live, "b:1", "b:2"},
		{"peer 4 sslmode", Live, "require", "disable"},
		{"peer 0", Live, "", "node=0 address=c:1 sslmode=require"},
		{"peer 3", Live, "node=3 address=a:1 sslmode=require", ""},
	}
	if diff := cmp.Diff(want, Diff(old, updated)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if kept := Keep(*old, *updated); kept.Cluster.Node != 1 || kept.Cluster.Listen != ":7432" || kept.Cluster.Secret != updated.Cluster.Secret || len(kept.Peers) != 2 {
		t.Errorf("kept more or less than what needs a restart: %v %v", kept.Cluster, kept.Peers)
	}
}

// A secret on a command line or in a console's command would be seen by others.
func TestSecretsAreForTheFile(t *testing.T) {
	const secret = "hunter2 hunter2 hunter2"
	for name, set := range map[string]func(*Config, string, string) error{"--set": Set, "SET": Alter} {
		for _, key := range []string{"cluster_secret", "cluster_secret_previous"} {
			c := good()
			err := set(c, key, secret)
			if err == nil || !strings.Contains(err.Error(), "in the file") || strings.Contains(err.Error(), "hunter2") || !cmp.Equal(c, good()) {
				t.Errorf("%s %s: %v", name, key, err)
			}
		}
	}
}

func TestValidateCluster(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*Config)
		want  string
	}{
		{"all is well", func(*Config) {}, ""},
		{"node 0 of several", func(c *Config) { c.Cluster.Node = 0 }, ""},
		{"no number", func(c *Config) { c.Peers[0].Node.Given = false }, "peer number 1: node is missing"},
		{"ourselves", func(c *Config) { c.Cluster.Node = 2 }, "peer 2 is this node itself (node = 2)"},
		{"twice", func(c *Config) { c.Peers[1].Node = Give(2) }, "peer 2 is given twice"},
		{"one address", func(c *Config) { c.Peers[1].Address = "a:1" }, `peer 3: another peer has the address "a:1"`},
		{"no address", func(c *Config) { c.Peers[1].Address = "" }, `peer 3: address = "" is not allowed: give where it is reached`},
		{"no host", func(c *Config) { c.Peers[1].Address = ":1" }, "the host is missing"},
		{"no port", func(c *Config) { c.Peers[1].Address = "a" }, "the port is missing"},
		{"port 0", func(c *Config) { c.Peers[1].Address = "a:0" }, "from 1 to 65535"},
		{"too high", func(c *Config) { c.Peers[1].Node = Give(1024) }, "from 0 to 1023"},
		{"node too high", func(c *Config) { c.Cluster.Node = 1024 }, `node = "1024" is not allowed`},
		{"mode", func(c *Config) { c.Peers[1].Mode = 9 }, `sslmode = "9" is not allowed: give require, prefer or disable`},
		{"short secret", func(c *Config) { c.Cluster.Secret = "hunter2 hunter2" }, `cluster_secret = *** is not allowed: it has 15 bytes`},
		{"short former secret", func(c *Config) { c.Cluster.Previous = "hunter2" }, `cluster_secret_previous = *** is not allowed`},
		{"two places", func(c *Config) { c.Cluster.SecretFile = "f" }, "cluster_secret and cluster_secret_file are both given"},
		{"clients' address", func(c *Config) { c.Cluster.Listen = c.Listen[0] }, "is in listen, too"},
		{"bad address", func(c *Config) { c.Cluster.Listen = "*:1" }, "leave the host out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := good()
			cfg.Cluster = Cluster{Node: 1, Listen: ":7432", Secret: "hunter2 hunter2 hunter2"}
			cfg.Peers = []Peer{{Node: Give(2), Address: "a:1"}, {Node: Give(3), Address: "a:2", Mode: PeerPrefer}}
			c.spoil(cfg)
			err := Validate(cfg)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n")):
				t.Errorf("%v, want one line with %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the secret is in %v", err)
			}
		})
	}
}
