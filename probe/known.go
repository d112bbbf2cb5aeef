package probe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// Accepted is one failure that is known and accepted, with the reason: an element of the file for --known.
type Accepted struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// ReadKnown reads a JSON array of accepted failures. Unknown fields, a missing reason and an id twice are errors.
func ReadKnown(r io.Reader) ([]Accepted, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var known []Accepted
	if err := d.Decode(&known); err != nil {
		return nil, fmt.Errorf(`not an array of {"id": ..., "reason": ...}: %w`, err)
	}
	seen := map[string]bool{}
	for _, a := range known {
		switch {
		case a.ID == "":
			return nil, fmt.Errorf("an entry has no id")
		case a.Reason == "":
			return nil, fmt.Errorf("%s has no reason: say why this failure is accepted", a.ID)
		case seen[a.ID]:
			return nil, fmt.Errorf("%s is there twice", a.ID)
		}
		seen[a.ID] = true
	}
	return known, nil
}

// Accept marks the failures that are known, and says what is odd about the list: an id that no case has, an entry whose
// case did not fail. Cases that were not asked for are passed over.
func (r *Report) Accept(known []Accepted) (remarks []string) {
	exists := map[string]bool{}
	for _, c := range Cases() {
		exists[c.ID] = true
	}
	for _, a := range known {
		if !exists[a.ID] {
			remarks = append(remarks, fmt.Sprintf("%s: no case has that id; correct the entry or take it out", a.ID))
			continue
		}
		for i := range r.Findings {
			f := &r.Findings[i]
			switch {
			case f.ID != a.ID:
			case f.Verdict == Fail:
				f.Known = a.Reason
			case f.Verdict == Pass || f.Verdict == Differs:
				remarks = append(remarks, fmt.Sprintf("%s does not fail any more (%s): take the entry out", a.ID, f.Verdict))
			}
		}
	}
	return remarks
}
