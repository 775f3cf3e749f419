package settings

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size: "1500", "10MB" (a million bytes each), "64 KiB" (1,024 bytes each), "1.5 GiB". It is never negative.
type Bytes int64

// UnmarshalText reads a size.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	number := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit, ok := unitBytes(strings.TrimSpace(s[len(number):]))
	if !ok {
		return fmt.Errorf("unknown unit in %q: use B, KB, MB, GB, TB, KiB, MiB, GiB or TiB", s)
	}
	if whole, err := strconv.ParseUint(number, 10, 63); err == nil {
		if whole > uint64(math.MaxInt64/unit) {
			return fmt.Errorf("size %q is too large", s)
		}
		*b = Bytes(int64(whole) * unit)
		return nil
	}
	fraction, err := decimal(number)
	if err != nil {
		return fmt.Errorf("no number before the unit in %q", s)
	}
	if fraction*float64(unit) >= math.MaxInt64 {
		return fmt.Errorf("size %q is too large", s)
	}
	*b = Bytes(math.Round(fraction * float64(unit)))
	return nil
}

// decimal reads digits with an optional point and nothing else that ParseFloat takes (signs, exponents, hex, "inf").
func decimal(s string) (float64, error) {
	if strings.Trim(s, "0123456789.") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(s, 64)
}

func unitBytes(unit string) (int64, bool) {
	switch strings.ToLower(unit) {
	case "", "b":
		return 1, true
	case "kb":
		return 1e3, true
	case "mb":
		return 1e6, true
	case "gb":
		return 1e9, true
	case "tb":
		return 1e12, true
	case "kib":
		return 1 << 10, true
	case "mib":
		return 1 << 20, true
	case "gib":
		return 1 << 30, true
	case "tib":
		return 1 << 40, true
	}
	return 0, false
}

// String gives the size in the largest unit that divides it.
func (b Bytes) String() string {
	for _, unit := range []string{"TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "KB"} {
		if size, _ := unitBytes(unit); b != 0 && int64(b)%size == 0 {
			return strconv.FormatInt(int64(b)/size, 10) + unit
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// Duration is a length of time: "90s", "1h30m", "2d", "1d12h" or, as in Azure's own settings, "hh:mm:ss" and "d.hh:mm:ss".
// It is never negative.
type Duration time.Duration

// Std is the duration as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String gives the duration as the standard library does.
func (d Duration) String() string { return time.Duration(d).String() }

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	parse := parseUnits
	if strings.Contains(s, ":") {
		parse = parseClock
	}
	length, err := parse(s)
	if err != nil {
		return err
	}
	*d = Duration(length)
	return nil
}

func parseUnits(s string) (time.Duration, error) {
	head, rest, ok := strings.Cut(s, "d")
	if !ok {
		head, rest = "0", s
	}
	days, err := strconv.ParseUint(head, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration: a number with a unit is needed (ms, s, m, h, d)", s)
	}
	length := time.Duration(days) * 24 * time.Hour
	if ok && rest == "" {
		return length, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || more < 0 || more > math.MaxInt64-length {
		return 0, fmt.Errorf("%q is no duration: a number with a unit is needed (ms, s, m, h, d)", s)
	}
	return length + more, nil
}

func parseClock(s string) (time.Duration, error) {
	days, clock, ok := strings.Cut(s, ".")
	if !ok {
		days, clock = "0", s
	}
	parts := strings.Split(clock, ":")
	if len(parts) != 3 {
		return 0, fmt.Errorf("%q is no duration: hh:mm:ss or d.hh:mm:ss is needed", s)
	}
	var length time.Duration
	for i, part := range append([]string{days}, parts...) {
		unit := [...]struct {
			max  uint64
			size time.Duration
		}{{65535, 24 * time.Hour}, {23, time.Hour}, {59, time.Minute}, {59, time.Second}}[i]
		n, err := strconv.ParseUint(part, 10, 16)
		if err != nil || n > unit.max {
			return 0, fmt.Errorf("%q is no duration: hh:mm:ss or d.hh:mm:ss is needed, hours to 23, minutes and seconds to 59", s)
		}
		length += time.Duration(n) * unit.size
	}
	return length, nil
}

// List is a list of texts separated by ";" or ",". Blanks around an entry and empty entries do not count, and a separator in
// braces or brackets is part of the entry, so that the glob "*.{csv,txt}" is one.
type List []string

// UnmarshalText reads a list.
func (l *List) UnmarshalText(text []byte) error {
	*l = nil
	depth := 0
	entries := strings.FieldsFunc(string(text), func(r rune) bool {
		switch r {
		case '{', '[':
			depth++
		case '}', ']':
			depth = max(depth-1, 0)
		}
		return depth == 0 && (r == ';' || r == ',')
	})
	for _, entry := range entries {
		if entry = strings.TrimSpace(entry); entry != "" {
			*l = append(*l, entry)
		}
	}
	return nil
}

// String gives the list as it would be written in a setting.
func (l List) String() string { return strings.Join(l, ";") }
