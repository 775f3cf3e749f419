package gate_test

import (
	"context"
	"fmt"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/schedule"
	"github.com/nightshift-hq/nightshift/pkg/schedule/gate"
)

// The host ticks every half an hour of UTC; the job is meant for 02:30 in Berlin, also on the day when that comes twice.
func ExampleGate_Pass() {
	nightly, err := schedule.Parse("0 30 2 * * *")
	if err != nil {
		panic(err)
	}
	berlin, err := schedule.LoadZone("W. Europe Standard Time")
	if err != nil {
		panic(err)
	}
	// In an app: Passed: cursor.Open[gate.Passed](state, "job-gate", gate.Version)
	g := gate.Gate{Schedule: nightly, Zone: berlin, Passed: &memory{}}

	tick := time.Date(2026, time.October, 24, 0, 0, 0, 0, time.UTC)
	for range 3 * 48 {
		_, err := g.Pass(context.Background(), tick, func(context.Context) error {
			fmt.Println("ran at", tick.In(berlin.Location()))
			return nil
		})
		if err != nil {
			panic(err)
		}
		tick = tick.Add(30 * time.Minute)
	}
	// Output:
	// ran at 2026-10-24 02:30:00 +0200 CEST
	// ran at 2026-10-25 02:30:00 +0200 CEST
	// ran at 2026-10-26 02:30:00 +0100 CET
}
