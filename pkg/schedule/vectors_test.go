package schedule_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nightshift-hq/nightshift/pkg/schedule"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// vectors reads the records of one file that Microsoft's own classes wrote: the trimmed copy in testdata, and the full
// set where NIGHTSHIFT_CONTRACTS names a folder with it.
func vectors[T any](t *testing.T, file string) (all []T) {
	t.Helper()
	paths := []string{filepath.Join("testdata", file)}
	if dir := os.Getenv("NIGHTSHIFT_CONTRACTS"); dir != "" {
		paths = append(paths, filepath.Join(dir, "ncrontab", file))
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var some []T
		if err := json.Unmarshal(data, &some); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, some...)
	}
	if len(all) == 0 {
		t.Fatalf("no records in %v", paths)
	}
	return all
}

// resolve replaces %Setting% as the recording's resolver did.
func resolve(text string) (string, bool) {
	settings := map[string]string{"Setting": "0 */5 * * * *", "SpanSetting": "00:05:00", "Minutes": "*/10",
		"BadSetting": "nonsense", "EmptySetting": ""}
	parts := strings.Split(text, "%")
	for i := 1; i < len(parts); i += 2 {
		value, ok := settings[parts[i]]
		if !ok {
			return "", false
		}
		parts[i] = value
	}
	return strings.Join(parts, ""), len(parts)%2 == 1
}

func TestParseAgreesWithTheHost(t *testing.T) {
	t.Parallel()
	type record struct {
		Expr, Kind, Normalized, ToString string
		Accepted, IsInterval, UseMonitor bool
	}
	for _, v := range vectors[record](t, "parse.json") {
		text, ok := resolve(v.Expr)
		s, err := schedule.Parse(text)
		if got := ok && err == nil; got != v.Accepted {
			t.Errorf("%q: accepted %v, want %v (%v)", v.Expr, got, v.Accepted, err)
			continue
		}
		if !v.Accepted {
			continue
		}
		if s.Kind().String() != v.Kind || s.Normalized() != v.Normalized || s.Monitored() != v.UseMonitor ||
			s.Kind() == schedule.Cron && s.Interval() != v.IsInterval {
			t.Errorf("%q: got %v %q interval %v monitored %v, want %+v", v.Expr, s.Kind(), s.Normalized(), s.Interval(), s.Monitored(), v)
		}
	}
}

type occurrences struct {
	Zone, Expr, Error string
	Base              time.Time
	IsInterval        bool
	Next, Sane        []time.Time
}

func TestNextAgreesWithTheHost(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"next.json", "dst-small.json", "dst-special.json"} {
		for _, v := range vectors[occurrences](t, file) {
			if v.Zone == "" {
				v.Zone = "UTC"
			}
			want := v.Next
			if v.Sane != nil {
				want = v.Sane
			}
			s, zone := parsed(t, v.Expr, v.Zone)
			at := v.Base
			if (v.Error != "" || len(want) > 0 && want[0].Year() == 9999) && s.Validate() == nil {
				// The host finds no run although the date exists: every run falls into a repeated hour, and computed from
				// winter time it skips each of them.
				if first := s.Next(at, zone); !repeated(first) {
					t.Errorf("%s %s %q after %v: %v, which is in no repeated hour", file, v.Zone, v.Expr, v.Base, first)
				}
				continue
			}
			for i, w := range want {
				at = s.Next(at, zone)
				if w.Year() == 9999 {
					w = time.Time{} // the host's way to say never
				}
				if !at.Equal(w) || !w.IsZero() && at.Format(time.RFC3339Nano) != w.Format(time.RFC3339Nano) {
					t.Errorf("%s %s %q after %v: occurrence %d is %v, want %v", file, v.Zone, v.Expr, v.Base, i+1, at, w)
					break
				}
				if at.IsZero() {
					break
				}
			}
		}
	}
}

// repeated says that the clock will show the time of t again.
func repeated(t time.Time) bool {
	_, end := t.ZoneBounds()
	_, before := t.Zone()
	_, after := end.Zone()
	return !end.IsZero() && end.Sub(t) <= time.Duration(before-after)*time.Second
}

func TestZoneNamesAreThoseOfTheHost(t *testing.T) {
	t.Parallel()
	type record struct {
		Windows, IANA string
		Found         bool
		January       int `json:"offset2026-01"`
		July          int `json:"offset2026-07"`
		Territories   map[string]string
	}
	for _, v := range vectors[record](t, "windows-zones.json") {
		z, err := schedule.LoadZone(v.Windows)
		if v.Windows == "AUS EASTERN STANDARD TIME" {
			// Windows does not care about the case of a name; .NET elsewhere finds this one only after it was loaded once.
			if err != nil {
				t.Error(err)
			}
			continue
		}
		if (err == nil) != v.Found {
			t.Errorf("%q: %v, want found %v", v.Windows, err, v.Found)
		}
		if err != nil || !v.Found {
			continue
		}
		if v.IANA != "" && (z.String() != v.Windows || z.Windows() != v.Windows || z.Location().String() != v.IANA && v.Windows != "UTC") {
			t.Errorf("%q: %v %q %v, want %q", v.Windows, z, z.Windows(), z.Location(), v.IANA)
		}
		checkOffsets(t, v.Windows, z, v.January, v.July)
		for territory, iana := range v.Territories {
			in, err := schedule.LoadZoneIn(v.Windows, territory)
			if err != nil || in.Location().String() != iana {
				t.Errorf("%q in %s: %v %v, want %s", v.Windows, territory, in, err, iana)
			}
		}
	}
}

func TestIANAZonesHaveTheirWindowsNames(t *testing.T) {
	t.Parallel()
	type record struct{ IanaId, Windows string }
	for _, v := range vectors[record](t, "iana-windows.json") {
		z, err := schedule.LoadZone(v.IanaId)
		if err != nil || z.Windows() != v.Windows || z.String() != v.IanaId {
			t.Errorf("%s: %v is %q on Windows (%v), want %q", v.IanaId, z, z.Windows(), err, v.Windows)
		}
	}
}

// TestLoadZoneNeverGuesses: what the host silently takes for UTC is refused, and what it knows has the host's offsets.
func TestLoadZoneNeverGuesses(t *testing.T) {
	t.Parallel()
	type record struct {
		TZ      *string
		Local   string `json:"local.Id"`
		January string `json:"offset2026-01-15"`
		July    string `json:"offset2026-07-15"`
	}
	for _, v := range vectors[record](t, "tz-env.json") {
		if v.TZ == nil {
			continue
		}
		z, err := schedule.LoadZone(*v.TZ)
		if err != nil || z.Windows() == *v.TZ {
			continue // refused, or a Windows name: TZ knows none, WEBSITE_TIME_ZONE does
		}
		if v.Local == "UTC" && *v.TZ != "UTC" {
			t.Errorf("TZ=%q loads as %v; the host takes it for UTC", *v.TZ, z)
		}
		checkOffsets(t, *v.TZ, z, minutes(t, v.January), minutes(t, v.July))
	}
}

func checkOffsets(t *testing.T, name string, z schedule.Zone, january, july int) {
	t.Helper()
	for month, want := range map[time.Month]int{time.January: january, time.July: july} {
		if _, got := time.Date(2026, month, 15, 0, 0, 0, 0, z.Location()).Zone(); got != want*60 {
			t.Errorf("%q in %v: %d minutes, want %d", name, month, got/60, want)
		}
	}
}

// minutes reads an offset such as -05:00:00.
func minutes(t *testing.T, text string) int {
	t.Helper()
	at, err := time.Parse("-07:00:00", strings.Repeat("+", 1-strings.Count(text, "-"))+text)
	if err != nil {
		t.Fatal(err)
	}
	_, offset := at.Zone()
	return offset / 60
}

// TestClocksChangeWhenTheHostsDo: the answers of both rest on the same time zone data.
func TestClocksChangeWhenTheHostsDo(t *testing.T) {
	t.Parallel()
	type record struct {
		Zone                      string
		UTC                       time.Time
		OffsetBefore, OffsetAfter int
	}
	for _, v := range vectors[record](t, "transitions.json") {
		z, err := schedule.LoadZone(v.Zone)
		if err != nil {
			t.Fatal(err)
		}
		_, before := v.UTC.Add(-time.Second).In(z.Location()).Zone()
		_, after := v.UTC.In(z.Location()).Zone()
		if before != v.OffsetBefore || after != v.OffsetAfter {
			t.Errorf("%s at %v: from %d to %d, want %d to %d", v.Zone, v.UTC, before, after, v.OffsetBefore, v.OffsetAfter)
		}
	}
}
