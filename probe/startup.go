package probe

// startupCases are the cases of the group Startup.
func startupCases() []Case { return nil }
