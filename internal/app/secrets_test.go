package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cancello/internal/config"
	"cancello/internal/event"
	"cancello/internal/pgtest/fake"
)

const (
	oneSecret   = "hunter2 hunter2 hunter2 one"
	twoSecret   = "hunter2 hunter2 hunter2 two"
	threeSecret = "hunter2 hunter2 hunter2 three"
)

func TestReadSecrets(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, short, empty := file("one", oneSecret+"\r\n"), file("short", "hunter2\n"), file("empty", "\n")
	peers := []config.Peer{{Node: config.Give(2), Address: "a:1"}}
	for _, c := range []struct {
		name              string
		cluster           config.Cluster
		peers             []config.Peer
		env               string
		current, previous string
		err               string
	}{
		{name: "none"},
		{name: "none, but peers", peers: peers, err: "no secret that they have in common"},
		{name: "none, but a listener", cluster: config.Cluster{Listen: ":1"}, err: "no secret that they have in common"},
		{name: "in the configuration", cluster: config.Cluster{Secret: oneSecret}, env: twoSecret, peers: peers, current: oneSecret},
		{name: "in a file", cluster: config.Cluster{SecretFile: one, Previous: twoSecret}, peers: peers, current: oneSecret, previous: twoSecret},
		{name: "in the environment", env: twoSecret, cluster: config.Cluster{PreviousFile: one}, peers: peers, current: twoSecret, previous: oneSecret},
		{name: "short in a file", cluster: config.Cluster{SecretFile: short}, err: "a secret of 7 bytes can be guessed"},
		{name: "short in the environment", env: "hunter2", err: "CANCELLO_CLUSTER_SECRET: a secret of 7 bytes"},
		{name: "an empty file", cluster: config.Cluster{SecretFile: empty}, err: "is empty"},
		{name: "no file", cluster: config.Cluster{PreviousFile: dir + "/none"}, err: "cannot read cluster_secret_previous_file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := readSecrets(&config.Config{Cluster: c.cluster, Peers: c.peers}, func(string) string { return c.env })
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("%v, want %q", err, c.err)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the secret is in %v", err)
			}
			if err == nil && (string(s.current) != c.current || string(s.previous) != c.previous) {
				t.Errorf("%q and %q, want %q and %q", s.current, s.previous, c.current, c.previous)
			}
		})
	}
}

// A secret that is changed stays good as the one before, until another is: also over reloads that change nothing.
func TestSecretsFollowEachOther(t *testing.T) {
	of := func(current, previous string) secrets {
		s := secrets{current: []byte(current)}
		if previous != "" {
			s.previous = []byte(previous)
		}
		return s
	}
	for _, c := range []struct {
		name            string
		was, next, want secrets
		changed         bool
	}{
		{"nothing changed", of("a", ""), of("a", ""), of("a", ""), false},
		{"another one", of("a", ""), of("b", ""), of("b", "a"), true},
		{"nothing changed since", of("b", "a"), of("b", ""), of("b", "a"), false},
		{"a third one", of("b", "a"), of("c", ""), of("c", "b"), true},
		{"the one before is said", of("a", ""), of("b", "x"), of("b", "x"), true},
		{"the one before alone is said", of("a", ""), of("a", "x"), of("a", "x"), false},
		{"the one that was said before is made the current one", of("a", "b"), of("b", ""), of("b", "a"), true},
		{"and left where it was", of("a", "b"), of("b", "b"), of("b", "a"), true},
		{"and left there again", of("b", "a"), of("b", "b"), of("b", "a"), false},
		{"one is both from the beginning", of("b", ""), of("b", "b"), of("b", ""), false},
	} {
		got, changed := c.next.after(c.was)
		if changed != c.changed || string(got.current) != string(c.want.current) || string(got.previous) != string(c.want.previous) || (got.previous == nil) != (c.want.previous == nil) {
			t.Errorf("%s: %q, %t", c.name, got, changed)
		}
	}
}

// Clients keep their keys when the secret is changed once by a reload, and new ones get theirs under the new one.
func TestReloadSecret(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	out := &outcomes{make(chan event.Outcome, 10)}
	r := startReloading(t, s, func(c *config.Config) { c.Cluster = config.Cluster{Node: 5, Secret: oneSecret} }, out.watch)
	addr := r.Addrs()[0].String()
	login := func() fake.Greeting {
		return fake.Dial(t, addr).Login(fake.V32, "user", "ann", "database", "db")
	}
	cancel := func(g fake.Greeting, want event.Outcome) {
		t.Helper()
		fake.SendCancel(t, addr, g.PID, g.Key)
		out.want(t, want)
	}
	reload := func(secret, previous string) {
		t.Helper()
		r.next.Cluster.Secret, r.next.Cluster.Previous = secret, previous
		if err := r.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	first := login()
	if node := first.PID >> 20 & 1023; node != 5 {
		t.Errorf("the pid %#x is of node %d", first.PID, node)
	}
	cancel(first, event.Idle)
	reload(twoSecret, "")
	second := login()
	cancel(first, event.Idle)
	cancel(second, event.Idle)
	reload(twoSecret, "")
	cancel(first, event.Idle)
	reload(twoSecret, threeSecret) // which says that the first one is known to others, perhaps
	cancel(first, event.Forged)
	cancel(second, event.Idle)
	if text := r.log.String(); strings.Contains(text, "hunter2") || !strings.Contains(text, "the cluster's secret is another one") {
		t.Errorf("the log says\n%s", text)
	}
}
