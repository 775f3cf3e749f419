package ftpscan_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftppulltest"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpscan"
	"github.com/nightshift-hq/nightshift/pkg/cursor"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/schedule"
	"github.com/nightshift-hq/nightshift/pkg/schedule/gate"
	"github.com/nightshift-hq/nightshift/pkg/sim/azurite/azuritetest"
	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

var emulator azuritetest.Shared

func TestMain(m *testing.M) { os.Exit(emulator.Run(m)) }

type room struct {
	*ftppulltest.World
	h *ftpscan.Handler
}

func setup(t *testing.T, options simftp.Options) room {
	t.Helper()
	w := ftppulltest.New(t, emulator.Server(t).ConnectionString(), options)
	var format ftpscan.FolderFormat
	if err := format.UnmarshalText([]byte("yyyy-MM-dd")); err != nil {
		t.Fatal(err)
	}
	return room{w, &ftpscan.Handler{
		Config: ftpscan.Config{
			Source: "/", Depth: 3, Target: "in", FolderFormat: format, Zone: time.UTC,
			Filter: ftpscan.Filter{Temporary: ftpscan.Globs{"*.tmp", "*.part"}},
			Limits: drop.Limits{Files: 2, Bytes: 1 << 20},
		},
		FTP: w.Pool, Cursor: cursor.Open[ftpscan.State](w.State, "ftpscan", ftpscan.StateVersion),
		Blobs: w.Files, Queue: w.Queue, Now: time.Now,
	}}
}

func (r room) scan(t *testing.T) error {
	return r.h.Handle(t.Context(), customhandler.Timer{Manual: true, Now: r.h.Now()})
}

// handed runs a scan and returns the paths that it put into the queue, sorted.
func (r room) handed(t *testing.T) []string {
	t.Helper()
	if err := r.scan(t); err != nil {
		t.Fatal(err)
	}
	return paths(r.Batches(t))
}

func paths(batches []drop.Batch) []string {
	var all []string
	for _, b := range batches {
		for _, f := range b.Files {
			all = append(all, f.Path)
		}
	}
	slices.Sort(all)
	return all
}

// finish plays ftpfetch: it writes the manifest of a batch.
func (r room) finish(t *testing.T, b drop.Batch, outcome drop.Outcome, lines int64) {
	t.Helper()
	var entries []drop.Entry
	for _, f := range b.Files {
		entries = append(entries, drop.Entry{File: f, Outcome: outcome, Blob: b.BlobName(f), Lines: lines, Text: true})
	}
	m := drop.NewManifest(b, "ftp://test/", entries, r.h.Now())
	if _, err := r.Files.Write(t.Context(), b.ManifestName(), m.Bytes(), storage.Cond{}, storage.Meta{}); err != nil {
		t.Fatal(err)
	}
}

func (r room) state(t *testing.T) ftpscan.State {
	t.Helper()
	record, err := r.h.Cursor.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return record.Value
}

func TestOnlyWhatIsNewIsHandedOn(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	for _, name := range []string{"/a.csv", "/hr/b.csv", "/hr/x.tmp", "/hr/deep/er/c.csv", "/hr/deep/er/too/d.csv"} {
		r.Put(t, name, "content of "+name)
	}
	if got := r.handed(t); !slices.Equal(got, []string{"a.csv", "hr/b.csv", "hr/deep/er/c.csv"}) {
		t.Errorf("first scan: %v", got)
	}
	if got := r.handed(t); len(got) != 0 {
		t.Errorf("second scan: %v", got)
	}
	r.Put(t, "/a.csv", "changed")
	r.Put(t, "/new.csv", "new")
	if got := r.handed(t); !slices.Equal(got, []string{"a.csv", "new.csv"}) {
		t.Errorf("third scan: %v", got)
	}
}

func TestANewVersionNeverGoesToTheFolderOfTheOld(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	r.h.Now = func() time.Time { return time.Date(2026, 11, 21, 10, 30, 0, 0, time.UTC) }
	folders := func() (all []string) {
		t.Helper()
		if err := r.scan(t); err != nil {
			t.Fatal(err)
		}
		for _, b := range r.Batches(t) {
			all = append(all, b.Folder+" "+strings.Join(paths([]drop.Batch{b}), " "))
		}
		slices.Sort(all)
		return all
	}
	r.Put(t, "/a", "one")
	if got := folders(); !slices.Equal(got, []string{"in/2026-11-21 a"}) {
		t.Fatal(got)
	}
	r.Put(t, "/a", "three")
	r.Put(t, "/b", "x")
	r.h.Now = func() time.Time { return time.Date(2026, 11, 21, 10, 45, 0, 0, time.UTC) }
	if got := folders(); !slices.Equal(got, []string{"in/2026-11-21 b", "in/2026-11-21-104500 a"}) {
		t.Fatal(got)
	}
	r.Put(t, "/a", "fifteen")
	r.h.Now = func() time.Time { return time.Date(2026, 11, 21, 11, 0, 0, 0, time.UTC) }
	if got := folders(); !slices.Equal(got, []string{"in/2026-11-21-110000 a"}) {
		t.Fatal(got)
	}
}

func TestAFileIsTakenWhenTwoListingsAgree(t *testing.T) {
	t.Parallel()
	var listings atomic.Int64
	var r room
	r = setup(t, simftp.Options{OnCommand: func(verb, _ string) {
		if verb == "MLSD" { // the file grows between any two listings
			n := listings.Add(1)
			r.FTP.WriteFile("/growing", []byte(strings.Repeat("x", int(n))), time.Now().Add(-time.Hour))
		}
	}})
	r.h.Config.Settle = 20 * time.Millisecond
	r.Put(t, "/still", "content")
	if got := r.handed(t); !slices.Equal(got, []string{"still"}) {
		t.Errorf("taken: %v", got)
	}
	if _, waiting := r.state(t).Seen["growing"]; !waiting {
		t.Error("the growing file is not remembered")
	}
}

func TestACompanionVouchesForItsFile(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	r.h.Config.Filter.DoneSuffix = ".done"
	r.h.Config.Settle = time.Hour // does not count
	for _, name := range []string{"/a.csv", "/a.csv.done", "/b.csv"} {
		r.Put(t, name, "x")
	}
	if got := r.handed(t); !slices.Equal(got, []string{"a.csv"}) {
		t.Errorf("taken: %v", got)
	}
	r.Put(t, "/b.csv.done", "")
	if got := r.handed(t); !slices.Equal(got, []string{"b.csv"}) {
		t.Errorf("taken: %v", got)
	}
}

func TestARunFinishesThePlanOfAKilledOne(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	r.Put(t, "/a", "x")
	plan := drop.Batch{Run: "earlier", Folder: "in/yesterday", Files: []drop.File{r.File(t, "/a")}}
	record, err := r.h.Cursor.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	state := record.Value
	state.Plan = []drop.Batch{plan}
	if _, err := r.h.Cursor.Swap(t.Context(), record, state); err != nil {
		t.Fatal(err)
	}
	if err := r.scan(t); err != nil {
		t.Fatal(err)
	}
	batches := r.Batches(t)
	if len(batches) != 1 || batches[0].ID() != plan.ID() || batches[0].Folder != "in/yesterday" {
		t.Errorf("handed on %+v, want the plan as it was", batches)
	}
	if got := r.state(t); len(got.Plan) != 0 || got.Known["a"].Folder != "in/yesterday" {
		t.Errorf("state %+v", got)
	}
}

func TestTheGuardGetsTheVersionDeliveredLast(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	previous := func(name, content string) *drop.Delivered {
		t.Helper()
		r.Put(t, name, content)
		if err := r.scan(t); err != nil {
			t.Fatal(err)
		}
		batches := r.Batches(t)
		if len(batches) != 1 {
			t.Fatalf("%d batches", len(batches))
		}
		r.finish(t, batches[0], drop.Stored, int64(len(content)))
		return batches[0].Files[0].Previous
	}
	if p := previous("/hr_20261120.csv", "12345"); p != nil {
		t.Errorf("first of its series has a previous %+v", p)
	}
	p := previous("/hr_20261121.csv", "123")
	if p == nil || p.Size != 5 || p.Lines != 5 || !p.Text {
		t.Errorf("second of its series: previous %+v", p)
	}
	if p := previous("/hr_20261122.csv", "1"); p == nil || p.Size != 3 {
		t.Errorf("third of its series: previous %+v", p)
	}
	if p := previous("/pay.csv", "1"); p != nil {
		t.Errorf("another series has a previous %+v", p)
	}
}

func TestWhatManifestsTeach(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		outcome drop.Outcome
		again   bool // the file is handed on again
		open    int  // manifests awaited after it
	}{
		{drop.Stored, false, 0},
		{drop.Gone, true, 1},
		{drop.Changing, true, 1},
		{drop.Held, false, 1},
	} {
		r := setup(t, simftp.Options{})
		r.Put(t, "/a", "x")
		if err := r.scan(t); err != nil {
			t.Fatal(err)
		}
		r.finish(t, r.Batches(t)[0], row.outcome, 1)
		if got := r.handed(t); (len(got) == 1) != row.again {
			t.Errorf("%s: handed on %v", row.outcome, got)
		}
		if got := r.state(t).Open; len(got) != row.open {
			t.Errorf("%s: awaits %v", row.outcome, got)
		}
	}
}

func TestBadNamesAreReportedAndTheOthersTaken(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{NoMLSD: true})
	r.Put(t, "/good.csv", "x")
	r.FTP.Script(
		simftp.Fault{Command: "LIST", Kind: simftp.Lines, Reply: strings.Join([]string{
			"-rw-r--r-- 1 u g 1 Jan  1 2026 good.csv",
			"-rw-r--r-- 1 u g 1 Jan  1 2026 ../../evil.csv",
			"-rw-r--r-- 1 u g 1 Jan  1 2026 back\\slash.csv",
			"this line means nothing",
		}, "\r\n")},
		simftp.Fault{Command: "NLST", Kind: simftp.Lines, Reply: "good.csv\r\nlost.csv"},
	)
	if got := r.handed(t); !slices.Equal(got, []string{"good.csv"}) {
		t.Errorf("taken: %v", got)
	}
}

func TestAWrongPasswordIsTriedOnce(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	r.h.FTP = r.Client(t, "wrong-canary")
	for range 3 {
		err := r.scan(t)
		if err == nil || strings.Contains(err.Error(), "wrong-canary") || !strings.Contains(err.Error(), "530") {
			t.Errorf("error %v", err)
		}
	}
	if got := r.FTP.Logins(); got != 1 {
		t.Errorf("%d logins, want 1", got)
	}
}

func TestRunsDoNotOverlap(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	r.Put(t, "/a", "x")
	_, lock, err := r.h.Cursor.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.scan(t); err == nil || !strings.Contains(err.Error(), "try again when it has ended") {
		t.Errorf("a run by hand says of the one under way: %v", err)
	}
	if err := r.h.Handle(t.Context(), customhandler.Timer{Now: time.Now()}); err != nil {
		t.Errorf("a scheduled run should stand back: %v", err)
	}
	if err := lock.Unlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.handed(t); len(got) != 1 {
		t.Errorf("after the other run: %v", got)
	}
}

func TestAMissingDirectoryIsNamed(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	r.h.Config.Source = "/no such"
	err := r.scan(t)
	if err == nil || !strings.Contains(err.Error(), "FTPSourceDirectory") || !strings.Contains(err.Error(), "see that it exists") {
		t.Errorf("got %v, want an error that names the setting and says what to do", err)
	}
}

func TestManyFiles(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	r.h.Config.Limits = drop.Limits{Files: 100, Bytes: 1 << 30}
	for i := range 2000 {
		r.Put(t, fmt.Sprintf("/f%04d", i), "x")
	}
	if err := r.scan(t); err != nil {
		t.Fatal(err)
	}
	batches := r.Batches(t)
	if len(batches) != 20 || len(paths(batches)) != 2000 {
		t.Errorf("%d batches with %d files", len(batches), len(paths(batches)))
	}
}

func TestScheduledRuns(t *testing.T) {
	t.Parallel()
	daily, err := schedule.Parse("0 30 10 * * *")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name    string
		fault   simftp.Fault
		retried bool
	}{
		{"server gone", simftp.Fault{Command: "CONNECT", Kind: simftp.Die, Times: 1}, true},
		{"server busy", simftp.Fault{Command: "CONNECT", Kind: simftp.Answer, Reply: "421 busy", Times: 1}, true},
		{"wrong password", simftp.Fault{Command: "PASS", Kind: simftp.Answer, Reply: "530 no", Times: 1}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := setup(t, simftp.Options{})
			r.h.Gate = gate.Gate{Schedule: daily, Passed: cursor.Open[gate.Passed](r.State, "gate", gate.Version)}
			r.Put(t, "/a", "x")
			tick := func(hour, minute int) error {
				return r.h.Handle(t.Context(), customhandler.Timer{Now: time.Date(2026, 11, 21, hour, minute, 0, 0, time.UTC)})
			}
			for _, minute := range []int{20, 25} {
				if err := tick(10, minute); err != nil || len(r.Batches(t)) != 0 {
					t.Fatalf("10:%d, not due: %v", minute, err)
				}
			}
			r.FTP.Script(row.fault)
			if err := tick(10, 30); err == nil {
				t.Fatal("no error although the server is in trouble")
			}
			if err := tick(10, 35); err != nil {
				t.Fatal(err)
			}
			if got := len(r.Batches(t)) == 1; got != row.retried {
				t.Errorf("tried again at the next tick: %v, want %v", got, row.retried)
			}
			if err := tick(10, 40); err != nil || len(r.Batches(t)) != 0 {
				t.Errorf("ran twice, %v", err)
			}
		})
	}
}
