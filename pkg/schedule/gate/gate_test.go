package gate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/nightshift-hq/nightshift/pkg/cursor"
	"github.com/nightshift-hq/nightshift/pkg/schedule"
	"github.com/nightshift-hq/nightshift/pkg/schedule/gate"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a Store without a network. before, if set, runs ahead of each Swap; its error is the Swap's.
type memory struct {
	record cursor.Record[gate.Passed]
	swaps  int
	before func(ctx context.Context) error
}

func (m *memory) Load(context.Context) (cursor.Record[gate.Passed], error) { return m.record, nil }

func (m *memory) Swap(ctx context.Context, old cursor.Record[gate.Passed], next gate.Passed) (cursor.Record[gate.Passed], error) {
	if m.before != nil {
		if err := m.before(ctx); err != nil {
			return old, err
		}
	}
	if old.ETag != m.record.ETag {
		return old, fmt.Errorf("swap: %w", storage.ErrConflict)
	}
	m.put(next)
	return m.record, nil
}

// put is what another process does.
func (m *memory) put(p gate.Passed) {
	m.swaps++
	m.record = cursor.Record[gate.Passed]{Value: p, ETag: strconv.Itoa(m.swaps)}
}

func newGate(t *testing.T, expr, zone string, store gate.Store) gate.Gate {
	t.Helper()
	s, err := schedule.Parse(expr)
	if err != nil {
		t.Fatal(err)
	}
	z, err := schedule.LoadZone(zone)
	if err != nil {
		t.Fatal(err)
	}
	return gate.Gate{Schedule: s, Zone: z, Passed: store}
}

func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// ticks fires the gate at the given times and returns those at which the job ran.
func ticks(t *testing.T, g gate.Gate, times ...string) (ran []string) {
	t.Helper()
	for _, text := range times {
		ok, err := g.Pass(t.Context(), instant(t, text), func(context.Context) error { return nil })
		if err != nil {
			t.Fatalf("at %s: %v", text, err)
		}
		if ok {
			ran = append(ran, text)
		}
	}
	return ran
}

func TestPassAtTheTicksOfAHost(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ expr, ticks, want []string }{
		"the first tick ever remembers and runs nothing": {
			ticks: []string{"2026-06-01T00:30:00Z"},
		},
		"an occurrence passes at the first tick after it": {
			ticks: []string{"2026-06-01T00:00:00Z", "2026-06-01T00:29:00Z", "2026-06-01T00:34:00Z", "2026-06-01T00:39:00Z"},
			want:  []string{"2026-06-01T00:34:00Z"},
		},
		"three days of downtime are made up for once": {
			ticks: []string{"2026-06-01T00:00:00Z", "2026-06-04T12:00:00Z", "2026-06-04T12:05:00Z", "2026-06-05T00:30:00Z"},
			want:  []string{"2026-06-04T12:00:00Z", "2026-06-05T00:30:00Z"},
		},
		"a tick that is the schedule itself passes every time": {
			ticks: []string{"2026-06-01T00:30:00.02Z", "2026-06-02T00:30:00.01Z", "2026-06-03T00:30:00Z"},
			want:  []string{"2026-06-02T00:30:00.01Z", "2026-06-03T00:30:00Z"},
		},
		"a host that fires a little early passes, once": {
			ticks: []string{"2026-06-01T00:30:00Z", "2026-06-02T00:29:59.7Z", "2026-06-02T00:30:00.1Z", "2026-06-03T00:29:59.99Z"},
			want:  []string{"2026-06-02T00:29:59.7Z", "2026-06-03T00:29:59.99Z"},
		},
		"a clock put back a little does not repeat the run": {
			ticks: []string{"2026-06-01T00:00:00Z", "2026-06-01T00:31:00Z", "2026-06-01T00:29:00Z", "2026-06-01T00:30:00Z"},
			want:  []string{"2026-06-01T00:31:00Z"},
		},
		"after a clock that was a year ahead the days count again": {
			ticks: []string{"2026-06-01T00:00:00Z", "2027-06-01T00:00:00Z", "2026-06-01T00:25:00Z", "2026-06-01T00:30:00Z"},
			want:  []string{"2027-06-01T00:00:00Z", "2026-06-01T00:30:00Z"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, "0 30 2 * * *", "Europe/Warsaw", &memory{})
			if got := ticks(t, g, test.ticks...); !slices.Equal(got, test.want) {
				t.Errorf("ran at %v, want %v", got, test.want)
			}
		})
	}
}

// TestPassAroundClockChanges ticks every five minutes of UTC through days on which the clocks change.
func TestPassAroundClockChanges(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"Europe/Warsaw", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe", "America/Santiago"} {
		for _, expr := range []string{"0 30 2 * * *", "0 30 1 * * *", "0 0 0 * * *", "0 10,40 2 * * *", "0 15 * * * *", "0 0 */6 * * *"} {
			t.Run(zone+" "+expr, func(t *testing.T) {
				t.Parallel()
				g := newGate(t, expr, zone, &memory{})
				loc := g.Zone.Location()
				at := time.Date(2026, 1, 1, 0, 2, 0, 0, time.UTC)
				end := at.AddDate(1, 0, 0)
				due := g.Schedule.Next(at, loc)
				for ; at.Before(end); at = at.Add(5 * time.Minute) {
					_, lately := at.Add(-48 * time.Hour).In(loc).Zone()
					_, soon := at.Add(48 * time.Hour).In(loc).Zone()
					if lately == soon && at.YearDay() > 3 {
						continue // far from a change the app is down, to be quick
					}
					ran, err := g.Pass(t.Context(), at, func(context.Context) error { return nil })
					if err != nil {
						t.Fatal(err)
					}
					if want := !due.After(at); ran != want {
						t.Fatalf("at %v: ran %v, next due %v", at.In(loc), ran, due)
					}
					if ran {
						due = g.Schedule.Next(at, loc)
					}
				}
			})
		}
	}
}

func TestPassRepeatsARunThatWasKilled(t *testing.T) {
	t.Parallel()
	store := &memory{}
	g := newGate(t, "0 30 2 * * *", "UTC", store)
	ticks(t, g, "2026-06-01T00:00:00Z")
	lost := errors.New("the process is gone")
	store.before = func(context.Context) error { return lost }
	ran, err := g.Pass(t.Context(), instant(t, "2026-06-01T02:30:00Z"), func(context.Context) error { return nil })
	if !ran || !errors.Is(err, lost) {
		t.Fatalf("ran %v, error %v", ran, err)
	}
	store.before = nil
	want := []string{"2026-06-01T02:35:00Z"}
	if got := ticks(t, g, "2026-06-01T02:35:00Z", "2026-06-01T02:40:00Z"); !slices.Equal(got, want) {
		t.Errorf("ran at %v, want %v", got, want)
	}
}

func TestPassAfterRunsThatFail(t *testing.T) {
	t.Parallel()
	broken := errors.New("server is down")
	for _, row := range []struct {
		name  string
		job   func(ctx context.Context, cancel func()) error
		again []string // when it runs next
	}{
		{"an error counts", func(context.Context, func()) error { return broken }, nil},
		{"a deadline counts", func(ctx context.Context, _ func()) error { <-ctx.Done(); return broken }, nil},
		{"a panic counts", func(context.Context, func()) error { panic(broken) }, nil},
		{"passing trouble does not", func(context.Context, func()) error { return fmt.Errorf("list: %w", gate.Again(broken)) }, []string{"2026-06-01T02:35:00Z"}},
		{"a stop in the middle does not", func(_ context.Context, cancel func()) error { cancel(); return broken }, []string{"2026-06-01T02:35:00Z"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &memory{}
				store.before = func(ctx context.Context) error { return ctx.Err() }
				g := newGate(t, "0 30 2 * * *", "UTC", store)
				ticks(t, g, "2026-06-01T00:00:00Z")
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				func() {
					defer func() {
						if r := recover(); (r != nil) != strings.Contains(row.name, "panic") {
							t.Errorf("panic %v", r)
						}
					}()
					job := func(ctx context.Context) error { return row.job(ctx, cancel) }
					if ran, err := g.Pass(ctx, instant(t, "2026-06-01T02:30:00Z"), job); !ran || !errors.Is(err, broken) {
						t.Errorf("ran %v, error %v", ran, err)
					}
				}()
				if got := ticks(t, g, "2026-06-01T02:35:00Z", "2026-06-01T02:40:00Z"); !slices.Equal(got, row.again) {
					t.Errorf("ran again at %v, want %v", got, row.again)
				}
			})
		})
	}
}

func TestPassGivesUpOnAStoreThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		g := newGate(t, "0 30 2 * * *", "UTC", store)
		ticks(t, g, "2026-06-01T00:00:00Z")
		store.before = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		_, err := g.Pass(t.Context(), instant(t, "2026-06-01T02:30:00Z"), func(context.Context) error { return nil })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func TestEditsDoNotRunTheJob(t *testing.T) {
	t.Parallel()
	store := &memory{}
	night := newGate(t, "0 30 2 * * *", "Europe/Berlin", store)
	ticks(t, night, "2026-06-01T00:00:00Z")
	for _, step := range []struct {
		what       string
		expr, zone string
		tick       string
		want       bool
	}{
		{"another hour, which has passed today", "0 0 6 * * *", "Europe/Berlin", "2026-06-01T08:00:00Z", false},
		{"the next day it runs", "0 0 6 * * *", "Europe/Berlin", "2026-06-02T04:00:00Z", true},
		{"another spelling is no edit", "0 6 * * *", "Europe/Berlin", "2026-06-03T04:00:00Z", true},
		{"nor is another name of the zone", "0 6 * * *", "W. Europe Standard Time", "2026-06-04T04:00:00Z", true},
		{"another zone, where the hour has passed", "0 6 * * *", "Asia/Tokyo", "2026-06-04T05:00:00Z", false},
		{"it runs by the clock there", "0 6 * * *", "Asia/Tokyo", "2026-06-04T21:00:00Z", true},
	} {
		g := newGate(t, step.expr, step.zone, store)
		if got := ticks(t, g, step.tick) != nil; got != step.want {
			t.Errorf("%s: ran %v", step.what, got)
		}
	}
}

func TestPassWhenAnotherProcessRecordsFirst(t *testing.T) {
	t.Parallel()
	const due = "2026-06-01T02:30:00Z"
	for name, test := range map[string]struct {
		until, expr string
		want        error
	}{
		"the same pass":        {"2026-06-01T02:30:01Z", "0 30 2 * * *", nil},
		"an earlier one":       {"2026-06-01T02:29:00Z", "0 30 2 * * *", storage.ErrConflict},
		"one of another hour":  {"2026-06-01T02:30:01Z", "0 0 6 * * *", storage.ErrConflict},
		"one of a wrong clock": {"2027-06-01T02:30:00Z", "0 30 2 * * *", storage.ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &memory{}
			g := newGate(t, "0 30 2 * * *", "UTC", store)
			ticks(t, g, "2026-06-01T00:00:00Z")
			ran, err := g.Pass(t.Context(), instant(t, due), func(context.Context) error {
				store.put(gate.Passed{Until: instant(t, test.until), Schedule: test.expr, Zone: "UTC"})
				return nil
			})
			if !ran || !errors.Is(err, test.want) {
				t.Errorf("ran %v, error %v, want %v", ran, err, test.want)
			}
		})
	}
}

func TestPassRefusesAScheduleThatNeverRuns(t *testing.T) {
	t.Parallel()
	for _, expr := range []string{"0 0 0 31 2 *", "-00:05:00", "00:00:00"} {
		ran, err := newGate(t, expr, "UTC", &memory{}).Pass(t.Context(), time.Now(), nil)
		if ran || err == nil {
			t.Errorf("%s: ran %v, error %v", expr, ran, err)
		}
	}
}
