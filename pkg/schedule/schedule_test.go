package schedule_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/schedule"
)

func TestParseErrorsNameTheFieldAndWhatItMayHold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"0 60 * * * *":          {`minute "60"`, "60 is outside 0-59", "want 0-59"},
		"0 0 24 * * *":          {`hour "24"`, "outside 0-23"},
		"0 0 0 32 * *":          {`day of month "32"`, "outside 1-31"},
		"0 0 0 * 0 *":           {`month "0"`, "outside 1-12", "an English name such as JAN"},
		"0 0 * * 7":             {`day of week "7"`, "outside 0-6", "SUN"},
		"0 0 0 * * ?":           {`day of week "?"`, "neither a number nor a name"},
		"0 0 0 L * *":           {`day of month "L"`, `"L" is not a number`},
		"0 */x * * * *":         {`minute "*/x"`, `step "x" is not a whole number`},
		"0 1,,2 * * * *":        {`minute "1,,2"`, "an item of the list is empty"},
		"0 1- * * * *":          {`minute "1-"`, "a value is missing"},
		"99999999999 0 0 * * *": {"second", "is too large"},
		"* * *":                 {"3 fields where six are wanted: second minute hour day month weekday, for example 0 30 2 * * *"},
		"@daily":                {`"@daily"`, "six are wanted"},
		"24:60:00":              {"want [days.]hours:minutes:seconds, for example 00:30:00"},
		"":                      {"the schedule is empty"},
	} {
		_, err := schedule.Parse(text)
		if err == nil {
			t.Errorf("%q is accepted", text)
			continue
		}
		for _, part := range want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %v; want it to say %s", text, err, part)
			}
		}
	}
}

func TestWarningsTellWhatNobodyMeans(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0 30 2 * * *":      "",
		"0 */5 * * * *":     "",
		"0 9 * * MON-FRI":   "",
		"0 0 0 * Sept *":    "",
		"00:30:00":          "",
		"1.00:00:00":        "",
		"1:00:00:00":        "",
		"-00:05:00":         "not longer than zero",
		"00:00:00":          "not longer than zero",
		"0":                 "not longer than zero",
		"24:00:00":          "is 24 days",
		"25:10:00":          "is 25 days",
		"5":                 "is 5 days",
		"00:00:30":          "more than once a minute",
		"*/15 * * * * *":    "more than once a minute",
		"0 */0 * * * *":     "a step of 0 counts as 1",
		"0 5/-1 * * * *":    "a step of -1 counts as 1",
		"0 */100 * * * *":   "the step goes past the end, so only 0 is left",
		"0 0 22-2 * * *":    "a range does not wrap around; it counts as 2-22",
		"0 0 0 * * FRI-MON": "a range does not wrap around; it counts as 1-5",
		"0 0 0 * * T":       "counts as Tuesday",
		"0 0 0 1 JU *":      "counts as June",
		"0 0 0 31 2 *":      "never runs",
		"0 0 0 31 4,6 *":    "never runs",
		"0 0 9 13 * 5":      "runs only on days that are both",
	} {
		s, err := schedule.Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		got := strings.Join(s.Warnings(), "\n")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: warnings %q, want %q", text, got, want)
		}
	}
}

func TestValidateRefusesWhatNeverRuns(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"0 0 0 29 2 *": true, "0 0 0 29 2 1": true, "0 0 0 31 12 *": true, "0 0 0 31 * *": true, "24:00:00": true,
		"0 0 0 30 2 *": false, "0 0 0 31 4,6,9,11 *": false, "00:00": false, "-1": false,
	} {
		s, err := schedule.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := (schedule.Schedule{}).Validate(); err == nil {
		t.Error("the empty schedule is valid")
	}
}

func TestTheEmptyScheduleNeverRuns(t *testing.T) {
	t.Parallel()
	var s schedule.Schedule
	if next := s.Next(time.Now(), time.UTC); !next.IsZero() {
		t.Errorf("next %v", next)
	}
	if previous := s.Previous(time.Now(), time.UTC); !previous.IsZero() {
		t.Errorf("previous %v", previous)
	}
	if !s.IsZero() {
		t.Error("not zero")
	}
}

func TestNextEndsWithTheYear9999(t *testing.T) {
	t.Parallel()
	end := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	for _, expr := range []string{"* * * * * *", "0 0 0 1 1 *", "00:00:01", "10675199.02:48:05.4775807"} {
		s, zone := parsed(t, expr, "UTC")
		if next := s.Next(end, zone); !next.IsZero() {
			t.Errorf("%s: %v", expr, next)
		}
	}
}

func TestTextsRoundTrip(t *testing.T) {
	t.Parallel()
	type config struct {
		At schedule.Schedule
		In schedule.Zone
	}
	const text = `{"At":"0 0 9 * * MON","In":"W. Europe Standard Time"}`
	var c config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	if c.In.Location().String() != "Europe/Berlin" || c.At.String() != "0 0 9 * * MON" {
		t.Errorf("got %v %v", c.At, c.In.Location())
	}
	if back, err := json.Marshal(c); err != nil || string(back) != text {
		t.Errorf("%s, %v", back, err)
	}
	for _, bad := range []string{`{"At":"0 0 24 * * *"}`, `{"In":"Nowhere"}`} {
		if err := json.Unmarshal([]byte(bad), &c); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func TestLoadZoneRefusesWithAHint(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"europe/warsaw":         `did you mean "Europe/Warsaw"?`,
		"Europe/Warsaw ":        "want a Windows name such as",
		"":                      "want a Windows name such as",
		"Local":                 "want a Windows name such as",
		"../UTC":                "want a Windows name such as",
		"Eastern Daylight Time": "want a Windows name such as",
	} {
		z, err := schedule.LoadZone(name)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %s", name, z, err, want)
		}
	}
	var zero schedule.Zone
	if zero.String() != "UTC" || zero.Location() != time.UTC || zero.Windows() != "UTC" {
		t.Errorf("the zero zone is %v %v %q", zero, zero.Location(), zero.Windows())
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"0 30 2 * * *", "*/5 * * * *", "0 0 0 31 2 *", "1,2-5,*/7 5/2 22-2 * JAN-mar T", "24:00:00", "-1.02:03:04.5",
		"0 5\x00 * * * *", "0 1-5/2147483647 * * * *", "00:00:00.00000001", " 5 "} {
		f.Add(text, int64(1774747800))
	}
	zone := time.FixedZone("", 3600)
	f.Fuzz(func(t *testing.T, text string, at int64) {
		s, err := schedule.Parse(text)
		if err != nil {
			return
		}
		s.Warnings()
		again, err := schedule.Parse(s.Normalized())
		if err != nil || again.Normalized() != s.Normalized() || again.Interval() != s.Interval() || again.Monitored() != s.Monitored() {
			t.Fatalf("%q normalizes to %q, which is %q (%v)", text, s.Normalized(), again.Normalized(), err)
		}
		after := time.Unix(at%lastUnix, 0)
		next := s.Next(after, zone)
		if s.Validate() == nil && !next.IsZero() && !next.After(after) {
			t.Fatalf("%q: next after %v is %v", text, after, next)
		}
		if !again.Next(after, zone).Equal(next) {
			t.Fatalf("%q: its normalized form runs at another time than %v", text, next)
		}
	})
}

const lastUnix = 253402300800 // 10000-01-01

func FuzzLoadZone(f *testing.F) {
	for _, name := range []string{"UTC", "Europe/Warsaw", "w. europe standard time", "Local", "../etc/passwd", "UTC-02", ""} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		z, err := schedule.LoadZone(name)
		if err != nil {
			return
		}
		again, err := schedule.LoadZone(z.String())
		if err != nil || again.String() != z.String() || again.Location().String() != z.Location().String() {
			t.Fatalf("%q loads as %v, which loads as %v (%v)", name, z, again, err)
		}
		if z.Location() == time.Local {
			t.Fatalf("%q loads this machine's own zone", name)
		}
	})
}

func FuzzParseStatus(f *testing.F) {
	for _, text := range []string{"", "null", "{}", `{"Last":"2026-03-10T09:55:00Z","Next":"2026-03-10T10:00:00+02:00","LastUpdated":"2026-03-10T09:55:00.0123456"}`, "not json"} {
		f.Add(text)
	}
	zone := time.FixedZone("", 3600)
	f.Fuzz(func(t *testing.T, text string) {
		status, err := schedule.ParseStatus([]byte(text), zone)
		if err != nil || status == nil {
			return
		}
		if again, err := schedule.ParseStatus([]byte(status.Text(zone)), zone); err != nil || again.Text(zone) != status.Text(zone) {
			t.Fatalf("%q reads as %s, which does not read back: %v", text, status.Text(zone), err)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	for _, bench := range []struct{ name, expr, zone, base string }{
		{"EveryFiveMinutes", "0 */5 * * * *", "UTC", "2026-06-01T00:00:00Z"},
		{"Nightly", "0 30 2 * * *", "Europe/Warsaw", "2026-06-01T00:00:00Z"},
		{"NightlyInTheGap", "0 30 2 * * *", "Europe/Warsaw", "2026-03-29T00:59:00Z"},
		{"LeapDay", "0 0 0 29 2 1", "Europe/Warsaw", "2096-03-01T00:00:00Z"},
		{"Never", "0 0 0 31 2 *", "Europe/Warsaw", "2026-06-01T00:00:00Z"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s, zone := parsed(b, bench.expr, bench.zone)
			base, err := time.Parse(time.RFC3339, bench.base)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				s.Next(base, zone)
			}
		})
	}
}

func BenchmarkPrevious(b *testing.B) {
	s, zone := parsed(b, "0 30 2 * * 1", "Europe/Warsaw")
	base := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	b.ReportAllocs()
	for b.Loop() {
		s.Previous(base, zone)
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := schedule.Parse("0 */5 8-18 * * MON-FRI"); err != nil {
			b.Fatal(err)
		}
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	s, zone := parsed(t, "0 30 2 * * *", "Europe/Warsaw")
	base := time.Date(2026, 3, 28, 23, 0, 0, 0, time.UTC)
	if n := testing.AllocsPerRun(100, func() { s.Next(base, zone) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWarningsAreForPeople(t *testing.T) {
	t.Parallel()
	s, _ := parsed(t, "0 */0 22-2 13 * FRI", "UTC")
	want := []string{
		`minute "*/0": a step of 0 counts as 1`,
		`hour "22-2": a range does not wrap around; it counts as 2-22`,
		"day of month and day of week are both given: it runs only on days that are both",
	}
	if got := s.Warnings(); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
