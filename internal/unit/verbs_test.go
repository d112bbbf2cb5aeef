package unit

import "testing"

func TestBegins(t *testing.T) {
	for sql, want := range map[string]bool{
		"begin":                              true,
		"BEGIN":                              true,
		"Begin;":                             true,
		"begin isolation level serializable": true,
		"start transaction":                  true,
		"START TRANSACTION READ ONLY":        true,
		"  \t\r\n\f\vbegin":                  true,
		";;begin":                            true,
		"-- a comment\nbegin":                true,
		"-- a comment\rbegin":                true,
		"/* a /* nested */ comment */ begin": true,
		"select 1; begin; insert into t values (1)": true,
		"select ';'; begin":                         true,
		"select 1; /* ; */ begin":                   true,
		"select ';--'; begin":                       true, // the comment is none
		"select ';/*'; begin; select '*/'":          true,
		"select 1; -- '\nbegin":                     true,
		"/* ; */ select 1 /* ; */ ; begin":          true,
		"begin\x00":                                 true,
		"":                                          false,
		";":                                         false,
		"-- begin":                                  false,
		"/* begin":                                  false,
		"/* begin */":                               false,
		"select 1":                                  false,
		"select 'begin'":                            false,
		"insert into begin values (1)":              false,
		"beginning":                                 false,
		"restart":                                   false,
		"commit":                                    false,
		"select 1; select 2":                        false,
		"prepare p as select 1":                     false,
		"\xff\xfe":                                  false,
		"select '; begin'":                          false,
		"begin_work":                                false,
		"select ';--'; select start from t":         false,
		"select '\\'; begin; select '":              true, // in doubt: yes
		"select '\\'; begin'":                       true,
		"select E'\\'; begin; '":                    false,
		"select e'\\'' ; begin":                     true,
		"select name'\\'; begin":                    true,
		"select 'it''s; begin'":                     false,
		"select 'it''s'; begin":                     true,
		"select \"; begin\"":                        false,
		"select $1; begin":                          true,
		"select a$b; begin; $b":                     true,
		"do $x$ ; begin; $$ ; begin; $x$":           false,
		"do $x$ ; $x$; begin":                       true,
		"select 1; begin_work":                      false,
		"select 1; /* '; */ begin":                  true,
		"create function f() as $$ begin; end $$":   false,
		"create function f() as $$ select 1; begin $": false,
	} {
		if got := VerbsOf([]byte(sql)).Has(Begin); got != want {
			t.Errorf("%q begins a transaction: %v, want %v", sql, got, want)
		}
	}
}

func TestCommits(t *testing.T) {
	for sql, want := range map[string]bool{
		"commit":                           true,
		"END":                              true,
		"Commit and chain":                 true,
		"commit prepared 'x'":              true,
		"prepare transaction 'x'":          true,
		"prepare p as select 1":            true, // in doubt: yes
		"insert into t values (1);commit":  true,
		"/* why */ end":                    true,
		"rollback":                         false,
		"begin":                            false,
		"select case when true then 1 end": false,
		"endless":                          false,
		"do $$ begin perform 1; end $$":    false,
		"insert into t values ('a; end')":  false,
		"":                                 false,
	} {
		if got := VerbsOf([]byte(sql)).Has(Commit); got != want {
			t.Errorf("%q commits: %v, want %v", sql, got, want)
		}
	}
}

// TestOpens: a text that is cut within its first word does not show it.
func TestOpens(t *testing.T) {
	for sql, want := range map[string]bool{
		"": false, "  ": false, "comm": false, "/* comment": false, "-- comment": false, "/* a */ comm": false,
		"commit ": true, "commit;": true, "commit\x00": true, "/* a */ select 1": true, "1": true,
	} {
		if got := Opens([]byte(sql)); got != want {
			t.Errorf("%q: %v, want %v", sql, got, want)
		}
	}
}

func TestSweeps(t *testing.T) {
	for sql, want := range map[string]bool{
		"discard all": true, "DISCARD PLANS": true, "deallocate p": true, "select 1; Deallocate all": true, "/* x */ discard all": true,
		"select 'discard all'": false, "select discard": false, "": false, "discarded": false,
	} {
		if got := VerbsOf([]byte(sql)).Has(Sweep); got != want {
			t.Errorf("Sweeps(%q) is %v", sql, got)
		}
	}
}

func TestDeallocates(t *testing.T) {
	for sql, want := range map[string]string{
		"deallocate p": "p", "DEALLOCATE P\x00": "p", "Deallocate Prepare _pg3_0;": "_pg3_0", `deallocate "P ""q"""`: `P "q"`,
		" /* a */ deallocate -- b\n p /* c */ ; \n": "p", `deallocate "all"`: "all", "deallocate prepare prepare": "prepare",
		"deallocate all": "", "deallocate ALL;": "", "deallocate prepare all": "", "deallocate": "", "deallocate p q": "", "deallocate p; select 1": "",
		"deallocate; p": "", "deallocate (p": "", `deallocate "p`: "", "select 1; deallocate p": "", "deallocate 'p'": "", "": "", "prepare p as select 1": "",
	} {
		if got, ok := Deallocates([]byte(sql)); got != want || ok != (want != "") {
			t.Errorf("Deallocates(%q) is %q, %v, want %q", sql, got, ok, want)
		}
	}
}

func TestResets(t *testing.T) {
	for sql, want := range map[string]bool{
		"reset all": true, "RESET work_mem": true, "discard all": true, "select 1; Reset x": true,
		"select 'reset'": false, "set work_mem to default": false, "resetting": false, "": false,
	} {
		if got := VerbsOf([]byte(sql)).Has(Reset); got != want {
			t.Errorf("Resets(%q) is %v", sql, got)
		}
	}
}
