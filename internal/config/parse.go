package config

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxFile bounds a configuration file, in bytes: what is larger is something else.
const maxFile = 8 << 20

// File is what a configuration file says.
type File struct {
	// Config is Default with what the file says. It has not been validated: flags may still add to it.
	Config Config
	name   string
	at     map[string]place // of each key and table, by its path
}

// place is where something is in a file, from 1.
type place struct{ line, column int }

// leaf is a key with a value that is no table, or the head of a table.
type leaf struct {
	path  []string
	at    place
	kind  unstable.Kind // Table: only the head
	text  string        // of the value
	items []string      // of a list
	other bool          // there is something in the list that is no text
}

// Parse reads a file. name is what errors call it. All that is wrong is told at once, a Fault and a line each, in the
// order of the file; behind an error of TOML's own grammar nothing is read. No value is repeated in an error but those
// of settings that are not secret.
func Parse(name string, b []byte) (*File, error) {
	f := &File{Config: Default(), name: name, at: map[string]place{}}
	if len(b) > maxFile {
		return nil, fault(nil, "%s has more than %d bytes: that is no configuration file", name, maxFile)
	}
	leaves, faults := flatten(b)
	var strange [][]string // tables that there should not be: what is in them has been judged with them
	for _, l := range leaves {
		if slices.ContainsFunc(strange, func(table []string) bool { return under(l.path, table) }) {
			continue
		}
		f.at[key(l.path)] = l.at
		if err := f.take(l); err != nil {
			if l.kind == unstable.Table || l.kind == unstable.ArrayTable {
				strange = append(strange, l.path)
			}
			faults = append(faults, &Fault{Path: l.path, Line: l.at.line, Column: l.at.column, Err: err})
		}
	}
	if len(faults) == 0 {
		return f, nil
	}
	for _, x := range faults {
		x.File = name
	}
	slices.SortStableFunc(faults, func(a, b *Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return nil, join(faults)
}

// Locate says of the faults of Validate where in the file they are, as far as it is the file that they are in.
func (f *File) Locate(err error) error {
	if err == nil {
		return nil
	}
	faults := faultsOf(err)
	for i, x := range faults {
		for n := len(x.Path); n > 0 && x.Line == 0; n-- {
			if at, ok := f.at[key(x.Path[:n])]; ok {
				faults[i] = &Fault{Path: x.Path, File: f.name, Line: at.line, Column: at.column, Err: x.Err}
				break
			}
		}
	}
	return join(faults)
}

// under tells whether a path is in a table or is that table.
func under(path, table []string) bool {
	return len(path) >= len(table) && slices.Equal(path[:len(table)], table)
}

// key is a path as one text; its parts may hold anything but a zero byte, which TOML's keys can't.
func key(path []string) string { return strings.Join(path, "\x00") }

// flatten reads the grammar.
func flatten(b []byte) (leaves []leaf, faults []*Fault) {
	var all map[string]any
	var wrong *toml.DecodeError
	// Decoding finds what the parser alone doesn't: keys and tables that are there twice.
	if err := toml.Unmarshal(b, &all); errors.As(err, &wrong) {
		line, column := wrong.Position()
		faults = append(faults, &Fault{Line: line, Column: column, Err: errors.New(grammar(wrong.Error()))})
	} else if err != nil {
		faults = append(faults, &Fault{Line: 1, Column: 1, Err: errors.New(grammar(err.Error()))})
	}
	var p unstable.Parser
	p.Reset(b)
	r := reader{p: &p, b: b}
	for p.NextExpression() {
		r.expression(p.Expression())
	}
	if len(faults) == 1 && p.Error() == nil {
		// Something is there twice: what is said of the second one would repeat it.
		r.leaves = slices.DeleteFunc(r.leaves, func(l leaf) bool { return l.at.line == faults[0].Line })
	}
	return r.leaves, faults
}

// grammar words an error of the TOML library: without the bytes that it met, which could be a part of a password that
// was not quoted.
func grammar(text string) string {
	text = strings.TrimPrefix(text, "toml: ")
	text, _, _ = strings.Cut(text, ": strconv")
	switch {
	case strings.Contains(text, "at start of value"):
		return "this is no value: a text is written in quotes"
	case strings.Contains(text, "U+"):
		text, _, _ = strings.Cut(text, " U+")
		text = strings.TrimSuffix(strings.TrimSuffix(text, " but got"), ":")
	}
	return "not TOML: " + text
}

// reader makes leaves of expressions.
type reader struct {
	p      *unstable.Parser
	b      []byte
	table  []string
	peers  int // how many there have been
	leaves []leaf
}

// next is the path of one more table of a list: its number follows the list's name.
func (r *reader) next(list []string) []string {
	r.peers++
	return append(slices.Clip(list), strconv.Itoa(r.peers))
}

func (r *reader) expression(e *unstable.Node) {
	switch e.Kind {
	case unstable.Table, unstable.ArrayTable:
		path, at := r.key(nil, e)
		if e.Kind == unstable.ArrayTable && slices.Equal(path, []string{peersTable}) {
			path = r.next(path)
		}
		r.table = path
		r.leaves = append(r.leaves, leaf{path: path, at: at, kind: e.Kind})
	case unstable.KeyValue:
		r.pair(r.table, e)
	}
}

// pair reads KEY = VALUE. An inline table is taken apart.
func (r *reader) pair(under []string, e *unstable.Node) {
	path, at := r.key(under, e)
	v := e.Value()
	l := leaf{path: path, at: at, kind: v.Kind, text: string(v.Data)}
	switch v.Kind {
	case unstable.InlineTable:
		l.kind = unstable.Table
		r.leaves = append(r.leaves, l)
		for it := v.Children(); it.Next(); {
			r.pair(path, it.Node())
		}
		return
	case unstable.Array:
		for it := v.Children(); it.Next(); {
			l.items = append(l.items, string(it.Node().Data))
			l.other = l.other || it.Node().Kind != unstable.String
		}
	}
	r.leaves = append(r.leaves, l)
}

func (r *reader) key(under []string, e *unstable.Node) (path []string, at place) {
	path = slices.Clone(under)
	for it := e.Key(); it.Next(); {
		n := it.Node()
		path = append(path, string(n.Data))
		if at.line == 0 {
			at = r.place(n.Raw.Offset)
		}
	}
	return path, at
}

func (r *reader) place(offset uint32) place {
	before := r.b[:min(int(offset), len(r.b))]
	return place{line: bytes.Count(before, []byte("\n")) + 1, column: len(before) - bytes.LastIndexByte(before, '\n')}
}

// written is the value as set takes it, if it is of the kind.
func (l *leaf) written(k kind) (text string, ok bool) {
	switch l.kind {
	case unstable.String:
		return l.text, k == aText || k == aWord || k == aTime
	case unstable.Integer:
		if k != aNumber && k != aTime {
			return "", false
		}
		// TOML's numbers may be in other bases, with underscores.
		n, err := strconv.ParseInt(strings.TrimPrefix(l.text, "+"), 0, 64)
		if err != nil {
			return l.text, true // which set refuses
		}
		return strconv.FormatInt(n, 10), true
	case unstable.Float:
		return strings.TrimPrefix(strings.ReplaceAll(l.text, "_", ""), "+"), k == aTime
	case unstable.Bool:
		return l.text, k == aYes
	case unstable.Array:
		return strings.Join(l.items, ","), k == aList && !l.other && len(l.items) > 0
	}
	return "", false
}

// list is the value of a setting of which there may be several: a text with commas, or a list.
func (l *leaf) list(k kind) (text string, ok bool) {
	switch {
	case l.kind == unstable.String && k == aNumber:
		return l.text, true
	case l.kind == unstable.Array && len(l.items) > 0 && (k == aNumber || !l.other):
		return strings.Join(l.items, ","), true
	}
	return "", false
}

// form says how a value of a kind is written.
func (k kind) form() string {
	return [...]string{
		aWord: "a word in quotes", aText: "a text in quotes", aNumber: "a whole number without quotes",
		aTime: "a number of seconds, or a text with a unit as \"30s\"", aList: "a list of texts, as [\"a\", \"b\"]", aYes: "true or false, without quotes",
	}[k]
}
