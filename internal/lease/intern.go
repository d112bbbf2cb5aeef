package lease

import "slices"

// maxKnown bounds how many different Settings an Interner remembers.
const maxKnown = 64

// Interner gives equal Settings one pointer, so that a client and a server that agree are found to by comparing pointers,
// whatever way either came to its values. The zero value knows none.
type Interner struct{ known []*Settings }

// Intern is the Settings known already that is equal to s, or s, which is known from then on. The one not asked for
// longest is forgotten beyond 64; a pointer that is forgotten stays valid.
func (i *Interner) Intern(s *Settings) *Settings {
	for at, k := range i.known {
		if k == s || slices.Equal(k.params, s.params) && slices.Equal(k.own, s.own) {
			copy(i.known[1:at+1], i.known[:at])
			i.known[0] = k
			return k
		}
	}
	if len(i.known) < maxKnown {
		i.known = append(i.known, nil)
	}
	copy(i.known[1:], i.known)
	i.known[0] = s
	return s
}
