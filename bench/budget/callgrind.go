package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// ours are those functions of the runtime that the code asks for. The others are its scheduler and its watch over it, which
// run as often as time passes: on a busy machine more of them, for the same work.
var ours = regexp.MustCompile(`^runtime\.(mem|malloc|newobject|growslice|makeslice|conv|slice|concat|string|map|assert|typeAssert|panic|gcWriteBarrier|wbZero|wbMove|typed|bulkBarrier|nilinter|interequal|efaceeq|ifaceeq|strequal|duff)`)

// instructions adds up what callgrind's file says that the program's own functions took, each without those it called.
func instructions(file io.Reader) (int, error) {
	names := map[string]string{} // a name stands behind its number where that comes first, and is left out from then on
	sum, inclusive, counts, seen := 0, false, false, false
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "fn="):
			counts, seen = counted(name(names, line[len("fn="):])), true
		case strings.HasPrefix(line, "cfn="):
			name(names, line[len("cfn="):])
		case strings.HasPrefix(line, "calls="):
			inclusive = true // the next line is what the call took
		case line != "" && strings.ContainsRune("0123456789+-*", rune(line[0])):
			fields := strings.Fields(line)
			if !inclusive && counts && len(fields) == 2 {
				n, err := strconv.Atoi(fields[1])
				if err != nil {
					return 0, fmt.Errorf("callgrind's line %q: %w", line, err)
				}
				sum += n
			}
			inclusive = false
		}
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	if !seen {
		return 0, errors.New("callgrind's file names no function")
	}
	return sum, nil
}

// name is that of "(12) name", or of the number alone where it is known.
func name(names map[string]string, s string) string {
	id, rest, _ := strings.Cut(s, ")")
	if rest = strings.TrimSpace(rest); rest != "" {
		names[id] = rest
	}
	return names[id]
}

// counted tells whether a function is the program's own doing.
func counted(fn string) bool {
	return ours.MatchString(fn) || !strings.HasPrefix(fn, "runtime.") && !strings.HasPrefix(fn, "runtime/") && !strings.HasPrefix(fn, "internal/runtime/atomic")
}
