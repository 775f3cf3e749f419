package schedule_test

import (
	"fmt"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/schedule"
)

func ExampleSchedule_Next() {
	nightly, err := schedule.Parse("0 30 2 * * *")
	if err != nil {
		panic(err)
	}
	zone, err := schedule.LoadZone("Central European Standard Time")
	if err != nil {
		panic(err)
	}
	at := time.Date(2026, time.March, 27, 12, 0, 0, 0, time.UTC)
	for range 3 {
		at = nightly.Next(at, zone.Location())
		fmt.Println(at)
	}
	// Output:
	// 2026-03-28 02:30:00 +0100 CET
	// 2026-03-29 03:30:00 +0200 CEST
	// 2026-03-30 02:30:00 +0200 CEST
}

func ExampleParse() {
	_, err := schedule.Parse("0 0 24 * * *")
	fmt.Println(err)
	// Output:
	// parse schedule "0 0 24 * * *": hour "24": 24 is outside 0-23; want 0-23, *, a list, a range or a step such as */5
}

func ExampleSchedule_Warnings() {
	daily, err := schedule.Parse("24:00:00")
	if err != nil {
		panic(err)
	}
	for _, warning := range daily.Warnings() {
		fmt.Println(warning)
	}
	// Output:
	// "24:00:00" is 24 days; for hours or minutes write for example 1.00:00:00 (a day) or 00:05:00 (five minutes)
}

func ExampleZone_Windows() {
	zone, err := schedule.LoadZone("Europe/Warsaw")
	if err != nil {
		panic(err)
	}
	fmt.Println(zone, "is", zone.Windows(), "on Windows")
	// Output:
	// Europe/Warsaw is Central European Standard Time on Windows
}
