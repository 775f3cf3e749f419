package localhost

import (
	"fmt"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/localhost/internal/netjson"
	"github.com/nightshift-hq/nightshift/pkg/schedule"
)

// timerStatus is the host's record of a timer: when it last ran and when it is due.
type timerStatus struct {
	last, next, updated stamp
}

// stamp is a .NET DateTime: its text tells whether it was local, UTC or of no zone.
type stamp struct {
	time.Time
	suffix string // "local", "Z" or ""
}

const (
	stampLayout = "2006-01-02T15:04:05.9999999"
	stampLocal  = "local"
)

// localStamp is a time as .NET keeps it: 100 ns resolution.
func localStamp(t time.Time) stamp { return stamp{t.Truncate(100), stampLocal} }

func (s stamp) text(local *time.Location) string {
	if s.suffix == stampLocal {
		return s.In(local).Format(stampLayout + "-07:00")
	}
	return s.Format(stampLayout) + s.suffix
}

// json is the record as the host writes it.
func (t timerStatus) json(local *time.Location) string {
	return fmt.Sprintf(`{"Last":"%s","Next":"%s","LastUpdated":"%s"}`, t.last.text(local), t.next.text(local), t.updated.text(local))
}

// parseStatus reads a stored record; fields that are missing are the zero time.
func parseStatus(text string, local *time.Location) (timerStatus, error) {
	doc, err := netjson.Parse(text)
	if err != nil {
		return timerStatus{}, err
	}
	if doc.Kind != netjson.Object {
		return timerStatus{}, fmt.Errorf("must be a JSON object, got %s", doc.Kind)
	}
	var t timerStatus
	for name, field := range map[string]*stamp{"Last": &t.last, "Next": &t.next, "LastUpdated": &t.updated} {
		v, _ := doc.Get(name)
		if *field, err = parseStamp(v.Text, local); err != nil {
			return timerStatus{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return t, nil
}

func parseStamp(text string, local *time.Location) (stamp, error) {
	if text == "" {
		return stamp{suffix: stampLocal}, nil
	}
	if t, err := time.ParseInLocation("2006-01-02T15:04:05.999999999", text, local); err == nil {
		return stamp{t, ""}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return stamp{}, fmt.Errorf("%q is not a time", text)
	}
	if strings.HasSuffix(text, "Z") {
		return stamp{t, "Z"}, nil
	}
	return localStamp(t), nil
}

// startTimer judges the stored record when a timer's listener starts: the record that holds from now on, what must be
// written (nil: nothing), and whether a run was missed. stored is nil when there is no record.
func startTimer(s schedule.Schedule, stored *timerStatus, now time.Time, local *time.Location) (held timerStatus, write *timerStatus, pastDue bool) {
	due := func(after time.Time) stamp { return localStamp(s.Next(after, local)) }
	if stored == nil {
		held = timerStatus{last: localStamp(time.Time{}), next: due(now), updated: localStamp(time.Time{})}
		first := held
		first.updated = localStamp(now)
		return held, &first, false
	}
	base := stored.last
	if base.IsZero() {
		base = stored.updated
	}
	if base.IsZero() {
		base = localStamp(now)
	}
	expected := due(base.Time)
	if !expected.Equal(stored.next.Time) {
		if expected.Before(now) {
			base, expected = localStamp(now), due(now)
		}
		changed := timerStatus{last: localStamp(time.Time{}), next: expected, updated: base}
		return changed, &changed, false
	}
	return *stored, nil, now.After(stored.next.Time)
}
