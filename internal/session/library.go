package session

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"cancello/internal/unit"
	"cancello/internal/wire"
)

// Statement is a text with its parameter types as it is read under certain settings (trap D1): what clients that prepare
// the same under the same settings share on a server. It never changes.
type Statement struct {
	body    string // what stands behind the name in a Parse; empty where that is too long to be kept
	reading string // the settings it is read under
	name    string // what servers know it by
	key     string // in the Library; empty: it is one client's own
	large   bool   // above maxKept: it works in the lease in which it was parsed (trap D3)

	commits, begins bool // it may end, open a transaction block
	stirs           bool // it may change settings that nobody reports
	sweeps          bool // it may drop prepared statements

	refs int // names of clients and editions on servers
}

// Library holds the statements that the clients of one pool share, and the order in which statements were parsed.
type Library struct {
	prefix string
	known  map[string]*Statement
	scrap  []byte
	blind  bool
	serial uint64
	clock  uint64
	works  []*work // that rest, for those to come
}

// NewLibrary makes an empty one. Every name that its servers know begins with prefix, which nobody must be able to guess:
// protocol and SQL have one namespace (trap D4).
func NewLibrary(prefix string) *Library {
	return &Library{prefix: prefix, known: map[string]*Statement{}}
}

// Len is the number of different statements that are shared.
func (l *Library) Len() int { return len(l.known) }

// Blind makes a Library that takes all texts for the same: a deliberate bug, for the simulation.
func (l *Library) Blind(blind bool) { l.blind = blind }

// tick is a moment: later ones are greater, and none is given twice.
func (l *Library) tick() uint64 { l.clock++; return l.clock }

func (l *Library) newName() string {
	l.serial++
	return l.prefix + "_" + strconv.FormatUint(l.serial, 10)
}

// find is the statement of a Parse whose body behind the name is all there.
func (l *Library) find(body []byte, reading string) *Statement {
	sql, _, _ := wire.CString(body)
	if dated(sql) {
		return l.make(string(body), reading, "")
	}
	l.scrap = binary.AppendUvarint(l.scrap[:0], uint64(len(reading)))
	l.scrap = append(l.scrap, reading...)
	if !l.blind {
		l.scrap = append(l.scrap, body...)
	}
	if st := l.known[string(l.scrap)]; st != nil {
		return st
	}
	key := string(l.scrap)
	if cap(l.scrap) > 4096 {
		l.scrap = nil
	}
	text := string(body)
	if !l.blind {
		text = key[len(key)-len(body):] // one copy is enough
	}
	st := l.make(text, reading, key)
	l.known[key] = st
	return st
}

func (l *Library) make(body, reading, key string) *Statement {
	sql, _, _ := wire.CString([]byte(body))
	st := &Statement{body: body, reading: reading, key: key, name: l.newName()}
	verbs := unit.VerbsOf(sql)
	st.commits, st.begins = verbs.Has(unit.Commit), verbs.Has(unit.Begin)
	st.stirs, st.sweeps = stirs(sql), verbs.Has(unit.Sweep)
	return st
}

// oversized is a statement that is not kept. What its text does is not known, so it does everything.
func (l *Library) oversized() *Statement {
	return &Statement{name: l.newName(), large: true, commits: true, begins: true, stirs: true, sweeps: true}
}

// under is the same text under other settings.
func (l *Library) under(st *Statement, reading string) *Statement {
	if st.large || st.reading == reading {
		return st
	}
	return l.find([]byte(st.body), reading)
}

func (l *Library) keep(st *Statement) { st.refs++ }

// drop forgets a statement that nobody refers to any more.
func (l *Library) drop(st *Statement) {
	if st.refs--; st.refs == 0 && st.key != "" && l.known[st.key] == st {
		delete(l.known, st.key)
	}
}

// dated tells whether a text may hold a literal that means another moment each time it is read, and is fixed when it is
// parsed: such a statement is nobody else's (trap D1). In doubt it says yes.
func dated(sql []byte) bool {
	quote := bytes.IndexAny(sql, "'$")
	if quote < 0 {
		return false
	}
	for _, word := range [...]string{"now", "today", "tomorrow", "yesterday"} {
		for at := quote; ; {
			i := indexFold(sql[at:], word)
			if i < 0 {
				break
			}
			at += i + len(word)
			if rest := bytes.TrimLeft(sql[at:], " \t\r\n"); len(rest) > 0 && rest[0] == '(' {
				continue // now() is not fixed
			}
			return true
		}
	}
	return false
}

// stirs tells whether a text may change a setting without the tag SET.
func stirs(sql []byte) bool { return indexFold(sql, "set_config") >= 0 }

// indexFold finds a word, given in lower case, in whatever case it is written.
func indexFold(b []byte, word string) int {
	lower, upper := word[0], word[0]&^0x20
	for at := 0; len(b)-at >= len(word); at++ {
		if c := b[at]; c != lower && c != upper {
			continue
		}
		n := 1
		for n < len(word) && (b[at+n] == word[n] || b[at+n]|0x20 == word[n] && word[n] >= 'a') {
			n++
		}
		if n == len(word) {
			return at
		}
	}
	return -1
}
