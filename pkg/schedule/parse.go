package schedule

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// field describes one of the six places of a cron expression.
type field struct {
	name     string
	min, max int
	names    []string // full English names, in order of their values from min
}

const (
	second = iota
	minute
	hour
	day
	month
	weekday
)

var fields = [...]field{
	second: {name: "second", max: 59},
	minute: {name: "minute", max: 59},
	hour:   {name: "hour", max: 23},
	day:    {name: "day of month", min: 1, max: 31},
	month: {name: "month", min: 1, max: 12, names: []string{"January", "February", "March", "April", "May", "June",
		"July", "August", "September", "October", "November", "December"}},
	weekday: {name: "day of week", max: 6, names: []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday",
		"Saturday"}},
}

// all is the set of every value that the field can have.
func (f field) all() uint64 { return span(f.min, f.max) }

func (f field) want() string {
	if f.names == nil {
		return fmt.Sprintf("want %d-%d, *, a list, a range or a step such as */5", f.min, f.max)
	}
	return fmt.Sprintf("want %d-%d, an English name such as %s, *, a list, a range or a step",
		f.min, f.max, strings.ToUpper(f.names[0][:3]))
}

// span is the set of the values from a to b.
func span(a, b int) uint64 { return (1<<(b+1) - 1) &^ (1<<a - 1) }

// parseCron reads five or six fields. A warning goes to note, which must not be nil.
func parseCron(tokens []string, note func(string, ...any)) (sets [6]uint64, err error) {
	places := fields[:]
	if len(tokens) == 5 {
		sets[second] = 1
		places = fields[minute:]
	}
	for i, f := range places {
		set, err := f.parse(tokens[i], note)
		if err != nil {
			return sets, fmt.Errorf("%s %q: %w; %s", f.name, tokens[i], err, f.want())
		}
		sets[len(fields)-len(places)+i] = set
	}
	return sets, nil
}

// parse reads a list such as 1-5,10/2. As in the host a leading comma is no list.
func (f field) parse(text string, note func(string, ...any)) (set uint64, err error) {
	items := []string{text}
	if strings.Index(text, ",") > 0 {
		items = strings.Split(text, ",")
	}
	for _, item := range items {
		one, err := f.parseItem(item, note)
		if err != nil {
			return 0, err
		}
		set |= one
	}
	return set, nil
}

func (f field) parseItem(text string, note func(string, ...any)) (uint64, error) {
	if text == "" {
		return 0, errors.New("an item of the list is empty")
	}
	head, step, stepped := text, 1, false
	if i := strings.Index(text, "/"); i > 0 {
		var err error
		if step, err = parseInt(text[i+1:]); err != nil {
			return 0, fmt.Errorf("step %q %w", text[i+1:], err)
		}
		head, stepped = text[:i], true
		if step < 1 {
			note("%s %q: a step of %d counts as 1", f.name, text, step)
			step = 1
		}
	}
	if head == "*" {
		return f.pick(f.min, f.max, step, text, note)
	}
	low, high, ranged := head, "", false
	if i := strings.Index(head, "-"); i > 0 {
		low, high, ranged = head[:i], head[i+1:], true
	}
	first, err := f.value(low, note)
	if err != nil {
		return 0, err
	}
	last := first
	switch {
	case ranged:
		if last, err = f.value(high, note); err != nil {
			return 0, err
		}
	case stepped:
		last = f.max
	}
	for _, v := range []int{first, last} {
		if v < f.min || v > f.max {
			return 0, fmt.Errorf("%d is outside %d-%d", v, f.min, f.max)
		}
	}
	if first > last {
		note("%s %q: a range does not wrap around; it counts as %d-%d", f.name, text, last, first)
		first, last = last, first
	}
	return f.pick(first, last, step, text, note)
}

// pick is the set first, first+step, … up to last.
func (f field) pick(first, last, step int, text string, note func(string, ...any)) (uint64, error) {
	if first-f.min+step > math.MaxInt32 {
		return 0, fmt.Errorf("step %d is too large", step)
	}
	if step > last-first && last > first {
		note("%s %q: the step goes past the end, so only %d is left", f.name, text, first)
	}
	var set uint64
	for v := first; v <= last; v += step {
		set |= 1 << v
	}
	return set, nil
}

// value reads a number, or a prefix of an English name: the first name that begins so, whatever the case.
func (f field) value(text string, note func(string, ...any)) (int, error) {
	if text == "" {
		return 0, errors.New("a value is missing")
	}
	if text[0] >= '0' && text[0] <= '9' {
		v, err := parseInt(text)
		if err != nil {
			return 0, fmt.Errorf("%q %w", text, err)
		}
		return v, nil
	}
	prefix := strings.Map(visible, text)
	for i, name := range f.names {
		if n := utf8.RuneCountInString(prefix); n <= len(name) && strings.EqualFold(name[:n], prefix) {
			if n < 3 {
				note("%s %q: counts as %s", f.name, text, name)
			}
			return f.min + i, nil
		}
	}
	if f.names == nil {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return 0, fmt.Errorf("%q is neither a number nor a name", text)
}

// visible drops what the host's culture-aware comparison of names ignores: soft hyphens, joiners and control
// characters, as copying from a web page leaves them behind.
func visible(r rune) rune {
	if unicode.Is(unicode.Cf, r) || unicode.IsControl(r) && !unicode.IsSpace(r) {
		return -1
	}
	return r
}

// parseInt reads what .NET's Int32.Parse takes: white space around it, a sign, and null characters at the end.
func parseInt(text string) (int, error) {
	const space = "\t\n\v\f\r "
	digits := strings.TrimLeft(text, space)
	digits = strings.TrimRight(strings.TrimRight(digits, "\x00"), space)
	v, err := strconv.ParseInt(digits, 10, 32)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, errors.New("is too large")
	case err != nil:
		return 0, errors.New("is not a whole number")
	}
	return int(v), nil
}

// format writes the set as the host does: * for everything, else runs such as 1-5 between commas.
func (f field) format(b *strings.Builder, set uint64) {
	if set == f.all() {
		b.WriteByte('*')
		return
	}
	for first := true; set != 0; first = false {
		low := bits.TrailingZeros64(set)
		high := low + bits.TrailingZeros64(^(set >> low)) - 1
		set &^= span(low, high)
		if !first {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(low))
		if high > low {
			b.WriteByte('-')
			b.WriteString(strconv.Itoa(high))
		}
	}
}
