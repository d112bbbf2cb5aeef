package app

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"cancello/internal/config"
)

// secretVariable holds the cluster's secret where the configuration has none.
const secretVariable = "CANCELLO_CLUSTER_SECRET"

// secrets are what the nodes of a cluster have in common.
type secrets struct {
	current  []byte // nil: none is given
	previous []byte // what it was before; nil: nothing
}

// readSecrets finds the cluster's secrets where the configuration says, or in the environment. Other nodes without one
// are an error.
func readSecrets(c *config.Config, getenv func(string) string) (s secrets, err error) {
	n := &c.Cluster
	if s.current, err = readSecret("cluster_secret", n.Secret, n.SecretFile); err != nil {
		return s, err
	}
	if s.current == nil && getenv != nil {
		if s.current, err = goodSecret([]byte(getenv(secretVariable))); err != nil {
			return s, fmt.Errorf("the variable %s: %w", secretVariable, err)
		}
	}
	if s.previous, err = readSecret("cluster_secret_previous", n.Previous, n.PreviousFile); err != nil {
		return s, err
	}
	if s.current == nil && (len(c.Peers) > 0 || n.Listen != "") {
		return s, fmt.Errorf("there are other nodes, and no secret that they have in common: give all of them the same cluster_secret or cluster_secret_file, or the variable %s", secretVariable)
	}
	return s, nil
}

// readSecret is the text, or what is in the file, without the end of its line; nil where there is neither.
func readSecret(name, text, file string) ([]byte, error) {
	if file == "" {
		return goodSecret([]byte(text))
	}
	b, err := os.ReadFile(file)
	if err != nil {
		var perr *fs.PathError
		if errors.As(err, &perr) {
			err = perr.Err
		}
		return nil, fmt.Errorf("cannot read %s_file %s: %w", name, file, err)
	}
	b = bytes.TrimRight(b, "\r\n")
	if len(b) == 0 {
		return nil, fmt.Errorf("%s_file %s is empty: put the secret into it", name, file)
	}
	if b, err = goodSecret(b); err != nil {
		err = fmt.Errorf("%s_file %s: %w", name, file, err)
	}
	return b, err
}

// goodSecret refuses one that could be guessed; an empty one is none.
func goodSecret(b []byte) ([]byte, error) {
	switch {
	case len(b) == 0:
		return nil, nil
	case len(b) < config.MinSecret:
		return nil, fmt.Errorf("a secret of %d bytes can be guessed: give %d or more, as random as `openssl rand -hex 32` is", len(b), config.MinSecret)
	}
	return b, nil
}

// after is what holds when what was in force is followed by s: who changes the secret alone has the former one be the one
// before, and it stays that until another is given. The current one is no other: who made the one that all nodes had learnt
// as the one before the current one, and left it there, has not said what was before.
func (s secrets) after(was secrets) (next secrets, changed bool) {
	changed = subtle.ConstantTimeCompare(s.current, was.current) != 1
	if subtle.ConstantTimeCompare(s.previous, s.current) == 1 {
		s.previous = nil
	}
	switch {
	case s.previous != nil:
	case changed:
		s.previous = was.current
	default:
		s.previous = was.previous
	}
	return s, changed
}

// list has the current one first.
func (s secrets) list() [][]byte {
	if s.previous == nil {
		return [][]byte{s.current}
	}
	return [][]byte{s.current, s.previous}
}

// orOwn is s, with a random secret of this process where none is given.
func (s secrets) orOwn(own []byte) secrets {
	if s.current == nil {
		s.current = own
	}
	return s
}
