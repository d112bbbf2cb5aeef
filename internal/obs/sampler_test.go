package obs

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cancello/internal/event"
)

func TestSampler(t *testing.T) {
	for _, lines := range []int{1, 7, sampleBurst} {
		s := sampler{lines: lines}
		now := time.Unix(1000, 0)
		pass := func(n, want int) {
			t.Helper()
			passed := 0
			for range n {
				if s.pass(now) {
					passed++
				}
			}
			if passed != want {
				t.Errorf("%d a second: %d of %d got through, want %d", lines, passed, n, want)
			}
		}
		pass(sampleBurst+5, sampleBurst)
		if s.due(now) != 0 {
			t.Error("it tells within the interval")
		}
		now = now.Add(sampleEvery)
		if got := s.due(now); got != 5 {
			t.Errorf("%d were held back, want 5", got)
		}
		if s.due(now) != 0 {
			t.Error("it tells twice")
		}
		pass(sampleBurst+5, lines)
		now = now.Add(100 * sampleEvery)
		pass(sampleBurst+5, sampleBurst)
	}
}

// A flood of refusals is a few lines and a number. Other lines are all there, and so are the counts.
func TestRefusalsAreSampled(t *testing.T) {
	var out bytes.Buffer
	s := New(plain(&out))
	const flood = 5 * queueLen // were they all queued, others would have no place
	for i := range flood {
		s.Emit(event.LoginRefused{Remote: fmt.Sprint(i), Code: "28P01"})
		if i%10 == 0 {
			s.Emit(event.ClientJoined{PID: uint32(i)})
		}
	}
	s.Close()
	lines, said := 0, 0
	for line := range strings.Lines(out.String()) {
		var n int
		if _, after, ok := strings.Cut(line, "counts were not\" lines="); ok {
			if _, err := fmt.Sscan(after, &n); err != nil {
				t.Fatal(err)
			}
			said += n
		}
		if strings.Contains(line, "login refused") {
			lines++
		}
	}
	if lines+said != flood || lines < sampleBurst || said == 0 {
		t.Errorf("%d lines, and %d told of, want %d together", lines, said, flood)
	}
	if n := strings.Count(out.String(), "client joined"); n != flood/10 {
		t.Errorf("%d other lines, want %d", n, flood/10)
	}
	if n := s.refused[event.RefusedPassword].Load(); n != flood {
		t.Errorf("%d counted, want %d", n, flood)
	}
}

// So is a flood of cancels that mean nobody, forged ones for one. Those that mean somebody have all their lines.
func TestCancelsThatMeanNobodyAreSampled(t *testing.T) {
	var out bytes.Buffer
	s := New(plain(&out))
	const flood = 5 * queueLen
	nobodys := []event.Outcome{event.UnknownKey, event.Forged, event.Malformed, event.Throttled}
	for i := range flood {
		s.Emit(event.CancelSettled{Outcome: nobodys[i%4], Ticket: uint64(i + 1), Remote: fmt.Sprint(i)})
		if i%10 == 0 {
			s.Emit(event.CancelSettled{Outcome: event.Outcome(i / 10 % event.Outcomes), Ticket: uint64(i + 1), PID: 1<<30 + 1})
		}
	}
	s.Close()
	var counted, lines, said int
	for _, n := range s.Counts() {
		counted += int(n)
	}
	if counted != flood+flood/10 {
		t.Errorf("%d counted, want %d", counted, flood+flood/10)
	}
	of := map[string]int{}
	for line := range strings.Lines(out.String()) {
		var n int
		if _, after, ok := strings.Cut(line, "more cancels that mean nobody: lines were left out, counts were not\" lines="); ok {
			if _, err := fmt.Sscan(after, &n); err != nil {
				t.Fatal(err)
			}
			said += n
		} else if _, after, ok := strings.Cut(line, "msg=cancel outcome="); ok {
			lines++
			outcome, _, _ := strings.Cut(after, " ")
			of[outcome]++
		}
	}
	if lines+said != counted || said < flood/2 {
		t.Errorf("%d lines, and %d told of, want %d together", lines, said, counted)
	}
	thin := 0
	for i, n := range s.Counts() {
		o := event.Outcome(i)
		switch lines := of[o.String()]; {
		case slices.Contains(nobodys, o):
			thin += lines
		case lines != int(n):
			t.Errorf("%d lines of %s, which was counted %d times", lines, o, n)
		}
	}
	if thin == 0 {
		t.Error("no line of one that means nobody")
	}
}
