package schedule

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ticks counts 100 ns, as a .NET TimeSpan does: it reaches further than a time.Duration.
type ticks int64

const (
	ticksPerSecond ticks = 1e7
	ticksPerMinute       = 60 * ticksPerSecond
	ticksPerHour         = 60 * ticksPerMinute
	ticksPerDay          = 24 * ticksPerHour
	maxDays              = 10675199
)

// shapes are the forms of a TimeSpan in the order in which .NET tries them: the separators between the numbers, and the
// units of the numbers. "h:m:s" comes before "d:h:m", which is how 24:00:00 becomes 24 days.
var shapes = []struct{ separators, units string }{
	{"", "d"},
	{":", "hm"},
	{": :", "hms"}, {". :", "dhm"}, {": :.", "hmf"}, {": :", "dhm"},
	{": : .", "hmsf"}, {". : :", "dhms"}, {". : :.", "dhmf"}, {": : :", "dhms"}, {": : :.", "dhmf"},
	{". : : .", "dhmsf"}, {": : : .", "dhmsf"},
}

// parseTimeSpan reads [-]d | [-][d.]hh:mm[:ss[.fffffff]] and the other spellings that .NET takes.
func parseTimeSpan(text string) (ticks, error) {
	rest, negative := strings.CutPrefix(strings.TrimSpace(text), "-")
	numbers, separators := split(rest)
	for _, s := range shapes {
		if len(s.units) != len(numbers) || s.separators != strings.Join(separators, " ") {
			continue
		}
		if t, ok := combine(numbers, s.units, negative); ok {
			return t, nil
		}
	}
	return 0, errors.New("want [days.]hours:minutes:seconds, for example 00:30:00")
}

// split cuts the text into runs of digits and what stands between them; nothing may stand before or after.
func split(text string) (numbers, separators []string) {
	for text != "" {
		n := len(text) - len(strings.TrimLeft(text, "0123456789"))
		numbers, text = append(numbers, text[:n]), text[n:]
		if n == 0 || text == "" {
			return numbers, separators
		}
		n = strings.IndexAny(text, "0123456789")
		if n < 0 {
			return nil, nil
		}
		separators, text = append(separators, text[:n]), text[n:]
	}
	return numbers, separators
}

// combine adds the numbers up; it fails when one is out of range for its unit, or the sum for a TimeSpan.
func combine(numbers []string, units string, negative bool) (sum ticks, ok bool) {
	for i, text := range numbers {
		var t ticks
		switch units[i] {
		case 'd':
			t, ok = scale(text, maxDays, ticksPerDay)
		case 'h':
			t, ok = scale(text, 23, ticksPerHour)
		case 'm':
			t, ok = scale(text, 59, ticksPerMinute)
		case 's':
			t, ok = scale(text, 59, ticksPerSecond)
		case 'f':
			t, ok = fraction(text)
		}
		if !ok {
			return 0, false
		}
		sum -= t // downwards, because the smallest TimeSpan has no positive counterpart
	}
	if sum > 0 || sum == math.MinInt64 && !negative {
		return 0, false
	}
	if !negative {
		sum = -sum
	}
	return sum, true
}

func scale(text string, limit uint64, unit ticks) (ticks, bool) {
	v, err := strconv.ParseUint(text, 10, 64)
	return ticks(v) * unit, err == nil && v <= limit
}

// fraction reads the decimals of a second. More than seven are rounded, but only after a leading zero: .NET's own rule.
func fraction(text string) (ticks, bool) {
	digits := strings.TrimLeft(text, "0")
	if digits == "" {
		return 0, true
	}
	v, err := strconv.ParseUint(digits, 10, 28)
	if err != nil || digits == text && v > 9999999 {
		return 0, false
	}
	return ticks(math.Round(float64(v) * math.Pow10(7-len(text)))), true
}

// String writes [-][d.]hh:mm:ss[.fffffff], .NET's constant format.
func (t ticks) String() string {
	var b strings.Builder
	u := uint64(t)
	if t < 0 {
		b.WriteByte('-')
		u = -u
	}
	if days := u / uint64(ticksPerDay); days > 0 {
		fmt.Fprintf(&b, "%d.", days)
	}
	s := u / uint64(ticksPerSecond)
	fmt.Fprintf(&b, "%02d:%02d:%02d", s/3600%24, s/60%60, s%60)
	if f := u % uint64(ticksPerSecond); f > 0 {
		fmt.Fprintf(&b, ".%07d", f)
	}
	return b.String()
}

// addTo is at+t; ok is false after the year 9999.
func (t ticks) addTo(at time.Time) (sum time.Time, ok bool) {
	seconds := int64(t / ticksPerSecond)
	nanos := int64(at.Nanosecond()) + int64(t%ticksPerSecond)*100
	sum = time.Unix(at.Unix()+seconds, nanos)
	return sum, sum.UTC().Year() <= 9999
}
