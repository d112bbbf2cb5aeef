package sim

import "strings"

// settings are the values a model server keeps for its session. The first ones are reported.
type settings struct {
	value [len(settingNames)]string
	given [len(settingNames)]bool // by the session itself: SET and not RESET
}

var settingNames = [...]string{"application_name", "TimeZone", "DateStyle", "client_encoding", "work_mem", "extra_float_digits"}

const (
	setApp      = 0
	setTimeZone = 1
	setDigits   = 5
	reported    = 4 // how many settings are told by ParameterStatus
)

func defaultSettings() settings {
	return settings{value: [len(settingNames)]string{"", "Etc/UTC", "ISO, MDY", "UTF8", "4MB", "1"}}
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

// refuses is the error for a setting that does not exist, or a value that it can't have; empty: none.
func refuses(name, value string) (code, text string) {
	switch i := settingIndex(name); {
	case i < 0 && name != "idle_session_timeout":
		return "42704", "unrecognized configuration parameter \"" + name + "\""
	case i == setTimeZone && value == "nowhere":
		return "22023", "invalid value for parameter \"TimeZone\": \"nowhere\""
	}
	return "", ""
}
