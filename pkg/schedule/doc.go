// Package schedule says when a timer runs: NCRONTAB and TimeSpan schedules as the Azure Functions host reads them,
// evaluated in a time zone given by its Windows or IANA name.
package schedule
