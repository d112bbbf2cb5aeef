package fake

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"
)

// talk answers until the client goes.
func (c *Session) talk() {
	broken := false // the rest of the batch is skipped up to Sync
	parsed := ""
	for {
		kind, body, err := readMessage(c.front)
		if err != nil || kind == 'X' {
			return
		}
		if len(c.options) > 0 && c.server.knobs.Negotiation.BreakOnOptions {
			return
		}
		ok := true
		switch kind {
		case 'Q':
			ok = c.query(strings.TrimRight(string(body), "\x00"))
			c.server.release(c, false)
		case 'P':
			parsed = strings.TrimRight(strings.SplitN(string(body), "\x00", 3)[1], "\x00")
			ok = broken || c.send(message('1', nil))
		case 'B':
			ok = broken || c.send(message('2', nil))
		case 'E':
			if !broken {
				ok, broken = c.execute(parsed)
			}
		case 'S':
			broken = false
			ok = c.ready()
			c.server.release(c, false)
		}
		if !ok {
			return
		}
	}
}

func (c *Session) ready() bool { return c.send(message('Z', []byte{c.status})) }

// execute runs one statement of a batch.
func (c *Session) execute(sql string) (ok, broken bool) {
	k := c.server.knobs.Cancel
	out, failed, alive := c.run(sql, "extended")
	if !alive {
		c.send(out)
		return false, true
	}
	if len(out) > 0 && out[0] == 'T' { // Execute says nothing of columns
		out = out[1+binary.BigEndian.Uint32(out[1:]):]
	}
	return c.send(out), failed && !k.RunBehind
}

// query answers a Query: statements with "; " between.
func (c *Session) query(sql string) bool {
	k := c.server.knobs.Cancel
	if k.BreakNext && c.wasCancelled() && sql == "SELECT 1" {
		return true
	}
	if table, ok := strings.CutSuffix(sql, " FROM STDIN"); ok && strings.HasPrefix(table, "COPY ") {
		return c.copyIn()
	}
	var all []byte
	hit := false
	for statement := range strings.SplitSeq(sql, "; ") {
		out, failed, alive := c.run(statement, "query")
		all = append(all, out...)
		if !alive {
			c.send(all)
			return false
		}
		if failed {
			hit = true
			break
		}
	}
	if k.Calm > 0 {
		<-time.After(k.Calm)
	}
	all = append(all, message('Z', []byte{c.said()})...)
	if hit && k.Confused {
		all = append(all, message('Z', []byte{c.said()})...)
	}
	return c.send(all)
}

// said is the status in ReadyForQuery.
func (c *Session) said() byte {
	if c.lying {
		c.lying = false
		return 'E'
	}
	return c.status
}

// run does one statement. failed: it ended with an error; alive: the session goes on.
func (c *Session) run(sql, kind string) (out []byte, failed, alive bool) {
	waiting := c.begin("waiting")
	held := c.hold(waiting)
	c.finish()
	if !held {
		if c.server.knobs.Pooler.DeadWaiter {
			c.dead = true
		}
		return errorMessage("ERROR", orText(c.server.knobs.Pooler.WaitCode, "57014"), "canceling statement due to user request"), true, true
	}
	if c.dead {
		hang(c.front.nc)
		return nil, true, false
	}
	if c.status == 'E' && sql != "ROLLBACK" && sql != "COMMIT" {
		return errorMessage("ERROR", "25P02", "current transaction is aborted, commands ignored until end of transaction block"), true, true
	}
	if inside, ok := strings.CutPrefix(sql, "COPY ("); ok {
		kind, sql = "copy-out", strings.TrimSuffix(inside, ") TO STDOUT")
	}
	if text, ok := strings.CutPrefix(sql, "SELECT pg_sleep("); ok {
		seconds, _ := strconv.ParseFloat(strings.TrimSuffix(text, ")"), 64)
		return c.sleep(time.Duration(seconds*float64(time.Second)), kind)
	}
	if out, ok := c.answer(sql); ok {
		return out, false, true
	}
	return c.fails(errorMessage("ERROR", "42601", "this server does not know that statement")), true, true
}

// fails puts an error into the transaction's state.
func (c *Session) fails(out []byte) []byte {
	if c.status == 'T' {
		c.status = 'E'
	}
	return out
}

// sleep runs until the time is over or a cancel comes. It does not outlive its server.
func (c *Session) sleep(d time.Duration, kind string) (out []byte, failed, alive bool) {
	w := c.begin(kind)
	defer c.finish()
	select {
	case <-w.stop:
		return c.interrupted()
	case <-c.server.over:
		return nil, true, false
	case <-time.After(d):
	}
	return row(""), false, true
}

// interrupted is how a cancelled statement ends.
func (c *Session) interrupted() (out []byte, failed, alive bool) {
	k := c.server.knobs.Cancel
	code := orText(k.Code, "57014")
	switch {
	case k.Fatal:
		return errorMessage("FATAL", code, "terminating connection"), true, false
	case k.Finish:
		return row(""), false, true
	case k.UnasBlock && c.status == 'T':
		c.lying = true
	case c.status == 'T' && !k.KeepBlock:
		c.status = 'E'
	}
	return errorMessage("ERROR", code, "canceling statement due to user request"), true, true
}

func orText(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// copyIn takes data until its end, or until a cancel and then one more piece.
func (c *Session) copyIn() bool {
	k := c.server.knobs.Cancel
	w := c.begin("copy-in") // before anybody can know of it
	defer c.finish()
	if !c.send(message('G', []byte{0, 0, 1, 0, 0})) {
		return false
	}
	for {
		kind, _, err := readMessage(c.front)
		if err != nil || kind == 'X' {
			return false
		}
		switch {
		case w.ended() && (kind == 'c' || kind == 'd' && !k.StuckCopy):
			out, _, alive := c.interrupted()
			if !c.send(out) || !alive {
				return false
			}
			return c.ready()
		case kind == 'c':
			return c.send(message('C', []byte("COPY 1\x00"))) && c.ready()
		}
	}
}

func (c *Session) wasCancelled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.last.IsZero()
}
