package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/schedule"
)

// model defines the occurrences of a cron schedule without a thought for speed: it reads the clock at every second.
type model struct {
	sets     [6][60]bool
	interval bool
}

func newModel(s schedule.Schedule) model {
	m := model{interval: s.Interval()}
	expr := s.Normalized()
	if strings.Count(expr, " ") == 4 {
		expr = "0 " + expr
	}
	for i, text := range strings.Fields(strings.ReplaceAll(expr, "*", "0-59")) {
		for item := range strings.SplitSeq(text, ",") {
			var a, b int
			if n, _ := fmt.Sscanf(item, "%d-%d", &a, &b); n == 1 {
				b = a
			}
			for ; a <= b; a++ {
				m.sets[i][a] = true
			}
		}
	}
	return m
}

// matches judges what a clock shows, given as a time of UTC.
func (m *model) matches(clock time.Time) bool {
	return m.sets[0][clock.Second()] && m.sets[1][clock.Minute()] && m.sets[2][clock.Hour()] &&
		m.sets[3][clock.Day()] && m.sets[4][clock.Month()] && m.sets[5][clock.Weekday()]
}

// occurrences are those in [from, to), in order.
func (m *model) occurrences(from, to time.Time, zone *time.Location) (all []time.Time) {
	shown := map[int64]bool{}
	_, offset := from.In(zone).Zone()
	for at := from; at.Before(to); at = at.Add(time.Second) {
		_, now := at.In(zone).Zone()
		for i := range max(0, now-offset) { // the clock leaves these out: they come as much later
			later := at.Add(time.Duration(i) * time.Second)
			if m.matches(later.UTC().Add(time.Duration(offset) * time.Second)) {
				all = append(all, later)
			}
		}
		offset = now
		clock := at.UTC().Add(time.Duration(now) * time.Second)
		if m.matches(clock) && (m.interval || !shown[clock.Unix()]) {
			all = append(all, at)
		}
		shown[clock.Unix()] = true
	}
	slices.SortFunc(all, time.Time.Compare)
	all = slices.CompactFunc(all, time.Time.Equal)
	return slices.DeleteFunc(all, func(t time.Time) bool { return !t.Before(to) })
}

// randomCron writes an expression that often runs in the hours in which clocks change.
func randomCron(r *rand.Rand) string {
	field := func(low, high int) string {
		a, b := low+r.IntN(high-low+1), low+r.IntN(high-low+1)
		return []string{"*", fmt.Sprint(a), fmt.Sprintf("%d,%d", a, b), fmt.Sprintf("%d-%d", a, b), fmt.Sprintf("*/%d", 1+b),
			fmt.Sprintf("%d/%d", a, 1+b)}[r.IntN(6)]
	}
	seconds := []string{"0", "0", "0", "30", "15,45", field(0, 59)}[r.IntN(6)]
	hours := []string{"*", field(0, 4), field(0, 4), field(0, 23)}[r.IntN(4)]
	days := []string{"*", "*", "*", field(1, 31)}[r.IntN(4)]
	weekdays := []string{"*", "*", "*", field(0, 6)}[r.IntN(4)]
	return strings.Join([]string{seconds, field(0, 59), hours, days, "*", weekdays}, " ")
}

// someZones have changes of an hour, half an hour, two hours and a day, at midnight and elsewhere, in both hemispheres.
var someZones = []string{"UTC", "Europe/Warsaw", "Europe/Dublin", "America/New_York", "America/St_Johns", "America/Havana", "America/Santiago",
	"America/Sao_Paulo", "Australia/Sydney", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Antarctica/Troll",
	"Africa/Casablanca", "Africa/Cairo", "Asia/Beirut", "Asia/Tehran", "Asia/Pyongyang", "Asia/Kolkata", "Pacific/Kwajalein"}

func TestNextAgreesWithAClockReadEverySecond(t *testing.T) {
	t.Parallel()
	for _, name := range someZones {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, uint64(len(name))))
			_, zone := parsed(t, "* * * * *", name)
			for range 4 {
				// A change of the clock after a random moment, or that moment.
				change := time.Unix(r.Int64N(70*365*86400), 0).In(zone)
				if _, end := change.ZoneBounds(); !end.IsZero() {
					change = end
				}
				from, to := change.Add(-4*time.Hour), change.Add(5*time.Hour)
				if _, next := change.ZoneBounds(); !next.IsZero() && next.Before(to) {
					continue
				}
				expr := randomCron(r)
				s, _ := parsed(t, expr, name)
				m := newModel(s)
				var got []time.Time
				for at := s.Next(from.Add(-time.Second), zone); !at.IsZero() && at.Before(to); at = s.Next(at, zone) {
					got = append(got, at)
				}
				want := m.occurrences(from, to, zone)
				if !slices.EqualFunc(got, want, time.Time.Equal) {
					t.Fatalf("%q around %v:\ngot  %v\nwant %v", expr, change, got, want)
				}
			}
		})
	}
}

func TestNextAndPreviousMeet(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 3))
	for range 2000 {
		name, expr := someZones[r.IntN(len(someZones))], randomCron(r)
		s, zone := parsed(t, expr, name)
		at := time.Unix(r.Int64N(80*365*86400), r.Int64N(1e9))
		next := s.Next(at, zone)
		if next.IsZero() {
			continue // such as the 31st on one weekday only, which the months given do not have
		}
		if next.Unix() <= at.Unix() || next.Nanosecond() != 0 || next.Location() != zone {
			t.Fatalf("%s %q: next after %v is %v", name, expr, at, next)
		}
		if between := s.Next(at.Add(next.Sub(at)/2), zone); !between.Equal(next) {
			t.Fatalf("%s %q: next after %v is %v, but halfway there it is %v", name, expr, at, next, between)
		}
		if previous := s.Previous(next, zone); !previous.Equal(next) {
			t.Fatalf("%s %q: previous of its own occurrence %v is %v", name, expr, next, previous)
		}
		previous := s.Previous(next.Add(-time.Second), zone)
		if previous.IsZero() {
			t.Fatalf("%s %q: nothing before %v", name, expr, next)
		}
		if again := s.Next(previous, zone); !again.Equal(next) {
			t.Fatalf("%s %q: after %v, the previous of %v, comes %v", name, expr, previous, next, again)
		}
	}
}
