package ftp

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// parseLIST reads the answer to LIST: lines as "ls -l" prints them, or as DIR does. now and zone complete their times.
func parseLIST(text string, now time.Time, zone *time.Location) []Entry {
	first := true
	return parse(text, func(line string) (Entry, bool) {
		total := first && isTotal(line)
		first = false
		if total {
			return Entry{}, false
		}
		e := parseListLine(line, now, zone)
		return e, !isDots(e.Name)
	})
}

// isTotal recognises the first line of "ls -l": "total 12", in any language.
func isTotal(line string) bool {
	word, number, _ := strings.Cut(line, " ")
	_, err := strconv.Atoi(number)
	return err == nil && word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsLetter(r) })
}

func parseListLine(line string, now time.Time, zone *time.Location) Entry {
	if isDigit(line[0]) {
		return parseDOSLine(line, zone)
	}
	return parseUnixLine(line, now, zone)
}

// parseUnixLine reads "-rw-r--r--. 1 owner group 1234 Nov 20 07:15 name". Owner and group may be several words or none, so
// the line is read from its date: the first size followed by one.
func parseUnixLine(line string, now time.Time, zone *time.Location) Entry {
	kind, ok := unixKind(line)
	if !ok {
		return lost(line, "neither ls nor DIR format")
	}
	rest := line
	_, rest = nextField(rest) // permissions
	for {
		var field string
		field, rest = nextField(rest)
		if field == "" {
			return lost(line, "no size and date")
		}
		if !isDigit(field[0]) {
			continue
		}
		size, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			continue
		}
		t, precise, name, ok := parseUnixDate(rest, now, zone)
		if !ok {
			continue
		}
		e := Entry{Name: name, Size: -1, ModTime: t, Precise: precise, Kind: kind}
		switch kind {
		case File:
			e.Size = size
		case Link:
			e.Name, e.Target, _ = strings.Cut(name, " -> ")
		}
		if isDots(e.Name) {
			return e
		}
		return checked(e)
	}
}

func unixKind(line string) (Kind, bool) {
	permissions, _ := nextField(line)
	if n := len(permissions); n != 10 && (n != 11 || strings.IndexByte("+.@", permissions[10]) < 0) {
		return Other, false
	}
	if strings.Trim(permissions[1:10], "-rwxsStTlLdfF") != "" {
		return Other, false
	}
	switch permissions[0] {
	case '-':
		return File, true
	case 'd':
		return Dir, true
	case 'l', 'L': // the latter by servers that print Go's file modes
		return Link, true
	case 'b', 'c', 'p', 's':
		return Other, true
	}
	return Other, false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// nextField cuts the first word off; rest starts right behind it.
func nextField(s string) (field, rest string) {
	s = strings.TrimLeft(s, " ")
	if i := strings.IndexByte(s, ' '); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

// parseUnixDate reads "Nov 20 07:15", "20 Nov 2026", "20. Nov 07:15" or "2026-11-20 07:15", and the name behind: after one
// space, since names may begin with spaces.
func parseUnixDate(s string, now time.Time, zone *time.Location) (t time.Time, precise bool, name string, ok bool) {
	first, rest := nextField(s)
	second, rest := nextField(rest)
	if len(first) == len(time.DateOnly) && first[4] == '-' {
		t, precise, rest, ok = isoTime(first, second, rest, zone)
		return t, precise, strings.TrimPrefix(rest, " "), ok && rest != ""
	}
	third, rest := nextField(rest)
	month, day := first, second
	if first != "" && isDigit(first[0]) {
		month, day = second, first
	}
	t, ok = unixTime(month, strings.TrimSuffix(day, "."), third, now, zone)
	return t, false, strings.TrimPrefix(rest, " "), ok && rest != ""
}

// isoTime reads the times of "ls --time-style": "07:15", or "07:15:00.000000000 +0100", which is exact.
func isoTime(day, clock, rest string, zone *time.Location) (t time.Time, precise bool, after string, ok bool) {
	date := day + " " + clock
	if t, err := time.ParseInLocation("2006-01-02 15:04", date, zone); err == nil {
		return t, false, rest, true
	}
	offset, after := nextField(rest)
	t, err := time.Parse("2006-01-02 15:04:05 -0700", date+" "+offset)
	return t.UTC(), err == nil, after, err == nil
}

// unixTime reads a date whose last word is a year, or a time of day within the last twelve months.
func unixTime(month, day, last string, now time.Time, zone *time.Location) (time.Time, bool) {
	if !strings.Contains(last, ":") {
		t, err := time.ParseInLocation("Jan 2 2006", month+" "+day+" "+last, zone)
		return t, err == nil
	}
	// 2000 was a leap year, so that 29 February parses; the year is found afterwards.
	t, err := time.Parse("2006 Jan 2 15:04", "2000 "+month+" "+day+" "+last)
	if err != nil {
		return time.Time{}, false
	}
	latest := now.Add(24 * time.Hour) // clocks differ
	for year := now.In(zone).Year() + 1; ; year-- {
		u := time.Date(year, t.Month(), t.Day(), t.Hour(), t.Minute(), 0, 0, zone)
		if !u.After(latest) && u.Month() == t.Month() {
			return u, true
		}
	}
}

// parseDOSLine reads "11-20-26  07:15AM       1234 name" and "2026-11-20  07:15  <DIR>  name", as IIS prints them.
func parseDOSLine(line string, zone *time.Location) Entry {
	date, rest := nextField(line)
	clock, rest := nextField(rest)
	t, ok := dosTime(date, clock, zone)
	if !ok {
		return lost(line, "neither ls nor DIR format")
	}
	what, rest := nextField(rest)
	e := Entry{Size: -1, ModTime: t}
	switch what {
	case "<DIR>":
		e.Kind = Dir
	case "<JUNCTION>", "<SYMLINK>", "<SYMLINKD>":
		e.Kind = Link
	default:
		size, err := strconv.ParseInt(what, 10, 64)
		if err != nil || size < 0 {
			return lost(line, fmt.Sprintf("bad size %q", what))
		}
		e.Kind, e.Size = File, size
	}
	if e.Kind != File {
		rest = strings.TrimLeft(rest, " ") // the column is padded
	}
	e.Name = strings.TrimPrefix(rest, " ")
	if target := strings.LastIndex(e.Name, " ["); e.Kind == Link && target > 0 && strings.HasSuffix(e.Name, "]") {
		e.Name, e.Target = e.Name[:target], e.Name[target+2:len(e.Name)-1]
	}
	if isDots(e.Name) {
		return e
	}
	return checked(e)
}

// dosTime reads the date formats of DIR. Month first, as IIS writes it, unless that cannot be or the date is written with
// dots.
func dosTime(date, clock string, zone *time.Location) (time.Time, bool) {
	layouts := []string{"01-02-06", "02-01-06", "01-02-2006", "02-01-2006", "2006-01-02"}
	if strings.Contains(date, ".") {
		layouts = []string{"02.01.06", "02.01.2006"}
	}
	date = strings.ReplaceAll(date, "/", "-")
	for _, layout := range layouts {
		for _, hours := range []string{"03:04PM", "15:04"} {
			if t, err := time.ParseInLocation(layout+" "+hours, date+" "+clock, zone); err == nil {
				return t, true
			}
		}
	}
	return time.Time{}, false
}
