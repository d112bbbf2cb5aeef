package probe

// poolerCases are the cases of the group Pooler.
func poolerCases() []Case { return nil }
