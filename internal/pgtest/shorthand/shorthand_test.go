package shorthand

import "testing"

// TestRoundTrip: what is said of messages reads back as the same messages.
func TestRoundTrip(t *testing.T) {
	for _, c := range []struct {
		from Side
		text string
	}{
		{Client, `Q "select '|' || 1"`},
		{Client, `P "" "select 1" | B "p" "s" | D S "" | D P "x" | E | E "p" | C S "s" | H | S | X`},
		{Client, `d 5 | c | f "no" | F 12 | p | Q *300`},
		{Server, `1 | 2 | 3 | n | s | I | t | T | D 7 | D | C "SELECT 1" | Z I`},
		{Server, `E ERROR 42601 "no \"x\"" | N NOTICE 00000 | S "TimeZone" "UTC" | A 77 "ch" "load"`},
		{Server, `G | H | W | d 3 | c | V 4`},
	} {
		b, err := Read(c.from, c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := Say(c.from, b); got != c.text {
			t.Errorf("said %s\nread %s", got, c.text)
		}
	}
	for _, bad := range []string{`Q "open`, `? 1`, `Query "x"`, `d many`} {
		if _, err := Read(Client, bad); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
	s := Stream{From: Client}
	b, _ := Read(Client, `Q "select 1" | S`)
	if got, want := s.Say(b[:9])+" / "+s.Say(b[9:]), "Q(9 of 14 bytes) / Q+5 | S"; got != want {
		t.Errorf("pieces are said as %s, want %s", got, want)
	}
}
