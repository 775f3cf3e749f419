package schedule

import (
	"fmt"
	"strings"
	"time"
)

// Validate refuses a schedule that can be written down but cannot be meant: one that never runs, such as 31 February, and a
// TimeSpan that is not longer than zero.
func (s Schedule) Validate() error {
	if s.kind == TimeSpan {
		if s.span <= 0 {
			return fmt.Errorf("schedule %q is not longer than zero; want for example 00:30:00", s.text)
		}
		return nil
	}
	if s.IsZero() {
		return errEmpty
	}
	if s.Next(time.Unix(0, 0), time.UTC).IsZero() {
		return fmt.Errorf("schedule %q never runs: no such date exists; check the day of the month, the month and the day of the week", s.text)
	}
	return nil
}

const tooOften = "it runs more than once a minute: the host then keeps no record of the timer and makes up for no missed run"

// Warnings say in plain words where the schedule does something else than it seems to say. Most schedules have none.
func (s Schedule) Warnings() (warnings []string) {
	note := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	if err := s.Validate(); err != nil {
		note("%v", err)
	}
	if s.kind == TimeSpan {
		s.noteSpan(note)
		return warnings
	}
	// It was parsed before, so only the warnings are of interest.
	if _, err := parse(s.text, note); err != nil {
		note("%v", err)
	}
	if s.sets[day] != fields[day].all() && s.sets[weekday] != fields[weekday].all() {
		note("day of month and day of week are both given: it runs only on days that are both")
	}
	if !s.Monitored() {
		note(tooOften)
	}
	return warnings
}

func (s Schedule) noteSpan(note func(string, ...any)) {
	text := strings.TrimSpace(s.text)
	days := max(s.span, -s.span) / ticksPerDay
	number := !strings.ContainsAny(text, ":.")                               // 5
	shifted := strings.Count(text, ":") == 2 && !strings.Contains(text, ".") // 24:00:00, read as days:hours:minutes
	if days > 0 && (number || shifted) {
		note("%q is %d days; for hours or minutes write for example 1.00:00:00 (a day) or 00:05:00 (five minutes)", s.text, days)
	}
	if s.span > 0 && s.span < ticksPerMinute {
		note(tooOften)
	}
}
