package config

// KeyPolicy is who gets a cancel key, and whose (client_keys).
type KeyPolicy uint8

// The policies.
const (
	KeysAlways   KeyPolicy = iota // everybody gets one of ours: there is always something we can do
	KeysSince32                   // clients of protocol 3.2 and later: there a missing key has a meaning
	KeysNever                     // nobody: no BackendKeyData is sent
	KeysUpstream                  // the server's own, as it came; only with Passthrough
)

func keyPolicies() []string { return []string{"always", "3.2", "never", "upstream"} }

// String is the word of client_keys.
func (k KeyPolicy) String() string { return keyPolicies()[k] }

func (k *KeyPolicy) pick(i int) { *k = KeyPolicy(i) }
func (k *KeyPolicy) index() int { return int(*k) }

// Gives tells whether a client gets a key of ours, by whether it speaks protocol 3.2 or later.
func (k KeyPolicy) Gives(since32 bool) bool {
	switch k {
	case KeysSince32:
		return since32
	case KeysNever, KeysUpstream:
		return false
	}
	return true
}

// KeysFor is who gets a cancel key of those that connected where listener is said. The database's own value goes before it:
// it is said because its server or its clients depend on it, as with KeysUpstream, and they do wherever they connect. The
// general one is for where nothing is said.
func (s *Share) KeysFor(listener Override[KeyPolicy]) KeyPolicy {
	return s.OwnKeys.Or(listener.Or(s.GeneralKeys))
}

// ForeignKeys is the one database entry whose servers' own keys clients hold, if there is one: a CancelRequest with a
// key that cannot be ours is for its upstream. With several entries they have one address, so any of them will do.
func (c *Config) ForeignKeys() (d Database, ok bool) {
	for _, d := range c.Databases {
		if d.Keys.Or(c.Cancel.Keys) == KeysUpstream {
			return d, true
		}
	}
	return Database{}, false
}

// checkKeys: the servers' own keys say nothing of which server they are for, so there can be one address only, and no
// client may meet another server than its own.
func checkKeys(c *Config) (faults []*Fault) {
	var address *Upstream
	for _, d := range c.Databases {
		if d.Keys.Or(c.Cancel.Keys) != KeysUpstream {
			continue
		}
		at := []string{"cancel", "client_keys"}
		if d.Keys.Given {
			at = []string{"databases", d.Name, "client_keys"}
		}
		if d.Mode.Or(c.Pool.Mode) != Passthrough {
			faults = append(faults, fault(at, "%s: client_keys = \"upstream\" needs pool_mode = \"passthrough\": in a pool a server's own key would cancel whoever has the server by then", databaseName(d.Name)))
		}
		all := d.Upstreams()
		here := &all[0]
		if len(all) > 1 {
			faults = append(faults, fault(at, "%s: client_keys = \"upstream\" is for one upstream address only, and it has %d hosts: a cancel would not say which of them it means", databaseName(d.Name), len(all)))
		}
		if address != nil && *here != *address {
			faults = append(faults, fault(at, "%s: client_keys = \"upstream\" is for one upstream address only, and another database has it for %s, port %d: a cancel would not say which of them it means", databaseName(d.Name), address.Host, address.Port))
		}
		address = here
	}
	for _, u := range c.Users {
		if u.Mode.Given && u.Mode.Value != Passthrough && address != nil {
			faults = append(faults, fault([]string{"users", u.Name, "pool_mode"}, "%s: with client_keys = \"upstream\" every client is passed through: leave pool_mode out", userName(u.Name)))
		}
	}
	return faults
}
