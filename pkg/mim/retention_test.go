package mim_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/mim"
)

// Each run is its time; a question mark follows one that was not verified.
func parseRuns(t *testing.T, list string) []mim.Run {
	t.Helper()
	var runs []mim.Run
	for field := range strings.FieldsSeq(list) {
		stamp, unverified := strings.CutSuffix(field, "?")
		at, err := time.Parse("2006-01-02T15:04", stamp)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, mim.Run{Name: field, Time: at, Verified: !unverified})
	}
	return runs
}

func runNames(runs []mim.Run) string {
	var all []string
	for _, run := range runs {
		all = append(all, run.Name)
	}
	return strings.Join(all, " ")
}

func TestRetention(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy     mim.Retention
		runs, keep string
	}{
		"nothing there": {mim.Retention{Days: 7}, "", ""},
		"the last verified one stays whatever the policy": {mim.Retention{},
			"2026-11-18T23:30 2026-11-19T23:30", "2026-11-19T23:30"},
		"without a verified one nothing goes": {mim.Retention{Days: 1},
			"2026-11-18T23:30? 2026-11-19T23:30?", "2026-11-19T23:30? 2026-11-18T23:30?"},
		"one that is not verified takes no slot from one that is": {mim.Retention{Days: 1},
			"2026-11-17T23:30 2026-11-18T23:30 2026-11-19T23:30?", "2026-11-19T23:30? 2026-11-18T23:30"},
		"one that failed goes when a later one is verified": {mim.Retention{Days: 7},
			"2026-11-18T23:30? 2026-11-19T23:30", "2026-11-19T23:30"},
		"of a day the last stays": {mim.Retention{Days: 2},
			"2026-11-18T01:30 2026-11-18T23:30 2026-11-19T01:30 2026-11-19T23:30", "2026-11-19T23:30 2026-11-18T23:30"},
		"days without a backup do not count": {mim.Retention{Days: 2},
			"2026-01-01T23:30 2026-01-02T23:30 2026-11-19T23:30", "2026-11-19T23:30 2026-01-02T23:30"},
		"a week starts on Monday": {mim.Retention{Weeks: 2},
			"2026-11-14T23:30 2026-11-15T23:30 2026-11-16T23:30 2026-11-19T23:30", "2026-11-19T23:30 2026-11-15T23:30"},
		"a week may span the new year": {mim.Retention{Weeks: 5},
			"2026-12-30T23:30 2027-01-02T23:30", "2027-01-02T23:30"},
		"the same month of another year is another month": {mim.Retention{Months: 2},
			"2025-11-30T23:30 2026-11-01T23:30 2026-11-19T23:30", "2026-11-19T23:30 2025-11-30T23:30"},
		"the newest may be of one day": {mim.Retention{Newest: 2},
			"2026-11-19T01:30 2026-11-19T13:30 2026-11-19T23:30", "2026-11-19T23:30 2026-11-19T13:30"},
		"days, weeks and months add up": {mim.Retention{Days: 2, Weeks: 2, Months: 2},
			"2026-09-30T23:30 2026-10-31T23:30 2026-11-01T23:30 2026-11-13T23:30 2026-11-18T23:30 2026-11-19T23:30",
			"2026-11-19T23:30 2026-11-18T23:30 2026-11-13T23:30 2026-10-31T23:30"},
		"a negative number keeps none": {mim.Retention{Days: -1},
			"2026-11-18T23:30 2026-11-19T23:30", "2026-11-19T23:30"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runs := parseRuns(t, c.runs)
			keep, remove := c.policy.Plan(runs)
			if got := runNames(keep); got != c.keep {
				t.Errorf("kept    %s\nwant    %s\nremoved %s", got, c.keep, runNames(remove))
			}
			if len(keep)+len(remove) != len(runs) {
				t.Errorf("%d runs became %d kept and %d removed", len(runs), len(keep), len(remove))
			}
			// A second night plans nothing new, and the order in which runs are listed does not matter.
			slices.Reverse(keep)
			if again, gone := c.policy.Plan(keep); len(gone) != 0 {
				t.Errorf("planned again, %s would go from %s", runNames(gone), runNames(again))
			}
		})
	}
}
