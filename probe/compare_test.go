package probe

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// TestCompare: a case stands once whatever the sides were asked, and what differs is marked and told.
func TestCompare(t *testing.T) {
	a := Report{About: About{Address: "a:1"}, Findings: []Finding{
		{ID: "key.pid", Group: GroupKey, Verdict: Pass, Seen: "same"},
		{ID: "key.zeros", Group: GroupKey, Verdict: Fail, Seen: "zeros\x1b[2J"},
		{ID: "cancel.query", Group: GroupCancel, Verdict: Pass},
	}}
	b := Report{About: About{Address: "b:2"}, Findings: []Finding{
		{ID: "key.pid", Group: GroupKey, Verdict: Pass, Seen: "same"},
		{ID: "key.zeros", Group: GroupKey, Verdict: Pass, Seen: "random"},
		{ID: "pooler.sharing", Group: GroupPooler, Verdict: Differs, Seen: "only here"},
	}}
	c := Comparison{a, b}
	var text, js bytes.Buffer
	if err := WriteCompareText(&text, c, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"A  a:1, ", "B  b:2, ", "\n  pass     pass     key.pid\n", "\n* fail     pass     key.zeros\n", "A: zeros?[2J\n", "B: random\n",
		"\n* pass     not run  cancel.query\n", "\n* not run  differs  pooler.sharing\n", "B: only here\n", "4 cases in ", ": 3 with different verdicts",
		"A: 1 fail, 0 unknown, 0 differs, 0 not applicable, 2 pass\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "same") {
		t.Errorf("what is alike is told:\n%s", text.String())
	}
	if err := WriteCompareJSON(&js, c); err != nil {
		t.Fatal(err)
	}
	var pairs []Pair
	if err := json.Unmarshal(js.Bytes(), &pairs); err != nil {
		t.Fatal(err)
	}
	if len(pairs) != 4 || pairs[0].Differ || !pairs[1].Differ || pairs[1].B.Seen != "random" || pairs[2].B != nil || pairs[3].A != nil {
		t.Errorf("%+v", pairs)
	}
	js.Reset()
	if err := WriteCompareJSON(&js, Comparison{}); err != nil || strings.TrimSpace(js.String()) != "[]" {
		t.Errorf("%v %s", err, js.String())
	}
}
