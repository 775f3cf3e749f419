package main

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/functions/mimbackup/backup"
	"github.com/nightshift-hq/nightshift/functions/mimbackup/mimbackuptest"
	"github.com/nightshift-hq/nightshift/functions/mimbackup/mimexport"
	"github.com/nightshift-hq/nightshift/functions/mimbackup/mimverify"
	"github.com/nightshift-hq/nightshift/pkg/cursor"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/mim"
	"github.com/nightshift-hq/nightshift/pkg/schedule/gate"
	"github.com/nightshift-hq/nightshift/pkg/sim/azurite"
	simmim "github.com/nightshift-hq/nightshift/pkg/sim/mim"
	"github.com/nightshift-hq/nightshift/pkg/sim/storagefault"
)

var emulator *azurite.Server

func TestMain(m *testing.M) { os.Exit(mimbackuptest.Main(m, &emulator)) }

// night is both rooms in a world whose storage can be broken, with a clock that the test moves.
type night struct {
	*mimbackuptest.World
	tb     testing.TB
	proxy  *storagefault.Proxy
	now    time.Time
	export *mimexport.Handler
	verify *mimverify.Handler
}

func newNight(t *testing.T) *night {
	t.Helper()
	proxy, err := storagefault.Start(emulator.ConnectionString())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	w := mimbackuptest.New(t, proxy.ConnectionString())
	n := &night{World: w, tb: t, proxy: proxy, now: time.Date(2026, 11, 20, 23, 30, 0, 0, time.UTC)}
	var format mimexport.FolderFormat
	if err := format.UnmarshalText([]byte("dd-MM-yyyy-HH-mm")); err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return n.now }
	gated := gate.Gate{Passed: cursor.Open[gate.Passed](w.State, "mimexport-gate", gate.Version)}
	if err := errors.Join(gated.Schedule.UnmarshalText([]byte("0 30 23 * * *")), gated.Zone.UnmarshalText([]byte("UTC"))); err != nil {
		t.Fatal(err)
	}
	n.export = &mimexport.Handler{
		Config: mimexport.Config{Root: `C:\Backup`, FolderFormat: format, Zone: time.UTC, Engine: mimexport.Auto, LateAfter: 3 * time.Hour},
		Gate:   gated,
		Server: w.Client, Cursor: cursor.Open[mimexport.State](w.State, "mimexport", mimexport.StateVersion), Backups: w.Backups, Queue: w.Queue, Now: clock,
	}
	n.verify = &mimverify.Handler{
		Config: mimverify.Config{Root: `C:\Backup`, KeepOnServer: 2, Retention: mim.Retention{Newest: 1, Days: 3}, Zone: time.UTC, MaxShrinkPercent: 30},
		Server: w.Client, Backups: w.Backups, Now: clock,
	}
	return n
}

// tick fires the timer by hand.
func (n *night) tick(t *testing.T) error {
	t.Helper()
	return n.export.Handle(t.Context(), customhandler.Timer{Manual: true, Now: n.now})
}

func (n *night) deliver(t *testing.T, s backup.Shipped) error {
	t.Helper()
	return n.verify.Handle(t.Context(), customhandler.Message[backup.Shipped]{Data: s, DequeueCount: 1})
}

// pass is a night without trouble.
func (n *night) pass(t *testing.T) backup.Shipped {
	t.Helper()
	if err := n.tick(t); err != nil {
		t.Fatal(err)
	}
	messages := n.Messages(t)
	if len(messages) != 1 {
		t.Fatalf("%d messages", len(messages))
	}
	if err := n.deliver(t, messages[0]); err != nil {
		t.Fatal(err)
	}
	return messages[0]
}

func (n *night) mark(t *testing.T, run string) backup.Verified {
	t.Helper()
	mark, err := backup.ReadMark(t.Context(), n.Backups, run)
	if err != nil {
		t.Fatal(err)
	}
	return mark
}

func (n *night) nextDay() { n.now = n.now.AddDate(0, 0, 1) }

func TestTwoNights(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	first := n.pass(t)
	if got := n.Folders(t); !slices.Equal(got, []string{"20-11-2026-23-30"}) {
		t.Errorf("folders on the server: %q", got)
	}
	mark := n.mark(t, first.Run)
	if mark.Folder != `C:\Backup\20-11-2026-23-30` || len(mark.Parts) != 4 || mark.Previous != "" || mark.Bytes == 0 {
		t.Errorf("mark %+v", mark)
	}
	text, _ := n.Read(t, backup.ZipName(first.Run))
	archive, err := zip.NewReader(strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"manifest.json", "RESTORE.md", "ServerExport/MV.XML", "PortalExport/policy.xml"} {
		if _, err := archive.Open(want); err != nil {
			t.Error(err)
		}
	}

	expected, err := n.MIM.Night(n.mutation(t))
	if err != nil {
		t.Fatal(err)
	}
	n.nextDay()
	second := n.pass(t)
	data, ok := n.Read(t, backup.DriftName(second.Run))
	if !ok {
		t.Fatal("no drift report")
	}
	var report mim.Report
	if err := json.Unmarshal([]byte(data), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Changes) != len(expected) || len(expected) == 0 || report.Before.Name != first.Run || report.After.Name != second.Run {
		t.Errorf("%d changes from %s to %s, want %d", len(report.Changes), report.Before.Name, report.After.Name, len(expected))
	}
	page, _ := n.Read(t, backup.DriftPageName(second.Run))
	if !strings.Contains(page, "<html") {
		t.Errorf("drift.html: %.200s", page)
	}
	if mark := n.mark(t, second.Run); mark.Previous != first.Run || mark.Changes != len(expected) || len(mark.Worries) != 0 {
		t.Errorf("mark %+v", mark)
	}
}

func TestAQuietNightSaysSo(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	n.pass(t)
	if _, err := n.MIM.Night(); err != nil {
		t.Fatal(err)
	}
	n.nextDay()
	second := n.pass(t)
	if data, _ := n.Read(t, backup.DriftName(second.Run)); !strings.Contains(data, `"changes": []`) {
		t.Errorf("drift.json: %.300s", data)
	}
}

// TestOldBackupsGo keeps two folders on the server and three days in the container.
func TestOldBackupsGo(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	if err := n.Windows.Drive().WriteFile(`C:\Backup\by hand\notes.txt`, []byte("not ours")); err != nil {
		t.Fatal(err)
	}
	var runs []string
	for range 5 {
		runs = append(runs, n.pass(t).Run)
		n.nextDay()
	}
	if got, want := n.Folders(t), []string{"23-11-2026-23-30", "24-11-2026-23-30", "by hand"}; !slices.Equal(got, want) {
		t.Errorf("folders on the server %q, want %q", got, want)
	}
	kept, marks, err := backup.Runs(t.Context(), n.Backups)
	if err != nil || !slices.Equal(kept, runs[2:]) || len(marks) != 3 {
		t.Errorf("runs kept %q (%d marks), want %q: %v", kept, len(marks), runs[2:], err)
	}
}

// TestAFolderThatIsInUseStaysAndIsRemovedLater keeps the record of a backup until its folder is gone.
func TestAFolderThatIsInUseStaysAndIsRemovedLater(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	first := n.pass(t)
	release := n.Windows.Drive().Hold(`C:\Backup\20-11-2026-23-30\RESTORE.md`)
	for range 4 {
		n.nextDay()
		n.pass(t)
	}
	if got := n.Folders(t); len(got) != 3 || got[0] != "20-11-2026-23-30" {
		t.Errorf("folders %q, want the one in use and two more", got)
	}
	n.mark(t, first.Run)
	release()
	n.nextDay()
	n.pass(t)
	if got := n.Folders(t); len(got) != 2 {
		t.Errorf("folders %q", got)
	}
	if slices.Contains(n.Names(t), backup.ZipName(first.Run)) {
		t.Error("the first backup is still there")
	}
}

// TestADeliveredMessageComesAgain finds its work done.
func TestADeliveredMessageComesAgain(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	message := n.pass(t)
	before := n.mark(t, message.Run)
	n.now = n.now.Add(time.Hour)
	if err := n.deliver(t, message); err != nil {
		t.Fatal(err)
	}
	if after := n.mark(t, message.Run); !after.Verified.Equal(before.Verified) {
		t.Error("it was verified again")
	}
}

// TestAPartThatIsGone is an error in the log and on record, and the backup counts.
func TestAPartThatIsGone(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	n.pass(t)
	n.MIM.Fail["PortalExport"] = "There was no endpoint listening"
	n.nextDay()
	second := n.pass(t)
	mark := n.mark(t, second.Run)
	if len(mark.Worries) != 1 || !strings.Contains(mark.Worries[0], "PortalExport was there and is failed now: There was no endpoint listening") {
		t.Errorf("worries %q", mark.Worries)
	}
}

// mutation is something that an administrator did.
func (n *night) mutation(t *testing.T) simmim.Mutation {
	t.Helper()
	all := n.MIM.Mutations()
	if len(all) == 0 {
		t.Fatal("the installation has nothing to change")
	}
	return all[0]
}
