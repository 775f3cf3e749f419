package schedule

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says which of its two languages a schedule is written in.
type Kind int

const (
	Cron     Kind = iota // {second} {minute} {hour} {day of month} {month} {day of week}, or five fields without the second
	TimeSpan             // a fixed span from run to run, for example 00:30:00
)

func (k Kind) String() string {
	if k == TimeSpan {
		return "timespan"
	}
	return "cron"
}

// A Schedule says when a timer runs. It is immutable; the zero value never runs.
type Schedule struct {
	text  string
	kind  Kind
	short bool      // five fields
	sets  [6]uint64 // bit v of a field: the value v is in it
	span  ticks
}

var errEmpty = errors.New("the schedule is empty; want for example 0 30 2 * * *")

// Parse reads a schedule as the Functions host does: cron first, and a TimeSpan if that fails. %Setting% must already be
// resolved. The error names the field and what it may hold.
func Parse(text string) (Schedule, error) { return parse(text, func(string, ...any) {}) }

func parse(text string, note func(string, ...any)) (Schedule, error) {
	s := Schedule{text: text}
	tokens := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' })
	var cronErr error
	switch len(tokens) {
	case 5, 6:
		s.short = len(tokens) == 5
		if s.sets, cronErr = parseCron(tokens, note); cronErr == nil {
			return s, nil
		}
	case 0:
		return Schedule{}, errEmpty
	default:
		cronErr = fmt.Errorf("%d fields where six are wanted: second minute hour day month weekday, for example 0 30 2 * * *", len(tokens))
	}
	var err error
	s.kind, s.short, s.sets = TimeSpan, false, [6]uint64{}
	if s.span, err = parseTimeSpan(text); err == nil {
		return s, nil
	}
	if len(tokens) == 1 && strings.Contains(text, ":") {
		cronErr = err
	}
	return Schedule{}, fmt.Errorf("parse schedule %q: %w", text, cronErr)
}

// UnmarshalText is Parse, for settings.
func (s *Schedule) UnmarshalText(text []byte) (err error) {
	*s, err = Parse(string(text))
	return err
}

// MarshalText is the text that was parsed.
func (s Schedule) MarshalText() ([]byte, error) { return []byte(s.text), nil }

// String is the text that was parsed.
func (s Schedule) String() string { return s.text }

// IsZero says that nothing was parsed.
func (s Schedule) IsZero() bool { return s == Schedule{} }

// Kind is the language of the schedule.
func (s Schedule) Kind() Kind { return s.kind }

// Normalized is the schedule as the host prints it: numbers, no names or steps, sorted, * for a full field; a TimeSpan as
// [-][d.]hh:mm:ss[.fffffff].
func (s Schedule) Normalized() string {
	if s.kind == TimeSpan {
		return s.span.String()
	}
	var b strings.Builder
	for i, f := range fields {
		if i == second && s.short {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		f.format(&b, s.sets[i])
	}
	return b.String()
}

// Interval says that a repeated hour is run through twice: a cron schedule with a run of values (or all of them) in its
// second, minute or hour. Any other runs once in it, in the first pass.
func (s Schedule) Interval() bool {
	for _, set := range s.sets[second : hour+1] {
		if set&(set>>1) != 0 {
			return true
		}
	}
	return false
}

// Monitored says whether the host keeps a status record for the schedule when asked to (useMonitor): only if it runs at
// most once a minute.
func (s Schedule) Monitored() bool {
	if s.kind == TimeSpan {
		return s.span >= ticksPerMinute
	}
	return s.sets[second]&(s.sets[second]-1) == 0
}
