package lease

import (
	"slices"
	"strings"

	"cancello/internal/wire"
)

// OptionsError is what is wrong with the startup parameter `options`.
type OptionsError struct {
	Message string
	Syntax  bool // it is PostgreSQL's own complaint; else it is something that only a connection of one's own can have
}

// Error is the message.
func (e *OptionsError) Error() string { return e.Message }

// Asked lists the settings that a startup packet asks for, by lower-case name, each once and in the order of the names:
// what `options` says, and over it the parameters; of a name that comes twice the last value counts (process_startup_options
// in postinit.c). user and database must have been taken out. Names in ignore are left out, and so is
// idle_session_timeout, which would end a server in the pool (trap B2). The error is an *OptionsError.
func Asked(params []wire.Param, ignore []string) ([]wire.Param, error) {
	var all []wire.Param
	for _, p := range params {
		if p.Name != "options" || contains(ignore, "options") {
			continue
		}
		var err error
		if all, err = options(all, splitOptions(p.Value)); err != nil {
			return nil, err
		}
	}
	for _, p := range params {
		if p.Name != "options" {
			all = append(all, p)
		}
	}
	var list []wire.Param
	for _, p := range all {
		name := strings.ToLower(p.Name)
		if name == "idle_session_timeout" || contains(ignore, name) {
			continue
		}
		at, there := slices.BinarySearchFunc(list, name, func(p wire.Param, name string) int { return strings.Compare(p.Name, name) })
		if there {
			list[at].Value = p.Value
			continue
		}
		list = slices.Insert(list, at, wire.Param{Name: name, Value: p.Value})
	}
	return list, nil
}

func contains(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// splitOptions divides a text at white space; a backslash takes the meaning of what follows it (pg_split_opts in
// postinit.c).
func splitOptions(text string) []string {
	var words []string
	var word []byte
	inside, escaped := false, false
	for i := range len(text) {
		c := text[i]
		switch {
		case escaped:
			word, escaped = append(word, c), false
		case c == '\\':
			inside, escaped = true, true
		case c == ' ' || c >= '\t' && c <= '\r':
			if inside {
				words = append(words, string(word))
			}
			word, inside = word[:0], false
		default:
			word, inside = append(word, c), true
		}
	}
	if inside {
		words = append(words, string(word))
	}
	return words
}

// options reads words as a server process reads its arguments (process_postgres_switches in postgres.c, by getopt), but
// takes settings only.
func options(list []wire.Param, words []string) ([]wire.Param, error) {
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		flag, text := "--", ""
		switch {
		case word == "--" && len(words) > 0:
			return nil, invalidArgument(words[0])
		case word == "--":
			return list, nil
		case strings.HasPrefix(word, "--"):
			text = word[2:]
		case strings.HasPrefix(word, "-c"):
			flag, text = "-c ", word[2:]
			if text == "" && len(words) == 0 {
				return nil, invalidArgument(word)
			}
			if text == "" {
				text, words = words[0], words[1:]
			}
		case len(word) > 1 && word[0] == '-':
			return nil, &OptionsError{Message: "in options only -c name=value and --name=value are supported by Cancello, not " + word[:2]}
		default:
			return nil, invalidArgument(word)
		}
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, &OptionsError{Message: flag + text + " requires a value", Syntax: true}
		}
		list = append(list, wire.Param{Name: strings.ReplaceAll(name, "-", "_"), Value: value})
	}
	return list, nil
}

func invalidArgument(word string) error {
	return &OptionsError{Message: "invalid command-line argument for server process: " + word, Syntax: true}
}
