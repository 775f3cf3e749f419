package schedule

import (
	"math"
	"math/bits"
	"sort"
	"time"
)

const (
	forever      = math.MaxInt64
	lastSecond   = 253402300799 // 9999-12-31T23:59:59Z
	secondsInDay = 86400
	// searchYears is more than the longest wait for a date on a day of the week: 29 February on a Monday, from 2072 to 2112.
	searchYears = 41
)

// Next is the first occurrence after the given time, in the zone; the zero time if there is none before the year 10000.
// Fractions of a second of after are dropped first. A TimeSpan is added to after as it is; only then, and if Validate
// refuses the schedule, may Next not be later than after. Next does not allocate.
func (s Schedule) Next(after time.Time, zone *time.Location) time.Time {
	if s.kind == TimeSpan {
		next, ok := s.span.addTo(after)
		if !ok {
			return time.Time{}
		}
		return next.In(zone)
	}
	at := after.Unix()
	for {
		p := periodAt(at+1, zone)
		if next, ok := p.next(&s, at); ok {
			if next > lastSecond {
				return time.Time{}
			}
			return time.Unix(next, 0).In(zone)
		}
		match, ok := s.nextWall(at + p.offset)
		if !ok || p.end == forever {
			return time.Time{}
		}
		if p.end-at > secondsInDay {
			// What the clock shows again after this period it did not show before at, so nothing comes before match.
			at = max(p.end-1, match-secondsInDay)
		} else {
			at = p.end - 1
		}
	}
}

// Previous is the last occurrence at or before the given time; the zero time if there is none in the 41 years before it,
// or if the schedule is a TimeSpan, which is bound to no clock.
func (s Schedule) Previous(atOrBefore time.Time, zone *time.Location) time.Time {
	if s.kind == TimeSpan {
		return time.Time{}
	}
	at := atOrBefore.Unix()
	due := func(from int64) bool {
		next := s.Next(time.Unix(from, 0), zone)
		return !next.IsZero() && next.Unix() <= at
	}
	back := int64(1)
	for !due(at - back) {
		if back *= 2; back > 2*searchYears*366*secondsInDay {
			return time.Time{}
		}
	}
	// The later one looks from, the later is the next occurrence: find the last place from which one is due.
	n := sort.Search(int(back), func(i int) bool { return !due(at - back + int64(i)) })
	return s.Next(time.Unix(at-back+int64(n)-1, 0), zone)
}

// A wall is the reading of a clock: the seconds from 1970-01-01 00:00:00 on that clock.
type wall = int64

// A period is the time between two changes of a zone's offset, as Unix seconds.
type period struct {
	start, end     int64 // start <= t < end
	offset, before int64 // of this period, and of the one before it
}

func periodAt(at int64, zone *time.Location) period {
	t := time.Unix(at, 0).In(zone)
	start, end := t.ZoneBounds()
	_, offset := t.Zone()
	p := period{start: math.MinInt64, end: forever, offset: int64(offset), before: int64(offset)}
	if !start.IsZero() {
		p.start = start.Unix()
		_, before := start.Add(-time.Second).Zone()
		p.before = int64(before)
	}
	if !end.IsZero() {
		p.end = end.Unix()
	}
	return p
}

// next is the first run after at and before the end of the period, in which the second after at must lie.
func (p period) next(s *Schedule, at int64) (int64, bool) {
	from := at + p.offset
	if p.before > p.offset && !s.Interval() {
		// The clock was put back: what it shows again has had its run.
		from = max(from, p.start+p.before-1)
	}
	next, ok := s.nextWall(from)
	next -= p.offset
	ok = ok && next < p.end
	if at < p.start+p.offset-p.before {
		// The clock was put forward: what it never showed runs later by as much.
		skipped, found := s.nextWall(at + p.before)
		if found && skipped < p.start+p.offset && (!ok || skipped-p.before < next) {
			return skipped - p.before, true
		}
	}
	return next, ok
}

// nextWall is the first wall time after w that matches.
func (s *Schedule) nextWall(w wall) (wall, bool) {
	w++
	days := floorDiv(w, secondsInDay)
	year, m, d := time.Unix(days*secondsInDay, 0).UTC().Date()
	if s.days(year, m)&(1<<d) != 0 {
		if clock, ok := s.nextClock(int(w - days*secondsInDay)); ok {
			return days*secondsInDay + int64(clock), true
		}
	}
	clock, ok := s.nextClock(0)
	if !ok {
		return 0, false
	}
	for last := year + searchYears; year <= last; {
		if set := s.days(year, m) >> (d + 1) << (d + 1); set != 0 {
			return time.Date(year, m, bits.TrailingZeros64(set), 0, 0, clock, 0, time.UTC).Unix(), true
		}
		d = 0
		if m++; m > time.December {
			year, m = year+1, time.January
		}
	}
	return 0, false
}

// days is the set of the days of a month that match.
func (s *Schedule) days(year int, m time.Month) uint64 {
	if s.sets[month]&(1<<m) == 0 {
		return 0
	}
	first := time.Date(year, m, 1, 0, 0, 0, 0, time.UTC)
	length := first.AddDate(0, 1, -1).Day()
	w := first.Weekday()
	week := (s.sets[weekday]>>w | s.sets[weekday]<<(7-w)) & 0x7f // bit 0: the first of the month
	const fiveWeeks = 1 | 1<<7 | 1<<14 | 1<<21 | 1<<28
	return s.sets[day] & (week * fiveWeeks << 1) & span(1, length)
}

// nextClock is the first second of a day at or after the given one that matches.
func (s *Schedule) nextClock(clock int) (int, bool) {
	h, m, sec := clock/3600, clock/60%60, clock%60
	if s.has(hour, h) {
		if s.has(minute, m) {
			if v, ok := s.from(second, sec); ok {
				return h*3600 + m*60 + v, true
			}
		}
		if v, ok := s.from(minute, m+1); ok {
			return h*3600 + v*60 + s.first(second), true
		}
	}
	if v, ok := s.from(hour, h+1); ok {
		return v*3600 + s.first(minute)*60 + s.first(second), true
	}
	return 0, false
}

func (s *Schedule) has(f, v int) bool { return s.sets[f]&(1<<v) != 0 }

func (s *Schedule) first(f int) int { return bits.TrailingZeros64(s.sets[f]) }

// from is the least value of the field that is v or more.
func (s *Schedule) from(f, v int) (int, bool) {
	set := s.sets[f] >> v << v
	return bits.TrailingZeros64(set), set != 0
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
