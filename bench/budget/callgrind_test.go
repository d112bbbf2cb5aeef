package main

import (
	"strings"
	"testing"
)

// What a call took is its callee's, and the scheduler's own is nobody's.
func TestInstructions(t *testing.T) {
	const file = `version: 1
positions: line
events: Ir
fl=(1) a.go
fn=(1) cancello/internal/loop.(*Loop).read
10 100
+2 30
cfn=(2) runtime.schedule
calls=1 5
12 5000
* 7
fn=(2)
5 4000
-1 1000
fn=(3) runtime.memmove
1 60
fn=(1)
20 3
totals: 5200
`
	if n, err := instructions(strings.NewReader(file)); n != 200 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, file := range []string{"", "fn=(1) main.x\n5 many\n"} {
		if n, err := instructions(strings.NewReader(file)); err == nil {
			t.Errorf("%q: %d", file, n)
		}
	}
}
