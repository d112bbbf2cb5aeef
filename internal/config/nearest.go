package config

import "strings"

// nearest finds the name that was probably meant: the only one that contains the word, or that which differs in the
// fewest letters, at most a third. Of equally near ones it is the first.
func nearest(word string, names []string) (string, bool) {
	if len(word) > 64 {
		return "", false
	}
	word = strings.ReplaceAll(strings.ToLower(word), "-", "_")
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

// distance is Levenshtein's: letters put in, left out or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
