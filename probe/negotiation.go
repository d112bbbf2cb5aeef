package probe

// negotiationCases are the cases of the group Negotiation.
func negotiationCases() []Case { return nil }
