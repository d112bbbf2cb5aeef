package test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

// Two clients with settings of their own on one server: each sees his own in every transaction, and is told of no
// other.
func TestSettingsFollow(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := pgtest.Start(t, major)
			g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 1})
			first := map[string]string{"application_name": "first's own", "TimeZone": "Europe/Rome", "DateStyle": "German, DMY", "IntervalStyle": "iso_8601",
				"client_encoding": "LATIN1", "standard_conforming_strings": "off"}
			second := map[string]string{"application_name": `second\'s "own"`, "TimeZone": "Asia/Tokyo", "DateStyle": "SQL, MDY", "IntervalStyle": "sql_standard",
				"client_encoding": "UTF8", "standard_conforming_strings": "on"}
			if major >= 18 { // reported since 18
				first["search_path"], second["search_path"] = `pg_catalog, "first's"`, "public"
			}
			one, two := wears(t, g, first), wears(t, g, second)
			plain := login(t, g.Addr(), "postgres", "postgres", "application_name", "plain")
			if a, b := one.value("SELECT pg_backend_pid()"), two.value("SELECT pg_backend_pid()"); a != b {
				t.Fatalf("two servers, %s and %s", a, b)
			}
			for range 3 {
				shows(t, one, first)
				shows(t, two, second)
				if got := plain.value("SHOW TimeZone"); got == first["TimeZone"] || got == second["TimeZone"] {
					t.Errorf("the one who asked for nothing has %s", got)
				}
			}
			// A change of one's own holds, and is one's own.
			if code, _ := one.fails("SET TimeZone TO 'Nowhere/Land'"); code != "22023" {
				t.Error(code)
			}
			one.value("BEGIN")
			one.value("SET TimeZone TO 'America/New_York'")
			one.value("ROLLBACK")
			shows(t, two, second)
			shows(t, one, first)
			one.value("SET TimeZone TO 'America/New_York'")
			first["TimeZone"] = "America/New_York"
			shows(t, two, second)
			shows(t, one, first)
			one.value("BEGIN")
			one.value("SET LOCAL TimeZone TO 'Asia/Kolkata'")
			one.value("COMMIT")
			shows(t, two, second)
			shows(t, one, first)
			// Nor does a client that asks for nothing inherit what somebody left.
			if got := login(t, g.Addr(), "postgres", "postgres").value("SHOW application_name"); got != "" {
				t.Errorf("a new client is %q", got)
			}
		})
	}
}

// wears is a client that asks for settings at its start, but for what only SET can give.
func wears(t *testing.T, g *gate, settings map[string]string) *raw {
	t.Helper()
	var params []string
	for name, value := range settings {
		params = append(params, name, value)
	}
	return login(t, g.Addr(), "postgres", "postgres", params...)
}

// shows looks that a client has its settings, and is not told that it has others.
func shows(t *testing.T, c *raw, settings map[string]string) {
	t.Helper()
	for name, want := range settings {
		for _, m := range c.query("SHOW " + name) {
			switch m.Type {
			case 'D':
				if got := string(m.Body[6:]); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			case 'S':
				if told := m.Strings(); settings[told[0]] != "" && settings[told[0]] != told[1] {
					t.Errorf("told that %s is %q", told[0], told[1])
				}
			case 'E':
				t.Errorf("%s: %s", name, errorText(m))
			}
		}
	}
}

// What a client leaves in its server in session mode is gone for the next one.
func TestSessionReset(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := pgtest.Start(t, major)
			g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "session", size: 1})
			for _, politely := range []bool{true, false} {
				a := login(t, g.Addr(), "postgres", "postgres")
				pid := a.value("SELECT pg_backend_pid()")
				for _, sql := range []string{"PREPARE se_p AS SELECT 1", "LISTEN se_channel", "CREATE TEMP TABLE se_temp (n int)", "SET work_mem TO '2MB'",
					"SET application_name TO 'a'", "SELECT pg_advisory_lock(4712)", "DECLARE se_c CURSOR WITH HOLD FOR SELECT 1", "SET app.se TO 'x'",
					"SET idle_session_timeout TO '50ms'; SET ROLE pg_monitor"} {
					a.value(sql)
				}
				a.send(fake.Msg('P', "se_named", "SELECT 2", uint16(0)), fake.Msg('S'))
				a.until("Z")
				if politely {
					a.send(fake.Msg('X'))
					a.ended()
				} else {
					a.reset()
				}
				b := login(t, g.Addr(), "postgres", "postgres")
				if got := b.value("SELECT pg_backend_pid()"); got != pid {
					t.Errorf("another server: it was not reused")
				}
				left := b.value(`SELECT concat_ws(' ', (SELECT string_agg(name, ' ') FROM pg_prepared_statements), (SELECT string_agg(c, ' ') FROM pg_listening_channels() c),
					to_regclass('pg_temp.se_temp'), (SELECT string_agg(name, ' ') FROM pg_cursors WHERE name LIKE 'se%'), nullif(current_setting('app.se', true), ''),
					(SELECT string_agg(mode, ' ') FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
					nullif(current_setting('application_name'), ''), nullif(current_setting('idle_session_timeout'), '0'), nullif(current_user, 'postgres'),
					(SELECT 'work_mem' FROM pg_settings WHERE name = 'work_mem' AND source = 'session'))`)
				if left != "" {
					t.Errorf("left behind: %s", left)
				}
				b.send(fake.Msg('X'))
				b.ended()
			}
		})
	}
}

// In transaction mode PREPARE and LISTEN end with the transaction: the next one neither finds the statement nor gets
// the notification. A client's own idle_session_timeout doesn't end a server in the pool.
func TestTransactionReset(t *testing.T) {
	for _, major := range majors {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			c := pgtest.Start(t, major)
			su := login(t, direct(c).Addr(), "postgres", "postgres")
			g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 1})
			a, b := login(t, g.Addr(), "postgres", "postgres"), login(t, g.Addr(), "postgres", "postgres")
			pid := a.value("SELECT pg_backend_pid()")
			for _, leave := range []string{"PREPARE se_p AS SELECT 1", "BEGIN; PREPARE se_p AS SELECT 1; COMMIT", "BEGIN; PREPARE se_p AS SELECT 1; ROLLBACK"} {
				a.value(leave)
				if code, text := b.fails("EXECUTE se_p"); code != "26000" {
					t.Errorf("after %s: %s %s", leave, code, text)
				}
			}
			a.send(batchOf("LISTEN se_channel"), fake.Msg('S'))
			a.until("Z")
			if n := b.value("SELECT count(*) FROM pg_listening_channels()"); n != "0" {
				t.Errorf("%s channels are listened to", n)
			}
			su.value("NOTIFY se_channel, 'for nobody'")
			for _, cl := range []*raw{a, b} {
				if said := cl.query("SELECT 1"); strings.Contains(fake.Types(said), "A") {
					t.Errorf("a notification for nobody came: %s", summary(said))
				}
			}
			// Within the transaction both work.
			said := a.query("BEGIN; LISTEN se_channel; PREPARE se_p AS SELECT 'mine'; EXECUTE se_p; NOTIFY se_channel; COMMIT")
			if !strings.Contains(fake.Types(said), "A") {
				t.Errorf("no notification to oneself: %s", summary(said))
			}
			a.value("SET idle_session_timeout TO '50ms'")
			su.value("SELECT pg_sleep(0.3)") // six times as long: whatever is to end has
			if got := b.value("SELECT pg_backend_pid()"); got != pid {
				t.Errorf("server %s, want %s: it was not kept", got, pid)
			}
		})
	}
}

// A notification of one's own bears the pid that one was given; somebody else's bears his server's.
func TestNotificationPID(t *testing.T) {
	each(t, func(t *testing.T, major int, mode string) {
		c := pgtest.Start(t, major)
		g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: mode, size: 2})
		cl := dialRaw(t, g.Addr())
		cl.send(fake.Startup(fake.V30, "user", "postgres", "database", "postgres"))
		cl.listen()
		var mine uint32
		for _, m := range cl.until("Z") {
			if m.Type == 'K' {
				mine = binary.BigEndian.Uint32(m.Body)
			}
		}
		channel := "se_pid_" + mode
		heard := func(sql string) []uint32 {
			var pids []uint32
			for _, m := range cl.query(sql) {
				if m.Type == 'A' {
					pids = append(pids, binary.BigEndian.Uint32(m.Body))
				}
			}
			return pids
		}
		if pids := heard("BEGIN; LISTEN " + channel + "; NOTIFY " + channel + "; COMMIT"); len(pids) != 1 || pids[0] != mine || mine == 0 {
			t.Errorf("from oneself: %d, want %d", pids, mine)
		}
		if mode == "transaction" {
			return
		}
		su := login(t, direct(c).Addr(), "postgres", "postgres")
		su.value("NOTIFY " + channel)
		if m := cl.until("A"); binary.BigEndian.Uint32(m[0].Body) == mine || fmt.Sprint(binary.BigEndian.Uint32(m[0].Body)) != su.value("SELECT pg_backend_pid()") {
			t.Errorf("from another: %d", binary.BigEndian.Uint32(m[0].Body))
		}
	})
}
