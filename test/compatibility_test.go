package test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cancello/internal/postgres"
)

var updateCompatibility = flag.Bool("update", false, "write docs/compatibility.md from what TestDrivers sees")

const (
	compatibilityPath = "../docs/compatibility.md"
	// versionsHeading begins what is true on one day only, and not compared.
	versionsHeading = "## Versions"
)

// columns are the cases of the table, in its order.
var columns = []string{
	"connect", "query", "parameters", "prepared", "many", "transaction", "error", "pipeline", "copy", "cursor", "big",
	"cancel", "cancel in a transaction", "cancel prepared", "cancel idle", "timeout",
}

// columnOf is the column that a case goes with: some drivers have two means for one thing.
func columnOf(name string) string {
	switch name {
	case "cancel encrypted", "cancel by context":
		return "cancel"
	case "types":
		return "query"
	}
	return name
}

// compatibility is what the drivers' runs came to.
type compatibility struct {
	mu   sync.Mutex
	rows map[string]*row // by the driver's name
}

// row is a driver that was used on every ground.
type row struct {
	who     answer
	refused map[string]bool   // by column: whether statement mode refuses it; without a key the driver doesn't have it
	cuts    map[string]string // by pool mode: what became of the connection where the server's was closed
}

// What a driver may say of the case cut: how its statement ended, and the next query, or that one on a new connection. A
// code is what users go by where the connection goes on; with a connection that is closed many drivers keep only words.
var (
	goneOn = regexp.MustCompile(`^(08007|cancelled) 1$`)
	closed = regexp.MustCompile(`(?s)^(08007|cancelled|.*outcome is unknown.*|.*closed the connection.*|CONNECTION_CLOSED|context canceled)( again)? 1$`)
)

// cut takes what a driver says of that case. In session mode the server was the client's session: there is no other way
// than to connect anew, and some drivers do so by themselves.
func (r *row) cut(t testing.TB, g ground, result string) {
	t.Helper()
	word := "goes on"
	switch again := strings.HasSuffix(result, " again 1"); {
	case !closed.MatchString(result), g.mode != "session" && !again && !goneOn.MatchString(result):
		t.Errorf("%s: cut: %q", g, result)
		return
	case again:
		word = "anew"
	case g.mode == "session":
		word = "anew, by itself"
	}
	if was, ok := r.cuts[g.mode]; ok && was != word {
		t.Errorf("%s: cut: %q is %q, elsewhere it was %q", g, result, word, was)
	}
	r.cuts[g.mode] = word
}

// add takes a driver that said everywhere what it had to say.
func (c *compatibility) add(d driver, r *row) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows[d.name] = r
}

// line is a driver's line of the table.
func (r *row) line(d driver) string {
	cells := []string{d.name}
	for _, name := range columns {
		switch refused, ok := r.refused[name]; {
		case !ok:
			cells = append(cells, "–")
		case refused:
			cells = append(cells, "✓ ¹")
		default:
			cells = append(cells, "✓")
		}
	}
	return "| " + strings.Join(append(cells, d.cancels), " | ") + " |"
}

// page is docs/compatibility.md.
func (c *compatibility) page(installs []postgres.Install) string {
	var b strings.Builder
	b.WriteString(`# Drivers and servers

<!-- Made by TestDrivers in test/. Update it with: make drivers-report -->

Each driver does what its users do, with its defaults: on PostgreSQL itself, and through Cancello with ` + "`pool_mode`" + `
session, transaction and statement, in clear with trust and over TLS with SCRAM-SHA-256 on both sides, before PostgreSQL 15 and 18
(over TLS before 15, and with ` + "`pool_mode = \"passthrough\"`" + `, only what cancels).
Behind Cancello the pool has two servers, and other clients are at them without rest: they take each server that is let go of,
prepare statements of their own under the very names that drivers use, change settings and leave failed transactions. A driver
passes when each case gives what it gives on PostgreSQL itself.

✓ the same in all of these · ✓ ¹ the same, but that statement mode refuses it with 0A000, because it needs a transaction
block · – the driver doesn't have it

`)
	heads := append(append([]string{"driver"}, columns...), "how it cancels")
	b.WriteString("| " + strings.Join(heads, " | ") + " |\n|" + "---|" + strings.Repeat(":-:|", len(columns)) + "---|\n")
	for _, d := range drivers {
		if r := c.rows[d.name]; r != nil {
			b.WriteString(r.line(d) + "\n")
		}
	}
	b.WriteString(`
- **prepared**: one statement twelve times, past the point where a driver begins to prepare by name. **many**: thirty of them, more
  than a server keeps (` + "`max_prepared_statements = 20`" + `). **pipeline**: a batch that goes out at once, and one that fails in
  its middle and leaves no row. **cursor**: rows in pieces, and a result that is left early. **cancel**: a statement that runs, by the
  driver's own means, twice, each time with the next query unharmed. **cancel idle**: when nothing runs, nothing happens.
- ` + "`test/drivers`" + ` has the programs, and its README the contract that one more has to keep.

What drivers say otherwise than the others, on PostgreSQL too:

`)
	for _, d := range drivers {
		if d.remark != "" {
			fmt.Fprintf(&b, "- **%s**: %s\n", d.name, d.remark)
		}
	}
	b.WriteString(c.cutTable())
	b.WriteString("\n" + serversTable())
	fmt.Fprintf(&b, "\n%s\n\nLooked at on %s, before PostgreSQL %s.\n\n| driver | version |\n|---|---|\n", versionsHeading, time.Now().Format(time.DateOnly), versionsOf(installs))
	for _, d := range drivers {
		if r := c.rows[d.name]; r != nil {
			fmt.Fprintf(&b, "| %s | %s |\n", d.name, r.who.Version)
		}
	}
	return b.String()
}

// cutTable is what drivers do where servers have no key.
func (c *compatibility) cutTable() string {
	var b strings.Builder
	b.WriteString(`
## Drivers and servers without a usable key

The cancels of the table above, before PostgreSQL 15 behind something that takes its keys away and PostgreSQL 18 behind something that
makes zeros of them, in clear, in every mode that pools servers; ` + "`CANCELLO_DRIVERS=all make drivers-report`" + ` crosses all
of that with each other and with TLS. With ` + "`cancel_fallback = \"sql\"`" + ` nothing differs: ✓ the same as on PostgreSQL
itself. With ` + "`disconnect`" + `, the default, the statement ends with 08007, and the columns say what becomes of the next query on the
client's connection: it **goes on**, or needs one that is opened **anew**. In session mode, and within a transaction, Cancello
closes the client's connection too, since what it had begun is lost.

`)
	b.WriteString("| driver | `sql` | `disconnect`, " + strings.Join(poolModes, " | `disconnect`, ") + " |\n|---|:-:|" + strings.Repeat("---|", len(poolModes)) + "\n")
	for _, d := range drivers {
		r := c.rows[d.name]
		if r == nil || d.cancels == notTried {
			continue
		}
		cells := []string{d.name, "✓"}
		for _, mode := range poolModes {
			cells = append(cells, r.cuts[mode])
		}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return b.String()
}

func versionsOf(installs []postgres.Install) string {
	var all []string
	for _, in := range installs {
		if !slices.Contains(all, in.Version) {
			all = append(all, in.Version)
		}
	}
	return strings.Join(all, " and ")
}

// check holds docs/compatibility.md against what was seen, or writes it. Drivers that are missing here are not looked at.
func (c *compatibility) check(t *testing.T, grounds []ground) {
	t.Helper()
	var installs []postgres.Install
	for _, g := range grounds {
		installs = append(installs, g.cluster.Install())
	}
	page := c.page(installs)
	if *updateCompatibility {
		if len(c.rows) != len(drivers) || t.Failed() {
			t.Errorf("docs/compatibility.md is not written: %d of %d drivers did all", len(c.rows), len(drivers))
			return
		}
		if err := os.WriteFile(compatibilityPath, []byte(page), 0o644); err != nil {
			t.Error(err)
		}
		return
	}
	written, err := os.ReadFile(compatibilityPath)
	if err != nil {
		t.Error(err)
		return
	}
	was, _, _ := strings.Cut(string(written), versionsHeading)
	is, _, _ := strings.Cut(page, versionsHeading)
	lines := strings.Split(was, "\n")
	for line := range strings.SplitSeq(is, "\n") {
		if !slices.Contains(lines, line) {
			t.Errorf("docs/compatibility.md does not have this line (make drivers-report writes it anew):\n%s", line)
		}
	}
	if len(c.rows) == len(drivers) && was != is {
		t.Error("docs/compatibility.md has something else besides: make drivers-report writes it anew")
	}
}
