package sim

import "strconv"

// tag names one statement of one client: @client.unit.statement. Zero is no tag.
type tag struct{ client, unit, n int }

func (t tag) String() string {
	b := append(make([]byte, 0, 16), '@')
	b = strconv.AppendInt(b, int64(t.client), 10)
	b = append(b, '.')
	b = strconv.AppendInt(b, int64(t.unit), 10)
	b = append(b, '.')
	return string(strconv.AppendInt(b, int64(t.n), 10))
}

// findTag is the first tag in b.
func findTag[T string | []byte](b T) (tag, bool) {
	for i := 0; i < len(b); i++ {
		if b[i] != '@' {
			continue
		}
		var part [3]int
		j, k := i+1, 0
		for ; k < 3; k++ {
			start := j
			for j < len(b) && b[j] >= '0' && b[j] <= '9' && j-start < 9 {
				part[k] = part[k]*10 + int(b[j]-'0')
				j++
			}
			if j == start {
				break
			}
			if k < 2 {
				if j >= len(b) || b[j] != '.' {
					break
				}
				j++
			}
		}
		if k == 3 {
			return tag{part[0], part[1], part[2]}, true
		}
	}
	return tag{}, false
}
