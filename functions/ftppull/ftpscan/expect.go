package ftpscan

import (
	"fmt"
	"strings"
	"time"
)

// Expectation is a file that must have arrived by a time of day, such as "hr/*.csv by 06:00".
type Expectation struct {
	Files string        // glob below the source directory
	By    time.Duration // since midnight, wall clock
}

// Expectations is the setting's form: several, separated by ";".
type Expectations []Expectation

// UnmarshalText reads "GLOB by HH:MM; …".
func (e *Expectations) UnmarshalText(text []byte) error {
	all, err := list(text, parseExpectation)
	*e = all
	return err
}

func parseExpectation(item string) (Expectation, error) {
	glob, clock, found := strings.Cut(item, " by ")
	glob = strings.TrimSpace(glob)
	if !found || glob == "" {
		return Expectation{}, fmt.Errorf("%q has no deadline; wanted GLOB by HH:MM, such as hr/*.csv by 06:00", item)
	}
	if err := checkGlob(glob); err != nil {
		return Expectation{}, err
	}
	at, err := time.Parse("15:04", strings.TrimSpace(clock))
	if err != nil {
		return Expectation{}, fmt.Errorf("%q is no time of day; wanted HH:MM, such as 06:00", clock)
	}
	return Expectation{Files: glob, By: time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute}, nil
}

func (e Expectation) String() string {
	return fmt.Sprintf("%s by %02d:%02d", e.Files, int(e.By.Hours()), int(e.By.Minutes())%60)
}

// deadline is the latest one at or before now.
func (e Expectation) deadline(now time.Time, zone *time.Location) time.Time {
	local := now.In(zone)
	at := func(day int) time.Time {
		return time.Date(local.Year(), local.Month(), day, int(e.By.Hours()), int(e.By.Minutes())%60, 0, 0, zone)
	}
	if today := at(local.Day()); !today.After(now) {
		return today
	}
	return at(local.Day() - 1)
}

// window is how long before its deadline a file counts as this day's.
const window = 24 * time.Hour

// missed lists the expectations whose deadline has passed, unreported, without a matching file. An expectation is judged
// only from its first deadline after the record began, so that a new installation raises no alarm about yesterday.
func (s *State) missed(expect Expectations, now time.Time, zone *time.Location) []Expectation {
	var missed []Expectation
	for _, e := range expect {
		deadline := e.deadline(now, zone)
		last, judged := s.Alarmed[e.String()]
		if !judged {
			s.Alarmed[e.String()] = deadline
			continue
		}
		if last.Before(deadline) && !s.arrived(e, deadline.Add(-window)) {
			missed = append(missed, e)
		}
	}
	return missed
}

func (s *State) arrived(e Expectation, since time.Time) bool {
	for path, known := range s.Known {
		if known.Handed.After(since) && matches(e.Files, path) {
			return true
		}
	}
	return false
}
