package schedule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Status is the record that the host keeps of a timer, in the blob timers/<host id>/Host.Functions.<function>/status. A zero
// Last or LastUpdated means never yet, a zero Next means never.
//
// Its JSON is the host's: times of the zone that they are in, with up to seven decimals and an offset, the year 1 or 9999
// for never.
type Status struct {
	Last        time.Time // start of the last run
	Next        time.Time // the occurrence after that
	LastUpdated time.Time // the time from which Next was computed

	// asRead are the texts of the three as they were read, where the host would write them back unchanged instead of in
	// its own zone: times in Z and times without an offset.
	asRead [3]string
}

// ParseStatus reads a status record. Times without an offset are times of the zone. An absent record (no text, or null) is
// nil; a record without a time has the zero time there.
func ParseStatus(data []byte, zone *time.Location) (*Status, error) {
	if data = bytes.TrimSpace(data); len(data) == 0 || string(data) == "null" {
		return nil, nil
	}
	const never = "0001-01-01T00:00:00"
	text := struct{ Last, Next, LastUpdated string }{never, never, never}
	if err := json.Unmarshal(data, &text); err != nil {
		return nil, fmt.Errorf("read timer status: %w", err)
	}
	var s Status
	for i, part := range []struct {
		name, text string
		time       *time.Time
	}{{"Last", text.Last, &s.Last}, {"Next", text.Next, &s.Next}, {"LastUpdated", text.LastUpdated, &s.LastUpdated}} {
		t, err := time.Parse(time.RFC3339Nano, part.text)
		if err != nil {
			t, err = time.ParseInLocation("2006-01-02T15:04:05.999999999", part.text, zone)
			s.asRead[i] = part.text
		} else if strings.HasSuffix(part.text, "Z") {
			s.asRead[i] = part.text
		}
		if err != nil {
			return nil, fmt.Errorf("read timer status: %s %q: want a time such as 2026-03-29T03:30:00+02:00", part.name, part.text)
		}
		if t.Year() > 1 && t.Year() < 9999 {
			*part.time = t.In(zone)
		}
	}
	return &s, nil
}

// Text is the record as the host writes it in the zone.
func (s Status) Text(zone *time.Location) string {
	next := hostNever(zone)
	if !s.Next.IsZero() {
		next = s.Next
	}
	texts := s.asRead
	for i, t := range []time.Time{s.Last, next, s.LastUpdated} {
		if texts[i] == "" {
			texts[i] = hostTime(t, zone)
		}
	}
	return fmt.Sprintf(`{"Last":%q,"Next":%q,"LastUpdated":%q}`, texts[0], texts[1], texts[2])
}

func hostTime(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		zone = hostYearOne(zone)
		if t = t.In(zone); t.Year() < 1 {
			t = time.Date(1, 1, 1, 0, 0, 0, 0, zone)
		}
	}
	return t.In(zone).Format("2006-01-02T15:04:05.9999999-07:00")
}

// hostYearOne is the offset that .NET has for a zone in the year 1: the standard time of today, and what the local mean time
// of the town differs from it, in whole minutes.
func hostYearOne(zone *time.Location) *time.Location {
	_, mean := time.Time{}.In(zone).Zone()
	winter := time.Date(2026, 1, 1, 0, 0, 0, 0, zone)
	if winter.IsDST() {
		winter = winter.AddDate(0, 6, 0)
	}
	_, standard := winter.Zone()
	return time.FixedZone("", standard+(mean-standard)/60*60)
}

// hostNever is .NET's last moment, on the clock of the zone.
func hostNever(zone *time.Location) time.Time {
	return time.Date(9999, 12, 31, 23, 59, 59, 999999900, zone)
}

// Start is what the host makes of a timer when its listener starts.
type Start struct {
	Status  Status        // to go on with
	Write   *Status       // to be stored first, if not nil
	PastDue time.Duration // more than zero: run at once, as past due; else wait for Status.Next
}

// Start judges the stored status, nil if there is none, as the host does at the start of a listener. A run that was missed
// is made up for once. A new timer, and one whose schedule was changed since, waits for its next occurrence.
func (s Schedule) Start(stored *Status, now time.Time, zone *time.Location) Start {
	if stored == nil {
		next := s.Next(now, zone)
		return Start{Status: Status{Next: next}, Write: &Status{Next: next, LastUpdated: now}}
	}
	status, write := *stored, (*Status)(nil)
	base := now
	switch {
	case !status.Last.IsZero():
		base = status.Last
	case !status.LastUpdated.IsZero():
		base = status.LastUpdated
	}
	if next := s.Next(base, zone); !next.Equal(status.Next) {
		if now.After(next) {
			next, base = s.Next(now, zone), now
		}
		status = Status{Next: next, LastUpdated: base}
		write = &status
	}
	start := Start{Status: status, Write: write}
	if !status.Next.IsZero() && now.After(status.Next) {
		start.PastDue = now.Sub(status.Next)
	}
	return start
}

// Ran is the status after a run that started at the given time. When the clock made the timer fire a little before the
// occurrence that it was for, pass that occurrence, or it would run again.
func (s Schedule) Ran(started time.Time, zone *time.Location) Status {
	return Status{Last: started, Next: s.Next(started, zone), LastUpdated: started}
}

// Description is the schedule as in the host's log: Cron: '0 30 2 * * *', or Constant: 00:30:00.
func (s Schedule) Description() string {
	if s.kind == TimeSpan {
		return "Constant: " + s.Normalized()
	}
	return "Cron: '" + s.Normalized() + "'"
}

// Occurrences lists the next five after now, one a line, as in the host's log: MM/dd/yyyy HH:mm:ss with the offset, and in UTC.
func (s Schedule) Occurrences(now time.Time, zone *time.Location) string {
	const layout = "01/02/2006 15:04:05"
	var b strings.Builder
	for range 5 {
		now = s.Next(now, zone)
		t := now
		if now.IsZero() {
			t = hostNever(zone)
		}
		utc := t.UTC().Format(layout) + "Z"
		if zone == time.UTC {
			fmt.Fprintln(&b, utc)
		} else {
			fmt.Fprintf(&b, "%s (%s)\n", t.Format(layout+"-07:00"), utc)
		}
	}
	return b.String()
}
