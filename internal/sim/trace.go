package sim

import (
	"fmt"
	"hash/fnv"
	"io"
	"time"
)

// tracer writes one line for each thing that happens, and sums the lines up so that two runs can be compared.
type tracer struct {
	to  io.Writer
	sum uint64
}

func (t *tracer) line(s string) {
	h := fnv.New64a()
	var last [8]byte
	for i := range last {
		last[i] = byte(t.sum >> (8 * i))
	}
	h.Write(last[:])
	io.WriteString(h, s)
	t.sum = h.Sum64()
	if t.to != nil {
		io.WriteString(t.to, s)
	}
}

// tracef writes a line if somebody reads it. Hot callers ask w.trace themselves first, which spares the arguments.
func (w *World) tracef(format string, args ...any) {
	if w.trace == nil {
		return
	}
	who := ""
	if w.proc != nil {
		who = w.proc.name() + ": "
	}
	w.trace.line(stamp(w.now) + who + fmt.Sprintf(format, args...) + "\n")
}

func stamp(now time.Duration) string { return fmt.Sprintf("%10.3fms ", float64(now-time.Hour)/1e6) }

func sprintf(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// brief is the start of a message for the trace, printable.
func brief(b []byte) string {
	const most = 60
	tail := ""
	if len(b) > most {
		b, tail = b[:most], "..."
	}
	return fmt.Sprintf("%q%s", b, tail)
}
