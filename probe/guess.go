package probe

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// judgement is what a row of keys shows.
type judgement struct {
	verdict Verdict
	seen    string
	notes   []string // numbers, other ones each time
}

// Limits for keys. A random row of 64 keys of 32 bits is outside of them less than once in a million.
const (
	fewBits    = 16      // fewer that vary can be tried out
	enoughBits = 28      // pids apart, 3.0 has 32; some servers need a few for themselves
	closeBy    = 1 << 20 // the largest distance of neighbours that still is a walk
	alikePart  = 3       // in 8: neighbours that differ in less of their varying bits hang together
)

// judgeKeys looks for a pattern in keys that were given one after another.
func judgeKeys(pids []uint32, keys [][]byte) judgement {
	n := len(keys)
	distinct := map[string]bool{}
	for _, k := range keys {
		if len(k) != len(keys[0]) {
			return judgement{Fail, "the keys of one version have different lengths", nil}
		}
		distinct[string(k)] = true
	}
	size := len(keys[0])
	if len(distinct) == 1 {
		return judgement{Fail, fmt.Sprintf("all %d keys are the same", n), nil}
	}
	if len(distinct) < n {
		return judgement{Fail, fmt.Sprintf("keys repeat: %d different ones among %d", len(distinct), n), nil}
	}
	if pidInside(pids, keys) {
		return judgement{Fail, "the process id, which is no secret, is in every key", nil}
	}
	varying := varyingBits(keys)
	j := judgement{notes: []string{fmt.Sprintf("%d of %d bits vary", varying, 8*size)}}
	if step, fixed, widest := distances(keys); size <= 8 {
		j.notes = append(j.notes, fmt.Sprintf("the widest distance between neighbours is %d", widest))
		switch {
		case fixed:
			j.verdict, j.seen = Fail, fmt.Sprintf("each key is the one before plus %d", step)
			return j
		case widest < closeBy:
			j.verdict, j.seen = Fail, "each key is close to the one before"
			return j
		}
	}
	changed := changedBits(keys)
	j.notes = append(j.notes, fmt.Sprintf("neighbours differ in %.1f bits on average", changed))
	switch {
	case varying < fewBits:
		j.verdict, j.seen = Fail, fmt.Sprintf("only %d of %d bits vary", varying, 8*size)
	case changed < float64(varying)*alikePart/8:
		j.verdict, j.seen = Fail, "neighbours share most of their bits"
	case varying < enoughBits:
		j.verdict, j.seen = Differs, fmt.Sprintf("only %d of %d bits vary", varying, 8*size)
	default:
		j.verdict, j.seen = Pass, fmt.Sprintf("%d keys, one after another: no pattern", n)
	}
	return j
}

// pidInside says whether each key holds its process id, in either byte order.
func pidInside(pids []uint32, keys [][]byte) bool {
	for i, k := range keys {
		big, little := make([]byte, 4), make([]byte, 4)
		binary.BigEndian.PutUint32(big, pids[i])
		binary.LittleEndian.PutUint32(little, pids[i])
		if !bytes.Contains(k, big) && !bytes.Contains(k, little) {
			return false
		}
	}
	return true
}

// varyingBits counts the bits that are 0 in some keys and 1 in others.
func varyingBits(keys [][]byte) int {
	n := 0
	for i := range keys[0] {
		ones, zeros := byte(0), byte(0)
		for _, k := range keys {
			ones |= k[i]
			zeros |= ^k[i]
		}
		n += bits.OnesCount8(ones & zeros)
	}
	return n
}

// changedBits is in how many bits neighbours differ, on average.
func changedBits(keys [][]byte) float64 {
	n := 0
	for i := 1; i < len(keys); i++ {
		for j := range keys[i] {
			n += bits.OnesCount8(keys[i][j] ^ keys[i-1][j])
		}
	}
	return float64(n) / float64(len(keys)-1)
}

// distances looks at neighbours as numbers, of at most the last 8 bytes: the distance of the first two, whether all
// are the same, and the widest.
func distances(keys [][]byte) (step int64, fixed bool, widest uint64) {
	fixed = true
	for i := 1; i < len(keys); i++ {
		d := number(keys[i]) - number(keys[i-1])
		if size := len(keys[0]); size < 8 { // the distance wraps where the number does
			shift := 64 - 8*size
			d = d << shift >> shift
		}
		if i == 1 {
			step = d
		}
		fixed = fixed && d == step
		widest = max(widest, uint64(max(d, -d)))
	}
	return step, fixed, widest
}

func number(key []byte) int64 {
	n := int64(0)
	for _, b := range key[max(0, len(key)-8):] {
		n = n<<8 | int64(b)
	}
	return n
}
