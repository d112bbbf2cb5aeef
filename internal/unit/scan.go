package unit

import "cancello/internal/wire"

// Kind is what sort of unit it is.
type Kind uint8

// The kinds of unit.
const (
	NoUnit Kind = iota
	QueryUnit
	FunctionUnit
	BatchUnit
)

// String is the word for logs.
func (k Kind) String() string { return [...]string{"", "query", "function call", "batch"}[k] }

// Unit is one unit found in bytes that have not been sent.
type Unit struct {
	Kind Kind
	// Len is how many of the scanned bytes belong to it.
	Len int
	// Missing is how many bytes of its last message have not been received: the body of a Query cut short.
	Missing int
	// Whole says that its last message is in: the Query, the FunctionCall, the Sync.
	Whole bool
	// Begins says that it would open a transaction block.
	Begins bool
	// Terminate says that there is no unit: what follows is Terminate.
	Terminate bool
}

// Scan reads the first unit of b, which starts at a message. begins tells of a statement from before, by its name, whether it
// opens a transaction block, for a Bind without a Parse; nil: none does. Messages that belong to no unit (COPY data that comes too late, Flush) go with the unit
// behind them. Kind is NoUnit where there is none, or not five bytes of it; a message with a bad header ends the scan.
func Scan(b []byte, begins func(name []byte) bool) Unit {
	var u Unit
	before := begins // of the unnamed statement none, once the unit has one of its own
	for len(b)-u.Len >= wire.HeaderLen {
		typ, body, err := wire.FrontendHeader(b[u.Len:])
		if err != nil {
			return u
		}
		frame := b[u.Len:]
		have := min(len(frame)-wire.HeaderLen, body)
		text := frame[wire.HeaderLen : wire.HeaderLen+have]
		if typ == wire.MsgTerminate {
			u.Terminate = u.Kind == NoUnit
			return u
		}
		u.Len += wire.HeaderLen + have
		u.Missing = body - have
		if typ == wire.MsgParse && len(text) > 0 && text[0] == 0 {
			before = nil
		}
		if typ == wire.MsgBind && !u.Begins {
			u.Begins = bindsBegin(text, before, begins)
		}
		if u.take(typ, text) {
			u.Whole = u.Missing == 0
			return u
		}
		if u.Missing > 0 {
			return u
		}
	}
	return u
}

// take adds a message to the unit and tells whether it is its last.
func (u *Unit) take(typ byte, text []byte) bool {
	switch typ {
	case wire.MsgQuery:
		u.Begins = u.Begins || VerbsOf(text).Has(Begin)
		if u.Kind == NoUnit {
			u.Kind = QueryUnit
		}
		return true
	case wire.MsgFunctionCall:
		if u.Kind == NoUnit {
			u.Kind = FunctionUnit
		}
		return true
	case wire.MsgSync:
		u.Kind = BatchUnit
		return true
	case wire.MsgParse:
		u.Kind = BatchUnit
		if _, sql, ok := wire.CString(text); ok {
			u.Begins = u.Begins || VerbsOf(sql).Has(Begin)
		}
	case wire.MsgBind, wire.MsgDescribe, wire.MsgExecute, wire.MsgClose:
		u.Kind = BatchUnit
	}
	return false
}

// bindsBegin tells whether a Bind is of a statement that opens a transaction block: of the unnamed one, or of one with a name.
func bindsBegin(bind []byte, unnamed, named func(name []byte) bool) bool {
	_, rest, _ := wire.CString(bind) // the portal
	name, _, ok := wire.CString(rest)
	switch {
	case !ok:
		return false // it is cut: nothing stands behind it
	case len(name) == 0:
		return unnamed != nil && unnamed(name)
	}
	return named != nil && named(name)
}
