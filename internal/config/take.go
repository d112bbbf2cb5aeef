package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// entryTables are the tables of which there is one for each name, and the one of which there is a list.
const (
	databasesTable = "databases"
	usersTable     = "users"
	peersTable     = "peers"
)

// take puts one leaf of the file into the configuration.
func (f *File) take(l leaf) error {
	if l.kind == unstable.ArrayTable && l.path[0] != peersTable {
		return fmt.Errorf("[[%s]]: only peers are a list of tables: give each its name, as [databases.NAME]", strings.Join(l.path, "."))
	}
	switch l.path[0] {
	case peersTable:
		return f.takePeer(l)
	case databasesTable:
		return f.takeEntry(l, "[databases.shop], or [databases.\"*\"] for any other", func(name string) error {
			i := slices.IndexFunc(f.Config.Databases, func(d Database) bool { return d.Name == name })
			if i < 0 {
				i = len(f.Config.Databases)
				f.Config.Databases = append(f.Config.Databases, NewDatabase(name))
			}
			return assign(ofDatabase(), &f.Config.Databases[i], l, 2)
		})
	case usersTable:
		return f.takeEntry(l, "[users.ann]", func(name string) error {
			i := slices.IndexFunc(f.Config.Users, func(u User) bool { return u.Name == name })
			if i < 0 {
				i = len(f.Config.Users)
				f.Config.Users = append(f.Config.Users, User{Name: name})
			}
			return assign(ofUser(), &f.Config.Users[i], l, 2)
		})
	}
	return f.takeGeneral(l)
}

// takePeer takes what is said of the peer whose number in the list, from 1, is the second part of the path.
func (f *File) takePeer(l leaf) error {
	switch n := len(f.Config.Peers); {
	case l.kind == unstable.ArrayTable && len(l.path) == 2:
		f.Config.Peers = append(f.Config.Peers, Peer{})
		return nil
	case len(l.path) < 3 || n == 0 || l.path[1] != strconv.Itoa(n):
		return errors.New("peers is a list: write [[peers]] for each, with node and address below it")
	default:
		return assign(ofPeer(), &f.Config.Peers[n-1], l, 2)
	}
}

// takeEntry sees to the name of a database or user.
func (f *File) takeEntry(l leaf, form string, assign func(name string) error) error {
	switch {
	case len(l.path) == 1 && l.kind == unstable.Table:
		return nil
	case len(l.path) == 1:
		return fmt.Errorf("%s is a table: write %s", l.path[0], form)
	case len(l.path) == 2 && l.kind != unstable.Table:
		return fmt.Errorf("%s.%s is a table: write %s", l.path[0], quoted(l.path[1]), form)
	case l.path[1] == "":
		return fmt.Errorf("%s: a name is missing: write %s", l.path[0], form)
	}
	return assign(l.path[1])
}

// assign gives an entry the value of a leaf whose key is at path[depth]; a head of a table has none.
func assign[T any](table []setting[T], c *T, l leaf, depth int) error {
	if len(l.path) == depth {
		return nil
	}
	names := make([]string, len(table))
	for i := range table {
		names[i] = table[i].name
		if names[i] == l.path[depth] {
			return put(&table[i], c, l, depth)
		}
	}
	for _, s := range general() {
		switch {
		case s.name == l.path[depth] && s.table == "":
			return fmt.Errorf("%s belongs at the top of the file, before the first [table]", s.name)
		case s.name == l.path[depth]:
			return fmt.Errorf("%s can't be given here: it belongs in [%s]", s.name, s.table)
		}
	}
	return unknown("setting", l.path[depth], names)
}

// put gives a setting a value that is written as its kind has it.
func put[T any](s *setting[T], c *T, l leaf, depth int) error {
	if len(l.path) > depth+1 || l.kind == unstable.Table {
		return fmt.Errorf("%s is no table: give %s", s.name, s.kind().form())
	}
	text, ok := l.written(s.kind())
	if !ok && s.several {
		text, ok = l.list(s.kind())
	}
	if !ok {
		return fmt.Errorf("%s has a value of the wrong kind: give %s", s.name, s.kind().form())
	}
	return s.set(c, text)
}

// takeGeneral finds a setting that there is once: at the top of the file, or in its table.
func (f *File) takeGeneral(l leaf) error {
	table := general()
	var names, tables []string
	for i := range table {
		s := &table[i]
		path := strings.Split(s.path(), ".")
		if l.path[0] == path[0] && (len(path) == 1 || len(l.path) > 1 && l.path[1] == path[1]) {
			return put(s, &f.Config, l, len(path)-1)
		}
		if len(path) == 2 && !slices.Contains(tables, path[0]) {
			tables = append(tables, path[0])
		}
		names = append(names, s.name)
	}
	here := slices.Contains(tables, l.path[0])
	switch {
	case here && len(l.path) == 1 && l.kind == unstable.Table:
		return nil
	case here && len(l.path) == 1:
		return fmt.Errorf("%s is a table: write [%s]", l.path[0], l.path[0])
	}
	name := l.path[len(l.path)-1]
	if l.kind == unstable.Table && here {
		return fmt.Errorf("there is no table in [%s]: give settings, as NAME = VALUE", l.path[0])
	}
	if l.kind == unstable.Table {
		return unknown("table", l.path[0], append(tables, databasesTable, usersTable, peersTable))
	}
	if i := slices.Index(names, name); i >= 0 && len(l.path) <= 2 {
		if table[i].table == "" {
			return fmt.Errorf("%s belongs at the top of the file, before the first [table]", name)
		}
		return fmt.Errorf("%s belongs in [%s]", name, table[i].table)
	}
	return unknown("setting", name, names)
}

// unknown words a name that isn't there, with the nearest right one.
func unknown(what, name string, names []string) error {
	for _, other := range pgbouncerNames() {
		if other[0] == name && slices.Contains(names, other[1]) {
			return fmt.Errorf("unknown %s %s: did you mean %s?", what, quoted(name), other[1])
		}
	}
	return fmt.Errorf("unknown %s %s: %s", what, quoted(name), suggestion(name, names))
}

// quoted bounds a name that somebody made up.
func quoted(name string) string {
	if len(name) > 64 {
		name = name[:64] + "..."
	}
	return strconv.Quote(name)
}
