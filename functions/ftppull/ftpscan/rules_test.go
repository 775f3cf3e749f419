package ftpscan

import (
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestFilterWants(t *testing.T) {
	t.Parallel()
	file := func(path string, size int64, age time.Duration) drop.File {
		return drop.File{Path: path, Size: size, ModTime: noon.Add(-age)}
	}
	filter := Filter{
		Include: Globs{"*.csv", "pay/**/*.txt"}, Exclude: Globs{"**/test_*"}, Temporary: Globs{"*.tmp", "~*"},
		MinSize: 10, MaxSize: 100, MinAge: time.Minute, MaxAge: time.Hour, DoneSuffix: ".done",
	}
	for _, row := range []struct {
		name string
		file drop.File
		want bool
	}{
		{"included", file("a.csv", 50, 5*time.Minute), true},
		{"included without regard to case", file("A.CSV", 50, 5*time.Minute), true},
		{"included across folders", file("pay/2026/11/a.txt", 50, 5*time.Minute), true},
		{"one star stays in its folder", file("hr/a.csv", 50, 5*time.Minute), false},
		{"excluded", file("pay/test_a.txt", 50, 5*time.Minute), false},
		{"temporary, in a folder", file("pay/~a.txt", 50, 5*time.Minute), false},
		{"a companion", file("a.csv.done", 50, 5*time.Minute), false},
		{"too small", file("a.csv", 9, 5*time.Minute), false},
		{"smallest", file("a.csv", 10, 5*time.Minute), true},
		{"largest", file("a.csv", 100, 5*time.Minute), true},
		{"too large", file("a.csv", 101, 5*time.Minute), false},
		{"too young", file("a.csv", 50, time.Second), false},
		{"too old", file("a.csv", 50, 2*time.Hour), false},
	} {
		if got := filter.wants(row.file, noon); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
	if !(Filter{}).wants(file("anything", 0, 0), noon) {
		t.Error("no filter should want everything")
	}
}

func TestExpectationsRefuse(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ text, want string }{
		{"hr/*.csv", "has no deadline"},
		{" by 06:00", "has no deadline"},
		{"a by 25:00", "no time of day"},
		{"a by six", "no time of day"},
		{"[ by 06:00", "no glob"},
	} {
		var e Expectations
		if err := e.UnmarshalText([]byte(row.text)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%q: %v, want %q", row.text, err, row.want)
		}
	}
}

func TestMissedExpectations(t *testing.T) {
	t.Parallel()
	var expect Expectations
	if err := expect.UnmarshalText([]byte("hr/*.csv by 06:00; pay.txt by 22:30;")); err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		t.Fatal(err)
	}
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 11, day, hour, minute, 0, 0, zone) }
	state := State{}.clone()
	step := func(name string, now time.Time, want ...string) {
		t.Helper()
		var got []string
		for _, e := range state.missed(expect, now, zone) {
			got = append(got, e.Files)
			state.Alarmed[e.String()] = e.deadline(now, zone)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: missed %v, want %v", name, got, want)
		}
	}
	hand := func(path string, when time.Time) { state.Known[path] = Known{Handed: when} }

	step("a new installation complains about nothing", at(20, 12, 0))
	hand("pay.txt", at(20, 20, 0))
	step("pay came in time", at(20, 22, 31))
	step("before the deadline", at(21, 5, 59))
	step("hr is late", at(21, 6, 0), "hr/*.csv")
	step("said once", at(21, 6, 5))
	hand("hr/e.csv", at(21, 7, 0))
	step("pay is late", at(21, 22, 30), "pay.txt")
	hand("hr/e.csv", at(22, 4, 0))
	step("hr came in time", at(22, 6, 0))
	step("and stays in time all day", at(22, 22, 0))
}

func TestFolderFormat(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ format, want, refused string }{
		{format: "yyyy-MM-dd", want: "2026-11-21"},
		{format: "dd-MM-yyyy", want: "21-11-2026"},
		{format: "yyyyMMdd-HHmmss", want: "20261121-120000"},
		{format: "yyyy-MM", refused: "has no dd"},
		{format: "yyyy/MM/dd", refused: `contains "/"`},
		{format: "dd-MM-yyyy-hh-mm", refused: "hour of 24"},
	} {
		var f FolderFormat
		err := f.UnmarshalText([]byte(row.format))
		if row.refused != "" {
			if err == nil || !strings.Contains(err.Error(), row.refused) {
				t.Errorf("%s: %v, want %q", row.format, err, row.refused)
			}
			continue
		}
		if err != nil || f.Format(noon) != row.want {
			t.Errorf("%s: %q, %v; want %q", row.format, f.Format(noon), err, row.want)
		}
	}
}
