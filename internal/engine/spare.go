package engine

const (
	// maxSpares bounds how many pieces of memory are kept for clients that wait.
	maxSpares = 64
	// maxSpare bounds what each of them holds, in bytes: most of what waits is one query.
	maxSpare = 4 << 10
)

// spare is memory for what clients send while they wait for a server. It goes from one to the next, since whoever has
// waited needs it no more: a busy pool has a line most of the time, and nothing is allocated for it.
type spare [][]byte

// take is a piece of memory, empty; nil where none is left.
func (s *spare) take() []byte {
	n := len(*s)
	if n == 0 {
		return nil
	}
	p := (*s)[n-1]
	(*s)[n-1] = nil
	*s = (*s)[:n-1]
	return p[:0]
}

// put takes back what nobody refers to any more.
func (s *spare) put(p []byte) {
	if cap(p) == 0 || cap(p) > maxSpare || len(*s) >= maxSpares {
		return
	}
	*s = append(*s, p)
}
