package unit

import "testing"

func TestEndsOpen(t *testing.T) {
	for sql, want := range map[string]bool{
		"":         false,
		"select 1": false,
		"BEGIN":    true,
		"begin;":   true,
		" /* a */ Begin isolation level serializable\x00": true,
		"start transaction":                                   true,
		"select 'begin'; select $$; begin$$":                  false,
		"begin; insert into t values (1)":                     true,
		"begin; insert into t values (1); commit":             false,
		"begin; commit; begin":                                true,
		"begin; end work":                                     false,
		"begin; abort":                                        false,
		"begin; rollback":                                     false,
		"begin; savepoint a; rollback to a":                   true,
		"begin; savepoint a; rollback to savepoint a; commit": false,
		"begin; commit and chain":                             true,
		"begin; commit and no chain":                          false,
		"begin; rollback transaction and chain;":              true,
		"begin; prepare transaction 'x'":                      false,
		"begin; prepare p as select 1":                        true,
		"begin; prepare":                                      true,
		"commit and chain":                                    false,
		`select '\'; begin`:                                   false, // what a backslash means is not known
		"create function f() returns int begin atomic select 1; select 2; end": false,
		"insert into t values ('a');begin -- and so on":                        true,
	} {
		if got := EndsOpen([]byte(sql)); got != want {
			t.Errorf("%q leaves a block open: %v, want %v", sql, got, want)
		}
	}
}
