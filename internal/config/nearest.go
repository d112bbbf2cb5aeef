package config

import "strings"

// nearest finds the name that was probably meant: one that differs in a letter or two neighbours swapped, the only one that contains the
// word, or that which differs in the fewest letters, at most a third. Of equally near ones it is the first.
func nearest(word string, names []string) (string, bool) {
	if len(word) > 64 {
		return "", false
	}
	word = strings.ReplaceAll(strings.ToLower(word), "-", "_")
	if near, ok := nearestByLetters(word, names); ok && distance(word, near) == 1 {
		return near, true
	}
	best, found := "", 0
	for _, name := range names {
		if len(word) >= 4 && strings.Contains(name, word) {
			best = name
			found++
		}
	}
	if found == 1 {
		return best, true
	}
	return nearestByLetters(word, names)
}

// mostListed is how many names are told where none of them is near.
const mostListed = 12

// suggestion says what may have been meant by a name that isn't there: the nearest one, those that share most words with
// it, or, of a few, all that there are.
func suggestion(word string, names []string) string {
	if near, ok := nearest(word, names); ok {
		return "did you mean " + near + "?"
	}
	if len(names) <= mostListed {
		return "there are " + strings.Join(names, ", ")
	}
	if alike := sharing(word, names); len(alike) > 0 && len(alike) <= mostListed {
		return "there are, among others, " + strings.Join(alike, ", ")
	}
	return "docs/configuration.md has all that there are"
}

// sharing are the names with as many words of the given one as any has; none where no name has one.
func sharing(word string, names []string) []string {
	var best []string
	most := 1
	for _, name := range names {
		n := 0
		for w := range strings.SplitSeq(strings.ToLower(word), "_") {
			if w = strings.TrimSuffix(w, "s"); len(w) > 1 && strings.Contains("_"+name, "_"+w) {
				n++
			}
		}
		if n > most {
			best, most = nil, n
		}
		if n == most {
			best = append(best, name)
		}
	}
	return best
}

func nearestByLetters(word string, names []string) (string, bool) {
	best, found := "", false
	least := len(word)/3 + 1
	for _, name := range names {
		if d := distance(word, name); d < least {
			best, least, found = name, d, true
		}
	}
	return best, found
}

// distance is how many letters are put in, left out, replaced, or swapped with their neighbour.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
