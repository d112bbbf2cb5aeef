package config

import (
	"fmt"
	"strings"
)

// splitListen takes apart what listen says of one place: its address, and behind a question mark, as in a URL, what
// holds for those who connect there.
func splitListen(value string) (addr string, options []string) {
	addr, behind, more := strings.Cut(value, "?")
	if more {
		options = strings.Split(behind, "&")
	}
	return addr, options
}

// listenerKeys is client_keys of one place to listen on, which is all that can be said of one.
func listenerKeys(options []string) (keys Override[KeyPolicy], err error) {
	const name = "client_keys"
	for _, option := range options {
		key, value, said := strings.Cut(option, "=")
		switch near, is := nearest(key, []string{name}); {
		case key == name && !said:
			return keys, fmt.Errorf("%s has no value: write it as ?%s=3.2", name, name)
		case key == name && keys.Given:
			return keys, fmt.Errorf("%s is given twice: leave one out", name)
		case key == name:
			if keys, err = parseListenerKeys(value); err != nil {
				return keys, err
			}
		case is:
			return keys, fmt.Errorf("unknown setting %s of an address: did you mean %s?", quoted(key), near)
		default:
			return keys, fmt.Errorf("unknown setting %s of an address: there is %s", quoted(key), name)
		}
	}
	return keys, nil
}

// parseListenerKeys reads a policy. A server's own keys are a matter of its database: the one upstream that they may be
// for, and that nobody shares a server. Where a client connects to changes nothing of that.
func parseListenerKeys(value string) (keys Override[KeyPolicy], err error) {
	words := keyPolicies()[:KeysUpstream]
	if i := index(words, value); i >= 0 {
		return Give(KeyPolicy(i)), nil
	}
	if value == KeysUpstream.String() {
		return keys, fmt.Errorf("client_keys = \"upstream\" is for databases, not for addresses to listen on: say it in [databases.NAME]")
	}
	if near, is := nearest(value, words); is {
		return keys, fmt.Errorf("client_keys = %s is not allowed: did you mean %s?", quoted(value), near)
	}
	return keys, fmt.Errorf("client_keys = %s is not allowed: give always, 3.2 or never", quoted(value))
}
