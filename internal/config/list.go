package config

// Item is one setting and its value.
type Item struct {
	Name           string
	Value, Default string // for people, in the form that a file or Set takes
	When           When   // what it takes for a change to hold
}

// List is every general setting of c, in the order of the reference.
func List(c *Config) []Item {
	defaults := Default()
	var list []Item
	for _, s := range general() {
		i := Item{Name: s.name, Value: s.value(c), Default: s.value(&defaults), When: s.when}
		if i.Default == "" {
			i.Default = s.absent
		}
		list = append(list, i)
	}
	return list
}
