package drop

import "regexp"

// date matches a date, with or without a time after it, as feeds put it into file names: 20261121, 2026-11-21,
// 21.11.2026, 20261121_0630, 2026-11-21T06-30-00.
var date = regexp.MustCompile(`(?:\d{4}[-_.]?\d{2}[-_.]?\d{2}|\d{2}[-_.]\d{2}[-_.]\d{4})(?:[T_.-]?\d{2}[-_.]?\d{2}(?:[-_.]?\d{2})?)?`)

// Series names the feed that a file belongs to: its path with the date in it, if any, blanked out. The guard compares a
// file with the last one delivered in its series, so that hr_20261121.csv is measured against hr_20261120.csv.
func Series(path string) string { return date.ReplaceAllString(path, "{date}") }
