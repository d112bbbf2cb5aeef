package probe

// encryptionCases are the cases of the group Encryption.
func encryptionCases() []Case { return nil }
