package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// row is one line of the result: a measured value against its limit. Values and limits share a unit.
type row struct {
	what     string
	measured float64
	limit    float64
	unit     string // "x" is a ratio
	detail   string // what the ratio was made of
}

func (r row) verdict() string {
	if r.measured <= r.limit {
		return "pass"
	}
	return "FAIL"
}

func printTable(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "what\tmeasured\tlimit\t\tmade of")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%.2f %s\t%.2f %s\t%s\t%s\n", r.what, r.measured, r.unit, r.limit, r.unit, r.verdict(), r.detail)
	}
	return t.Flush()
}

// median is the middle of several measurements, which one slow run cannot move.
func median(durations []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(durations))
	return sorted[len(sorted)/2]
}
