// Package gate runs a job by the wall clock of a time zone on a plan whose timers only know UTC.
//
// On such a plan (Flex Consumption) the function's own schedule is a frequent tick, say every five minutes, and its handler
// puts the job behind a Gate. The gate lets it pass on the first tick at or after an occurrence of the job's schedule:
//
//   - once for each occurrence, on the days when the clocks change too;
//   - once, however many occurrences were missed while the app was down;
//   - again, if the process died or was stopped in the middle: the pass is recorded after the run. A run that fails or
//     panics is recorded, and its next is the schedule's next, as with the host's own timers; unless the job says Again.
//
// The first tick ever, and the first after the schedule or the zone was edited, only remember the time. A run by hand
// does not go through the gate.
//
// Where the host knows the zone and the tick is the job's own schedule, every tick passes, so the same program works there.
//
// The gate does not keep two processes from running the job at once; hold the job's lock around Pass.
package gate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/cursor"
	"github.com/nightshift-hq/nightshift/pkg/schedule"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

const (
	// early is how much too early a host's timer may fire and still be meant for the occurrence just ahead.
	early = time.Second
	// wrongClock is how far the record may lie ahead of the clock before it must come from a clock that was wrong. Within
	// it the occurrences did run, so they are not run again.
	wrongClock = time.Hour
	// recordTime is for the record after a run that used up its deadline.
	recordTime = 10 * time.Second
)

// Version is that of Passed, for cursor.Open.
const Version = 1

// Passed is what a gate remembers.
type Passed struct {
	Until    time.Time `json:"until"`    // every occurrence up to here has had its run
	Schedule string    `json:"schedule"` // of this schedule
	Zone     string    `json:"zone"`     // in this zone
}

// Store keeps Passed, durably; *cursor.Store is one.
type Store interface {
	Load(context.Context) (cursor.Record[Passed], error)
	Swap(context.Context, cursor.Record[Passed], Passed) (cursor.Record[Passed], error)
}

// Gate decides at each tick whether its job is due.
type Gate struct {
	Schedule schedule.Schedule
	Zone     schedule.Zone
	Passed   Store
}

// Pass runs the job if an occurrence has come since the last one that passed, and says whether it ran. now is when the host
// fired the timer. The error is the job's, and that of the record.
func (g Gate) Pass(ctx context.Context, now time.Time, job func(context.Context) error) (ran bool, err error) {
	if err := g.Schedule.Validate(); err != nil {
		return false, err
	}
	last, err := g.Passed.Load(ctx)
	if err != nil {
		return false, fmt.Errorf("pass gate: %w", err)
	}
	next := Passed{Until: now, Schedule: sixFields(g.Schedule), Zone: g.Zone.Location().String()}
	if g.startsAnew(last.Value, next) {
		return false, g.record(ctx, last, next)
	}
	due := g.Schedule.Next(last.Value.Until, g.Zone.Location())
	if due.IsZero() || due.After(now.Add(early)) {
		return false, nil
	}
	if due.After(now) {
		next.Until = due
	}
	defer func() { // deferred, because a job that panics has run as well
		if errors.As(err, new(*againError)) || errors.Is(ctx.Err(), context.Canceled) {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
		defer cancel()
		err = errors.Join(err, g.record(ctx, last, next))
	}()
	return true, job(ctx)
}

// sixFields is the same text for every spelling of a schedule.
func sixFields(s schedule.Schedule) string {
	text := s.Normalized()
	if strings.Count(text, " ") == 4 {
		return "0 " + text
	}
	return text
}

type againError struct{ error }

func (e *againError) Unwrap() error { return e.error }

// Again marks a job's error as passing trouble: the run does not count, and the next tick tries again.
func Again(err error) error {
	if err == nil {
		return nil
	}
	return &againError{err}
}

// startsAnew says that last does not tell what has run: nothing is recorded, or another schedule, or by a wrong clock.
func (g Gate) startsAnew(last, next Passed) bool {
	return last.Until.IsZero() || last.Schedule != next.Schedule || last.Zone != next.Zone ||
		last.Until.After(next.Until.Add(wrongClock))
}

func (g Gate) record(ctx context.Context, last cursor.Record[Passed], next Passed) error {
	_, err := g.Passed.Swap(ctx, last, next)
	if errors.Is(err, storage.ErrConflict) {
		// Another process was faster. If its record says at least as much, there is nothing to add.
		now, loadErr := g.Passed.Load(ctx)
		if loadErr == nil && !g.startsAnew(now.Value, next) && !now.Value.Until.Before(next.Until) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("record that the gate was passed: %w", err)
	}
	return nil
}
