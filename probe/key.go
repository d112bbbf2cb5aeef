package probe

// keyCases are the cases of the group Key.
func keyCases() []Case { return nil }
