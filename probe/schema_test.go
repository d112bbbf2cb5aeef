package probe

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// schema is the part of JSON Schema that ours uses. A keyword that is not here is refused, not passed over.
type schema struct {
	Schema      string            `json:"$schema"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Type        string            `json:"type"`
	Items       *schema           `json:"items"`
	Additional  *bool             `json:"additionalProperties"`
	Required    []string          `json:"required"`
	Properties  map[string]schema `json:"properties"`
	Pattern     string            `json:"pattern"`
	Enum        []string          `json:"enum"`
	MinLength   int               `json:"minLength"`
	Minimum     *float64          `json:"minimum"`
}

func readSchema(t *testing.T) schema {
	t.Helper()
	file, err := os.Open("../docs/check.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	d := json.NewDecoder(file)
	d.DisallowUnknownFields()
	var s schema
	if err := d.Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// check lists what of a value does not fit.
func (s schema) check(at string, v any) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, at+": "+fmt.Sprintf(format, args...)) }
	switch s.Type {
	case "array":
		list, ok := v.([]any)
		if !ok {
			say("no array")
		}
		for i, item := range list {
			wrong = append(wrong, s.Items.check(fmt.Sprintf("%s[%d]", at, i), item)...)
		}
	case "object":
		object, ok := v.(map[string]any)
		if !ok {
			say("no object")
		}
		for _, name := range s.Required {
			if _, ok := object[name]; !ok {
				say("no %s", name)
			}
		}
		for name, field := range object {
			if inner, ok := s.Properties[name]; ok {
				wrong = append(wrong, inner.check(at+"."+name, field)...)
			} else {
				say("%s is not described", name)
			}
		}
	case "string":
		text, ok := v.(string)
		switch {
		case !ok:
			say("no string")
		case len(text) < s.MinLength:
			say("empty")
		case s.Enum != nil && !slices.Contains(s.Enum, text):
			say("%q is none of %q", text, s.Enum)
		case !regexp.MustCompile(s.Pattern).MatchString(text):
			say("%q does not match %s", text, s.Pattern)
		}
	case "integer":
		n, ok := v.(float64)
		if !ok || n != float64(int64(n)) || s.Minimum != nil && n < *s.Minimum {
			say("%v is no integer from %v", v, s.Minimum)
		}
	default:
		say("the schema has no type")
	}
	return wrong
}

// checkJSON holds what WriteJSON made against the schema.
func checkJSON(t *testing.T, r Report) []string {
	t.Helper()
	var out strings.Builder
	if err := WriteJSON(&out, r); err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal([]byte(out.String()), &v); err != nil {
		t.Fatal(err)
	}
	return readSchema(t).check("report", v)
}

// TestSchema: what is written fits its description, and the description is not one that everything fits.
func TestSchema(t *testing.T) {
	good := sample()
	if wrong := checkJSON(t, good); wrong != nil {
		t.Errorf("a report does not fit: %q", wrong)
	}
	for want, spoil := range map[string]func(*Finding){
		"no_dot":              func(f *Finding) { f.ID = "no_dot" },
		`"odd"`:               func(f *Finding) { f.Verdict = "odd" },
		"Elsewhere":           func(f *Finding) { f.Group = "Elsewhere" },
		"seen: empty":         func(f *Finding) { f.Seen = "" },
		"took_ms: -1":         func(f *Finding) { f.TookMS = -1 },
		"evidence: no array":  func(f *Finding) { f.Evidence = nil },
		`"sideways"`:          func(f *Finding) { f.Evidence[0].Direction = "sideways" },
		`"xy" does not match`: func(f *Finding) { f.Evidence[0].Hex = "xy" },
	} {
		r := sample()
		spoil(&r.Findings[0])
		if wrong := strings.Join(checkJSON(t, r), "\n"); !strings.Contains(wrong, want) {
			t.Errorf("want %s, got %q", want, wrong)
		}
	}
	// The lists of names here and there are the same.
	item := readSchema(t).Items
	var verdicts []string
	for _, v := range Verdicts() {
		verdicts = append(verdicts, string(v))
	}
	slices.Sort(verdicts)
	described := slices.Sorted(slices.Values(item.Properties["verdict"].Enum))
	if !slices.Equal(verdicts, described) {
		t.Errorf("verdicts %q, described %q", verdicts, described)
	}
	for _, c := range Cases() {
		if !slices.Contains(item.Properties["group"].Enum, c.Group) {
			t.Errorf("the group %s is not described", c.Group)
		}
	}
}
