package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxDuration bounds every time: a year. Longer ones are slips of the unit.
const maxDuration = 365 * 24 * time.Hour

// setting is one line of the table: a name and the one kind of value it has.
type setting struct {
	name  string
	about string // for people, in a few words
	when  When

	number   func(*Config) *int
	min, max int

	duration func(*Config) *time.Duration
	zero     string // what 0 means; empty: 0 is not allowed

	words []string // allowed words, the default first; more may come
	word  func(*Config) *Mode
}

// settings is what --set reaches, in the order in which it is documented and checked.
func settings() []setting {
	return []setting{
		{name: "pool_mode", about: "when a server goes to another client", when: NextLease, words: []string{"session", "transaction"}, word: func(c *Config) *Mode { return &c.Pool.Mode }},
		{name: "default_pool_size", about: "servers per database and user", min: 1, max: 100_000, number: func(c *Config) *int { return &c.Pool.DefaultSize }},
		{name: "max_client_conn", about: "clients in all; one more is told 53300", min: 1, max: 1_000_000, number: func(c *Config) *int { return &c.Pool.MaxClientConn }},
		{name: "query_wait_timeout", about: "how long a query waits for a server before it is answered 53300", zero: "no limit", duration: func(c *Config) *time.Duration { return &c.Timeouts.QueryWait }},
		{name: "server_connect_timeout", about: "bound of a dial with its login, and of a reset between two clients", duration: func(c *Config) *time.Duration { return &c.Timeouts.ServerConnect }},
		{name: "server_idle_timeout", about: "an unused server is closed after that", zero: "never", duration: func(c *Config) *time.Duration { return &c.Timeouts.ServerIdle }},
		{name: "client_login_timeout", about: "bound of a client's way from connect to ReadyForQuery", duration: func(c *Config) *time.Duration { return &c.Timeouts.ClientLogin }},
		{name: "server_ghost_time", about: "how long a server that was closed while it ran still counts", zero: "not at all", duration: func(c *Config) *time.Duration { return &c.Timeouts.ServerGhost }},
		{name: "cancel_timeout", about: "bound of a cancel's delivery, and of the wait for its effect", duration: func(c *Config) *time.Duration { return &c.Cancel.Timeout }},
		{name: "cancel_resend", about: "a cancel that PostgreSQL may have swallowed goes out again after that", zero: "never again", duration: func(c *Config) *time.Duration { return &c.Cancel.Resend }},
		{name: "max_cancels_per_upstream", about: "cancels on the wire to one PostgreSQL; the others wait in line", min: 1, max: 10_000, number: func(c *Config) *int { return &c.Cancel.PerUpstream }},
		{name: "client_keys", about: "who gets a cancel key", words: []string{"always"}},
		{name: "on_client_loss", about: "what becomes of the query of a client that vanished", words: []string{"cancel"}},
	}
}

// Description is what people are told of one setting.
type Description struct {
	Name, About string
	Allowed     string // in words
	Default     string // in the form that Set takes
}

// Describe lists what Set reaches, in order.
func Describe() []Description {
	table, defaults := settings(), Default()
	list := make([]Description, len(table))
	for i, s := range table {
		list[i] = Description{Name: s.name, About: s.about, Allowed: s.bounds(), Default: s.value(&defaults)}
	}
	return list
}

// elsewhere are settings that have a flag of their own.
func elsewhere() [][2]string {
	return [][2]string{
		{"listen", "--listen"}, {"listen_addr", "--listen"}, {"listen_port", "--listen"}, {"upstream", "--upstream"},
		{"auth", "--auth"}, {"auth_type", "--auth"}, {"auth_file", "--auth-file"}, {"allow_remote_trust", "--allow-remote-trust"},
	}
}

// Set gives one setting a value, as in --set KEY=VALUE. A time is a number of seconds, as in PgBouncer, or a number
// with one of the units ms, s, m, min, h. The error says what is allowed, and for an unknown key the nearest right
// one; then c is as it was.
func Set(c *Config, key, value string) error {
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	table := settings()
	names := make([]string, 0, len(table))
	for _, s := range table {
		if s.name == key {
			return s.set(c, value)
		}
		names = append(names, s.name)
	}
	for _, e := range elsewhere() {
		if e[0] == key {
			return fmt.Errorf("%s can't be given by --set: use %s", key, e[1])
		}
	}
	if near, ok := nearest(key, names); ok {
		return fmt.Errorf("unknown setting %q: did you mean %s?", key, near)
	}
	return fmt.Errorf("unknown setting %q: there are %s", key, strings.Join(names, ", "))
}

// set changes c only if the value is allowed.
func (s setting) set(c *Config, value string) error {
	switch {
	case s.number != nil:
		n, err := strconv.Atoi(value)
		if err != nil || n < s.min || n > s.max {
			return s.refuse(value)
		}
		*s.number(c) = n
	case s.duration != nil:
		d, err := parseDuration(value)
		if err != nil || !s.allowed(d) {
			return s.refuse(value)
		}
		*s.duration(c) = d
	default:
		for i, w := range s.words {
			if w == value {
				if s.word != nil {
					*s.word(c) = Mode(i)
				}
				return nil
			}
		}
		return s.refuse(value)
	}
	return nil
}

// check is Validate's part: c may have been filled by hand.
func (s setting) check(c *Config) error {
	switch {
	case s.number != nil:
		if n := *s.number(c); n < s.min || n > s.max {
			return s.refuse(strconv.Itoa(n))
		}
	case s.duration != nil:
		if d := *s.duration(c); !s.allowed(d) {
			return s.refuse(durationText(d))
		}
	case s.word != nil:
		if w := *s.word(c); int(w) >= len(s.words) {
			return s.refuse(strconv.Itoa(int(w)))
		}
	}
	return nil
}

// allowed is the bound of every time: nothing between 0 and a millisecond, which only a slip of the unit gives.
func (s setting) allowed(d time.Duration) bool {
	return d == 0 && s.zero != "" || d >= time.Millisecond && d <= maxDuration
}

// refuse is the error for a value that isn't allowed.
func (s setting) refuse(value string) error {
	return fmt.Errorf("%s = %q is not allowed: give %s", s.name, value, s.bounds())
}

// bounds says what is allowed.
func (s setting) bounds() string {
	switch {
	case s.number != nil:
		return fmt.Sprintf("a whole number from %d to %d", s.min, s.max)
	case s.duration != nil:
		text := "a time from 1ms to 8760h (a number is seconds; units are ms, s, m or min, h)"
		if s.zero != "" {
			text += ", or 0 for " + s.zero
		}
		return text
	case len(s.words) == 1:
		return s.words[0] + ", which is all there is so far"
	}
	return strings.Join(s.words, " or ")
}

// value is the setting's value for people.
func (s setting) value(c *Config) string {
	switch {
	case s.number != nil:
		return strconv.Itoa(*s.number(c))
	case s.duration != nil:
		return durationText(*s.duration(c))
	case s.word != nil:
		return s.word(c).String()
	}
	return s.words[0]
}
