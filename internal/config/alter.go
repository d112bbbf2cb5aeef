package config

import "fmt"

// Alter gives a setting of a running Cancello a value, as the console's SET does: any that needs no restart, in the
// words of Set. After an error c is as it was.
func Alter(c *Config, key, value string) error {
	for _, s := range general() {
		if s.name != key {
			continue
		}
		if s.when == Restart {
			return fmt.Errorf("%s cannot be changed without a restart", key)
		}
		if s.secret {
			break // which Set says
		}
		return s.set(c, value)
	}
	return Set(c, key, value) // which knows no more of them, but the nearest
}
