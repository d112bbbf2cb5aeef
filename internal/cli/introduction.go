package cli

import (
	"cmp"
	"fmt"
	"strings"

	"cancello/internal/config"
)

// introduction says what is listened on (addrs, in the order of listen), who is spoken to, and who has settings of their
// own. doing is "listening", or what would be done.
func introduction(doing string, addrs []string, c config.Config) []string {
	var lines []string
	for i, l := range c.Listeners() {
		keys := ""
		if l.Keys.Given {
			keys = ", client_keys " + l.Keys.Value.String()
		}
		lines = append(lines, fmt.Sprintf("%s on %s (auth %s, pool_mode %s, %d servers per database and user%s)",
			doing, addrs[i], c.Auth.Method, c.Pool.Mode, c.Pool.DefaultSize, keys))
	}
	for _, d := range c.Databases {
		name := fmt.Sprintf("database %q", d.Name)
		if d.Name == "*" {
			name = "any database"
			if len(c.Databases) > 1 {
				name = "any other database"
			}
		}
		as := "each client's own user"
		if d.User != "" {
			as = fmt.Sprintf("user %q", d.User)
		}
		lines = append(lines, fmt.Sprintf("%s is on %s, as %s%s", name, places(d), as, inBrackets(d.Own())))
	}
	for _, u := range c.Users {
		if own := u.Own(); len(own) > 0 {
			lines = append(lines, fmt.Sprintf("user %q has values of their own%s", u.Name, inBrackets(own)))
		}
	}
	return lines
}

// places says where a database is.
func places(d config.Database) string {
	var list []string
	for _, u := range d.Upstreams() {
		list = append(list, fmt.Sprintf("%s, port %d", u.Host, u.Port))
	}
	return strings.Join(list, "; ")
}

func inBrackets(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return " (" + strings.Join(list, ", ") + ")"
}

// preview is what --check says of a configuration without faults.
func preview(c config.Config, users int) []string {
	var addrs []string
	for _, l := range c.Listeners() {
		addrs = append(addrs, l.Said)
	}
	lines := introduction("would listen", addrs, c)
	if c.Auth.File != "" {
		lines = append(lines, fmt.Sprintf("users in %s: %d", c.Auth.File, users))
	}
	standard := config.Default()
	standard.Listen, standard.Databases, standard.Users, standard.Auth.File = c.Listen, c.Databases, c.Users, c.Auth.File
	for _, change := range config.Diff(&standard, &c) {
		lines = append(lines, fmt.Sprintf("%s = %s (default %s)", change.Name, change.New, cmp.Or(change.Old, "none")))
	}
	return lines
}
