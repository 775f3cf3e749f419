// Package schedule says when a timer runs: NCRONTAB and TimeSpan schedules as the Azure Functions host reads them,
// evaluated in a time zone given by its Windows or IANA name.
//
// # NCRONTAB
//
// Six fields between spaces, or five without the second:
//
//	field         values              names
//	second        0-59
//	minute        0-59
//	hour          0-23
//	day of month  1-31
//	month         1-12                January-December
//	day of week   0-6, 0 is Sunday    Sunday-Saturday
//
//	form    means
//	*       every value
//	5       that value
//	1-5     from 1 to 5
//	*/10    every tenth value from the first on
//	5/10    every tenth value from 5 to the end of the field
//	1-9/2   every second value from 1 to 9
//	1,5-7   all of a list
//
// What surprises those who know other crons: 7 is no Sunday; ?, L, W, # and @daily do not exist; a day must match both the day
// of month and the day of week; a range never wraps around (22-2 is 2-22, FRI-MON is Monday to Friday); a step below 1 is 1;
// a name may be cut short, and the first that fits is meant (T is Tuesday, JU is June).
//
// A text that is no cron expression is tried as a .NET TimeSpan, the time from one run to the next: 00:30:00, 1.00:00:00.
// Beware: 24:00:00 is 24 days, and so is 24.
//
// Parse accepts and refuses exactly what the host does. [Schedule.Validate] refuses what cannot be meant, and
// [Schedule.Warnings] tells of what is probably not.
//
// # Days when the clocks change
//
// A time that the clock skips comes later by as much: 02:30 is at 03:30 on that day. In an hour that the clock shows twice, a
// schedule with a run of values (or all of them) in its second, minute or hour runs in both passes; any other runs once, in
// the first.
//
// The host means the same, but loses or misplaces runs, and there we do not follow it:
//
//   - 0 30 2 25 10 * in Europe/Warsaw: the host, computing in January, skips 2026, when that time is shown twice.
//   - 0 0 1,2 * * *: after the repeated hour the host runs it once at 00:00.
//   - 0 10,40 2 * * *: on the day without that hour the host runs it at 03:10 only, we also at 03:40.
//   - started inside the shifted hour, the host loses the run that is still to come in it.
//   - 31 February: the host waits for the year 9999; we call it an error at start.
//
// # Time zones
//
// Zones come from Go's time zone database, embedded in the program, where the system has none. A Windows name stands for the
// IANA zone that .NET takes for it on Linux (Unicode CLDR). Windows itself may know other rules for the past of a zone, and
// sometimes for the present: "Central Asia Standard Time" is Asia/Almaty here and five hours ahead of UTC, as for .NET on
// Linux. Use the IANA name where that matters.
package schedule
