package mim

import (
	"slices"
	"time"
)

// Retention says how many backups to keep. A day, week or month counts when there is a verified backup in it, so that a server
// that was off for a month loses none of its history by being on again.
type Retention struct {
	Newest int // the newest verified ones, whenever they were made
	Days   int // the last verified one of each of as many days
	Weeks  int // of each ISO week, from Monday
	Months int // of each month
}

// Run is a backup as far as retention is concerned.
type Run struct {
	Name     string
	Time     time.Time // its day, week and month are those of its location
	Verified bool
}

// Plan sorts backups into those to keep and those to delete, the newest first. The newest verified backup is always kept, and so
// is what is newer than it: it may still be on its way to being verified. Without any verified backup, nothing is deleted.
// What is older and was never verified is deleted.
func (r Retention) Plan(runs []Run) (keep, remove []Run) {
	runs = slices.Clone(runs)
	slices.SortStableFunc(runs, func(a, b Run) int { return b.Time.Compare(a.Time) })
	last := slices.IndexFunc(runs, func(run Run) bool { return run.Verified })
	if last < 0 {
		return runs, nil
	}
	count := 0
	slots := []*slot{
		{left: r.Newest, of: func(time.Time) any { count++; return count }},
		{left: r.Days, of: func(t time.Time) any { return [2]int{t.Year(), t.YearDay()} }},
		{left: r.Weeks, of: func(t time.Time) any { year, week := t.ISOWeek(); return [2]int{year, week} }},
		{left: r.Months, of: func(t time.Time) any { return [2]int{t.Year(), int(t.Month())} }},
	}
	for i, run := range runs {
		wanted := i <= last
		for _, s := range slots {
			wanted = run.Verified && s.takes(run.Time) || wanted
		}
		if wanted {
			keep = append(keep, run)
		} else {
			remove = append(remove, run)
		}
	}
	return keep, remove
}

// slot keeps the newest run of each of the last periods.
type slot struct {
	left   int
	of     func(time.Time) any
	latest any
}

func (s *slot) takes(t time.Time) bool {
	period := s.of(t)
	if s.left <= 0 || period == s.latest {
		return false
	}
	s.latest = period
	s.left--
	return true
}
