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

// lost are schedules whose every run falls into a repeated hour. From winter time the host finds none of them, ever; that
// is the known fault of skipping one for a year, every year.
var lost = map[string]bool{"Australia/Sydney 0 30 2 1-7 4 0": true, "Australia/Lord_Howe 0 45 1 1-7 4 0": true}

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
			s, err := schedule.Parse(v.Expr)
			if err != nil {
				t.Fatal(err)
			}
			zone, err := schedule.LoadZone(v.Zone)
			if err != nil {
				t.Fatal(err)
			}
			at := v.Base
			for i, w := range want {
				at = s.Next(at, zone.Location())
				if w.Year() == 9999 { // the host's way to say never
					w = time.Time{}
					if lost[v.Zone+" "+v.Expr] {
						break
					}
				}
				if !at.Equal(w) || !w.IsZero() && at.Format(time.RFC3339Nano) != w.Format(time.RFC3339Nano) {
					t.Errorf("%s %s %q after %v: occurrence %d is %v, want %v", file, v.Zone, v.Expr, v.Base, i+1, at, w)
					break
				}
			}
		}
	}
}
