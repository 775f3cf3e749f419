package schedule_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/schedule"
)

func parsed(t testing.TB, expr, zone string) (schedule.Schedule, *time.Location) {
	t.Helper()
	s, err := schedule.Parse(expr)
	if err != nil {
		t.Fatal(err)
	}
	z, err := schedule.LoadZone(zone)
	if err != nil {
		t.Fatal(err)
	}
	return s, z.Location()
}

func TestStartJudgesPastDueAsTheHost(t *testing.T) {
	t.Parallel()
	type record struct {
		Zone, Expr, Error        string
		Now                      time.Time
		Status, Written          *string
		PastDueBy, Interval      string
		IsPastDue                bool
		ListenerStatus, AfterRun string
	}
	for _, v := range vectors[record](t, "pastdue.json") {
		s, zone := parsed(t, v.Expr, v.Zone)
		text := ""
		if v.Status != nil {
			text = *v.Status
		}
		name := fmt.Sprintf("%s %q at %v with %s", v.Zone, v.Expr, v.Now, text)
		stored, err := schedule.ParseStatus([]byte(text), zone)
		if v.Error != "" {
			// The host fails on these. Ours refuses what is no JSON, and takes the rest for a timer that never ran.
			if broken := text == "not json"; broken != (err != nil) {
				t.Errorf("%s: error %v", name, err)
			}
			continue
		}
		if strings.HasPrefix(text, `{"Last":"0001-01-01T00:00:00Z"`) && v.Zone == "America/New_York" {
			// West of Greenwich the host takes the year 1 in Z for a run, and so makes up for none. It never writes that itself.
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		start := s.Start(stored, v.Now, zone)
		if got := start.PastDue > 0; got != v.IsPastDue || netSpan(start.PastDue) != v.PastDueBy {
			t.Errorf("%s: past due %v, want %v", name, start.PastDue, v.PastDueBy)
			continue
		}
		want := "nothing"
		if v.Written != nil {
			want = *v.Written
		}
		if got := written(start.Write, zone); got != want {
			t.Errorf("%s:\nwrote %s\nwant  %s", name, got, want)
		}
		if got := start.Status.Text(zone); got != v.ListenerStatus {
			t.Errorf("%s:\nlistens with %s\nwant         %s", name, got, v.ListenerStatus)
		}
		run := start.Status.Next
		if v.IsPastDue {
			run = v.Now
		}
		if got := s.Ran(run, zone).Text(zone); !run.IsZero() && got != v.AfterRun {
			t.Errorf("%s:\nafter the run %s\nwant          %s", name, got, v.AfterRun)
		}
	}
}

func written(s *schedule.Status, zone *time.Location) string {
	if s == nil {
		return "nothing"
	}
	return s.Text(zone)
}

// netSpan writes a duration as .NET does.
func netSpan(d time.Duration) string {
	text := fmt.Sprintf("%02d:%02d:%02d", int(d.Hours())%24, int(d.Minutes())%60, int(d.Seconds())%60)
	if days := int(d.Hours()) / 24; days > 0 {
		text = fmt.Sprintf("%d.%s", days, text)
	}
	if f := d % time.Second; f > 0 {
		text += fmt.Sprintf(".%07d", f/100)
	}
	return text
}

func TestOccurrencesReadAsInTheHostsLog(t *testing.T) {
	t.Parallel()
	type record struct {
		Zone, Expr, Error, ToString, Occurrences string
		Now                                      time.Time
	}
	for _, v := range vectors[record](t, "format.json") {
		s, zone := parsed(t, v.Expr, v.Zone)
		if got := s.Description(); got != v.ToString {
			t.Errorf("%q is %q, want %q", v.Expr, got, v.ToString)
		}
		got := s.Occurrences(v.Now, zone)
		if v.Error == "" && got != v.Occurrences {
			t.Errorf("%s %q after %v:\n%s\nwant\n%s", v.Zone, v.Expr, v.Now, got, v.Occurrences)
		}
		if strings.Count(got, "\n") != 5 {
			t.Errorf("%s %q: %q are not five lines", v.Zone, v.Expr, got)
		}
	}
}
