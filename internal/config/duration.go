package config

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

var errDuration = errors.New("not a time")

// parseDuration reads a number of seconds, or a number and a unit; the number may have decimals.
func parseDuration(s string) (time.Duration, error) {
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyz")
	unit := time.Second
	switch strings.TrimPrefix(s, digits) {
	case "", "s":
	case "ms":
		unit = time.Millisecond
	case "m", "min":
		unit = time.Minute
	case "h":
		unit = time.Hour
	default:
		return 0, errDuration
	}
	digits = strings.TrimRight(digits, " ")
	// Neither signs nor exponents nor "Inf": what ParseFloat takes beyond digits and a point is not a setting.
	if strings.Trim(digits, "0123456789.") != "" {
		return 0, errDuration
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || n*float64(unit) > float64(maxDuration)*2 {
		return 0, errDuration
	}
	return time.Duration(n*float64(unit) + 0.5), nil
}

// durationText writes a time as parseDuration reads it: in the largest unit that leaves no rest.
func durationText(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if d != 0 && d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.name
		}
	}
	if d == 0 {
		return "0"
	}
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', -1, 64) + "ms"
}
