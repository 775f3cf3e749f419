package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// shownBlobs is how many blobs of a night are named.
const shownBlobs = 3

// summarise prints what a night has brought and where to look.
func (s *session) summarise(before, after survey, took time.Duration) {
	t := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  stored\t%d files, %s, in %.1f s\n", after.files-before.files, megabytes(after.bytes-before.bytes), took.Seconds())
	fmt.Fprintf(t, "  held\t%d\n", len(after.held))
	for _, e := range after.held {
		fmt.Fprintf(t, "\t%s: %s\n", e.Path, e.Reason)
	}
	fmt.Fprintf(t, "  poisoned\t%d\n", after.poisoned)
	container := s.app.blobs.Name()
	shown := 0
	for _, name := range slices.Sorted(maps.Keys(after.stored)) {
		if _, old := before.stored[name]; !old && shown < shownBlobs {
			fmt.Fprintf(t, "  stored as\t%s/%s\n", container, name)
			shown++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.app.manifests)) {
		if !slices.Contains(before.manifests, name) {
			fmt.Fprintf(t, "  proven by\t%s/%s\n", container, name)
			break
		}
	}
	t.Flush()
}

// command is something to paste into another terminal.
type command struct{ what, line string }

// commands are three things to try. They work as they stand.
func (s *session) commands() []command {
	host := s.host.Apps()[0].URL
	scan := fmt.Sprintf(`curl -sS -X POST -H 'Content-Type: application/json' -d '{"input":""}' %s/admin/functions/ftpscan`, host)
	all := []command{
		{"what would the next scan fetch? (invoke, dry run)",
			fmt.Sprintf(`curl -sS -d '{"function":"ftpscan","dryRun":true}' %s/api/invoke`, host)},
		{"does every setting and connection work? (check)",
			fmt.Sprintf(`curl -sS '%s/api/check?format=text'`, host)},
	}
	if s.estate.ftp == nil {
		return append(all, command{"put a new file on your FTP server, then scan", scan})
	}
	return append(all, command{"drop a new file and scan",
		fmt.Sprintf(`echo hello | curl -sS --ssl-reqd --cacert %s --user %s:%s --ftp-create-dirs -T - ftp://%s/hr/greeting.txt && %s`,
			quoted(s.estate.certificate()), ftpUser, ftpPassword, s.estate.ftp.Addr(), scan)})
}

func (s *session) invite() {
	fmt.Fprintln(s.out, "\nTo try, in another terminal:")
	for _, c := range s.commands() {
		fmt.Fprintf(s.out, "\n  # %s\n  %s\n", c.what, c.line)
	}
	fmt.Fprintf(s.out, "\nWhat is held and poisoned, with reasons: curl -sS %s/api/invoke\n", s.host.Apps()[0].URL)
	fmt.Fprintf(s.out, "The host's log: %s\nThe storage emulator (for Storage Explorer): %s\n", s.logFile(), s.estate.emulator.ConnectionString())
}

// quoted makes a text one word of a POSIX shell.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
