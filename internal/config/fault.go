package config

import (
	"errors"
	"fmt"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	Path         []string // of the setting in a file, as databases, shop, port; as much of it as there is
	File         string   // empty: not known, or not from a file
	Line, Column int      // from 1, in bytes; 0: not known
	Err          error    // for people, without secrets
}

// Error has the form FILE:LINE:COLUMN: TEXT, with what of it is known.
func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.Err.Error()
	}
	return fmt.Sprintf("%s:%d:%d: %v", f.File, f.Line, f.Column, f.Err)
}

// Unwrap is the error itself.
func (f *Fault) Unwrap() error { return f.Err }

// fault makes one of a text.
func fault(path []string, format string, args ...any) *Fault {
	return &Fault{Path: path, Err: fmt.Errorf(format, args...)}
}

// join is one error of all, a line for each; nil of none.
func join(faults []*Fault) error {
	list := make([]error, len(faults))
	for i, f := range faults {
		list[i] = f
	}
	return errors.Join(list...)
}

// faultsOf takes an error of Validate or Parse apart.
func faultsOf(err error) []*Fault {
	var list []*Fault
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range several.Unwrap() {
			list = append(list, faultsOf(e)...)
		}
		return list
	}
	var f *Fault
	if errors.As(err, &f) {
		return append(list, f)
	}
	return append(list, &Fault{Err: err})
}
