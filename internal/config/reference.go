package config

import (
	"fmt"
	"strings"
)

// Reference is docs/configuration.md: what a file may say, made of the same tables that read it.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	defaults := Default()
	table := general()
	for i, at := 0, "none yet"; i < len(table); {
		at = table[i].table
		n := i
		for n < len(table) && table[n].table == at {
			n++
		}
		if at == "" {
			b.WriteString("\n## At the top\n\n")
		} else {
			fmt.Fprintf(&b, "\n## [%s]\n\n", at)
		}
		rows(&b, table[i:n], &defaults)
		i = n
	}
	b.WriteString(referenceDatabases)
	d := NewDatabase("")
	rows(&b, ofDatabase(), &d)
	b.WriteString(referenceUsers)
	rows(&b, ofUser(), &User{})
	b.WriteString(referencePeers)
	rows(&b, ofPeer(), &Peer{})
	b.WriteString(referenceReload)
	return b.String()
}

// rows writes a table of settings.
func rows[T any](b *strings.Builder, table []setting[T], defaults *T) {
	b.WriteString("| setting | meaning | allowed | default | a change is |\n|---|---|---|---|---|\n")
	for _, s := range table {
		standard := "`" + s.value(defaults) + "`"
		switch {
		case s.value(defaults) != "":
		case strings.HasPrefix(s.absent, "the") || strings.ContainsAny(s.absent, " `"):
			standard = s.absent
		case s.absent != "":
			standard = "`" + s.absent + "`"
		default:
			standard = "none"
		}
		name := "`" + s.name + "`"
		if s.flag != "" {
			name += " (`" + s.flag + "`)"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", name, s.about, s.short(), standard, s.when)
	}
}

// short is bounds for a column that says what times are elsewhere.
func (s *setting[T]) short() string {
	switch {
	case s.kind() == aNumber && s.several:
		return fmt.Sprintf("%d to %d, or a list of them", s.min, s.max)
	case s.kind() == aNumber:
		return fmt.Sprintf("%d to %d", s.min, s.max)
	case s.kind() == aTime && s.zero != "":
		return "a time; 0: " + s.zero
	case s.kind() == aTime:
		return "a time"
	case s.kind() == aWord:
		return "`" + strings.Join(s.words, "`, `") + "`"
	}
	return s.bounds()
}

const referenceHead = `# Configuration

<!-- Made of the tables in internal/config; "go test ./internal/config -run TestReference -rewrite" writes it anew. -->

` + "`cancello serve FILE.toml`" + ` reads a file in [TOML](https://toml.io). The words are PgBouncer's where it has them, in tables by
what they are about. A file may be as small as this:

` + "```toml" + `
listen = ["127.0.0.1:6432"]

[pool]
pool_mode = "transaction"

[databases.shop]
host = "db.example.com"
` + "```" + `

- **What holds.** Flags go before the file, and that before the defaults: first the defaults, then the file, then each
  ` + "`--set`" + ` in turn, then the flags of their own, such as ` + "`--pool-size`" + `. ` + "`--listen`" + ` replaces the file's list;
  ` + "`--upstream`" + ` replaces the file's entry of the same name, or adds one.
- **Strictness.** An unknown name, a value of the wrong kind or unit, or one out of bounds is an error with file, line and
  column, and with the nearest right name; all of them are told at once, and nothing is started or changed.
  ` + "`cancello serve FILE.toml --check`" + ` only looks, says what it would do, and ends with 0, or with 1 where something is wrong.
- **Times** are numbers of seconds, as in PgBouncer, or texts with a unit: ` + "`ms`, `s`, `m` or `min`, `h`" + `, such as
  ` + "`\"1500ms\"`" + `. They go from 1 ms to 8760 h; where 0 is allowed, what it means is said.
- **Secrets.** The file may hold passwords: let nobody else read it. They are never logged.
`

const referenceDatabases = `
## [databases.NAME]

What clients may ask for. ` + "`[databases.\"*\"]`" + ` is for any name that has no table of its own. The table may be empty.

`

const referenceUsers = `
## [users.NAME]

What holds for clients that log in as NAME, in place of what their database and the general settings say. A user needs
no table to get in: that is for ` + "`auth_file`" + ` to say.

`

const referencePeers = `
## [[peers]]

The other nodes, a table for each: a cancel that one node receives and another's client means is passed on to that one
([operations.md](operations.md)). What changes holds at once.

` + "```toml" + `
[cluster]
node = 1
peer_listen = "10.0.0.1:7432"
cluster_secret_file = "cluster.secret"

[[peers]]
node = 2
address = "10.0.0.2:7432"
` + "```" + `

`

const referenceReload = `
## Reload

SIGHUP reads the file and ` + "`auth_file`" + ` again; the flags stay as they were given. Everything is read and judged first: when
anything is wrong the log says what, with line numbers, and nothing has changed. Otherwise it says each change:

- **live**: it holds at once. A pool that became smaller closes servers as they come back; one that became larger opens
  more for those who wait. How clients log in concerns their next login.
- **next lease**: a client keeps the server that it holds for as long as it would have. Where host, port, dbname or user
  of a database changed, new connections go to the new place, and old ones are closed when they come back. A password is
  for new connections. A database that is gone takes no new clients; those that it has stay, and its servers are closed
  with the last of them.
- **restart**: the old value stays in force, and the log says so.
`
