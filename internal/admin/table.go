package admin

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/jackc/pgx/v5/pgproto3"
)

// kind is the type of a column.
type kind uint8

const (
	text kind = iota
	integer
	float
)

// oid and size are the kind's in PostgreSQL's pg_type.
func (k kind) oid() (oid uint32, size int16) {
	switch k {
	case integer:
		return 20, 8 // int8
	case float:
		return 701, 8 // float8
	}
	return 25, -1 // text
}

// column is one column of a table.
type column struct {
	name string
	kind kind
}

// columns makes a list; a name that begins with # is an integer's, one with ~ a float's.
func columns(names ...string) []column {
	list := make([]column, len(names))
	for i, n := range names {
		switch n[0] {
		case '#':
			list[i] = column{n[1:], integer}
		case '~':
			list[i] = column{n[1:], float}
		default:
			list[i] = column{n, text}
		}
	}
	return list
}

// table is what a SHOW answers. Values are string, int64 or float64, as their column says, or nil.
type table struct {
	columns []column
	rows    [][]any
}

func (t *table) add(values ...any) { t.rows = append(t.rows, values) }

// description is the RowDescription with the formats that a Bind asked for: 0 text, 1 binary; nil is text.
func description(list []column, formats []int16) *pgproto3.RowDescription {
	d := &pgproto3.RowDescription{}
	for i, c := range list {
		oid, size := c.kind.oid()
		d.Fields = append(d.Fields, pgproto3.FieldDescription{
			Name: []byte(c.name), DataTypeOID: oid, DataTypeSize: size, TypeModifier: -1, Format: format(formats, i),
		})
	}
	return d
}

// format is the i-th column's: one given is for all.
func format(formats []int16, i int) int16 {
	switch {
	case len(formats) == 1:
		return formats[0]
	case i < len(formats):
		return formats[i]
	}
	return 0
}

// row is one row in the formats asked for.
func (t *table) row(n int, formats []int16) *pgproto3.DataRow {
	d := &pgproto3.DataRow{}
	for i, v := range t.rows[n] {
		d.Values = append(d.Values, value(v, format(formats, i) == 1))
	}
	return d
}

func value(v any, inBinary bool) []byte {
	switch v := v.(type) {
	case string:
		return []byte(v)
	case int64:
		if inBinary {
			return binary.BigEndian.AppendUint64(nil, uint64(v))
		}
		return strconv.AppendInt(nil, v, 10)
	case float64:
		if inBinary {
			return binary.BigEndian.AppendUint64(nil, math.Float64bits(v))
		}
		return strconv.AppendFloat(nil, v, 'f', -1, 64)
	}
	return nil
}
