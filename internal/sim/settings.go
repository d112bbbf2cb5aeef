package sim

import "strings"

// settings are the values a model server keeps for its session. The first ones are reported.
type settings [len(settingNames)]string

var settingNames = [...]string{"application_name", "TimeZone", "DateStyle", "client_encoding", "work_mem"}

const (
	setApp      = 0
	setTimeZone = 1
	reported    = 4 // how many settings are told by ParameterStatus
)

func defaultSettings() settings {
	return settings{"", "Etc/UTC", "ISO, MDY", "UTF8", "4MB"}
}

func settingIndex(name string) int {
	for i, n := range settingNames {
		if strings.EqualFold(n, name) {
			return i
		}
	}
	return -1
}

// canonical is how the server writes a value it was given.
func canonical(i int, value string) string {
	if i == setTimeZone && strings.EqualFold(value, "utc") {
		return "UTC"
	}
	return value
}
