package ftpfetch_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpfetch"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftppulltest"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/sim/azurite/azuritetest"
	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

var emulator azuritetest.Shared

func TestMain(m *testing.M) { os.Exit(emulator.Run(m)) }

// room is a handler in a world of its own.
type room struct {
	*ftppulltest.World
	h *ftpfetch.Handler
}

func setup(t *testing.T, options simftp.Options) room {
	t.Helper()
	w := ftppulltest.New(t, emulator.Server(t).ConnectionString(), options)
	return room{w, &ftpfetch.Handler{
		Config: ftpfetch.Config{
			Source: "/", Server: "ftp://test", Connections: 4, After: ftpfetch.Keep,
			Guard: ftpfetch.Guard{HoldEmpty: true, MaxShrinkPercent: 50},
		},
		FTP: w.Pool, Blobs: w.Files, State: w.State, Queue: w.Queue, Now: time.Now,
	}}
}

func (r room) batch(t *testing.T, names ...string) drop.Batch {
	b := drop.Batch{Run: "run", Folder: "in/today"}
	for _, name := range names {
		b.Files = append(b.Files, r.File(t, name))
	}
	return b
}

func (r room) deliver(ctx context.Context, b drop.Batch) error {
	return r.h.Handle(ctx, customhandler.Message[drop.Batch]{Data: b, DequeueCount: 1})
}

func (r room) redeliver(ctx context.Context, b drop.Batch) error {
	return r.h.Handle(ctx, customhandler.Message[drop.Batch]{Data: b, DequeueCount: 2, Again: true})
}

func (r room) manifest(t *testing.T, b drop.Batch) drop.Manifest {
	t.Helper()
	m, err := drop.ReadManifest(t.Context(), r.Files, b.ManifestName())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func outcomes(m drop.Manifest) string {
	var all []string
	for _, e := range m.Files {
		all = append(all, e.Path+" "+string(e.Outcome))
	}
	return strings.Join(all, ", ")
}

func sum(content string) string {
	s := sha256.Sum256([]byte(content))
	return hex.EncodeToString(s[:])
}

func TestBatchIsStoredWithItsManifest(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	contents := map[string]string{
		"/a.csv": "id,name\n1,x\n", "/sub/Übersicht 1.txt": "äöü", "/bin.dat": "a\x00b", "/big.txt": strings.Repeat("0123456789abcde\n", 600_000),
	}
	var names []string
	for name, content := range contents {
		r.Put(t, name, content)
		names = append(names, name)
	}
	b := r.batch(t, names...)
	if err := r.deliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	m := r.manifest(t, b)
	for _, e := range m.Files {
		want := contents["/"+e.Path]
		got, _ := r.Read(t, "in/today/"+e.Path)
		if got != want || e.SHA256 != sum(want) || e.Outcome != drop.Stored || e.Blob != "in/today/"+e.Path {
			t.Errorf("%s: %d bytes stored of %d, %+v", e.Path, len(got), len(want), e)
		}
		p, err := r.Files.Stat(t.Context(), e.Blob)
		if err != nil || hex.EncodeToString(p.MD5) != e.MD5 || p.Metadata["sourcemodtime"] != e.ModTime.Format(time.RFC3339) {
			t.Errorf("%s: properties %+v, %v", e.Path, p, err)
		}
	}
	if len(m.Files) != 4 || m.Source != "ftp://test/" || m.Run != "run" {
		t.Errorf("manifest %s", m.Bytes())
	}
	for p := range r.State.List(t.Context(), "progress/") {
		t.Errorf("left behind: %s", p.Name)
	}
}

func TestARepeatFindsTheWorkDone(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	r.Put(t, "/a", "one")
	r.Put(t, "/b", "two")
	b := r.batch(t, "/a", "/b")
	if err := r.deliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	first := r.manifest(t, b)
	r.FTP.Script(simftp.Fault{Command: "RETR", Kind: simftp.Answer, Reply: "550 must not be asked for"})
	for range 2 {
		if err := r.redeliver(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if second := r.manifest(t, b); string(second.Bytes()) != string(first.Bytes()) {
		t.Errorf("the manifest changed: %s", second.Bytes())
	}
	// The handler was killed after the files and before the manifest.
	if err := r.Files.Delete(t.Context(), b.ManifestName(), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	if err := r.redeliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got := outcomes(r.manifest(t, b)); got != "a stored, b stored" {
		t.Error(got)
	}
}

func TestOneBadFileDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		break_ func(r room, b *drop.Batch)
		want   string // outcome of the file "bad"
		alone  string // what its own message then makes of it
	}{
		{"deleted meanwhile", func(r room, b *drop.Batch) { r.FTP.FS().Remove("/bad") }, "gone", ""},
		{"changed meanwhile", func(r room, b *drop.Batch) { b.Files[1].Size-- }, "handedOn", "stored"},
		{"touched meanwhile", func(r room, b *drop.Batch) { b.Files[1].ModTime = b.Files[1].ModTime.Add(-time.Minute) }, "handedOn", "stored"},
		{"refused by the server", func(r room, b *drop.Batch) {
			r.FTP.Script(simftp.Fault{Command: "RETR", Path: "bad", Kind: simftp.Answer, Reply: "550 permission denied"})
		}, "handedOn", "error"},
		{"shrunk", func(r room, b *drop.Batch) { b.Files[1].Previous = &drop.Delivered{Size: 1000} }, "handedOn", "held"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := setup(t, simftp.Options{})
			for _, name := range []string{"/a", "/bad", "/c"} {
				r.Put(t, name, "content of "+name)
			}
			b := r.batch(t, "/a", "/bad", "/c")
			row.break_(r, &b)
			if err := r.deliver(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			if got, want := outcomes(r.manifest(t, b)), "a stored, bad "+row.want+", c stored"; got != want {
				t.Fatalf("%s, want %s", got, want)
			}
			if row.alone == "" {
				return
			}
			next := r.nextAlone(t)
			err := r.deliver(t.Context(), next)
			if row.alone == "error" {
				if err == nil || !strings.Contains(err.Error(), "permission denied") {
					t.Errorf("alone: %v", err)
				}
				return
			}
			if got := outcomes(r.manifest(t, next)); got != "bad "+row.alone {
				t.Errorf("alone: %s, %v", got, err)
			}
			if m := r.manifest(t, b); m.Files[1].Next != next.ManifestName() {
				t.Errorf("the manifest points to %q, not to %q", m.Files[1].Next, next.ManifestName())
			}
		})
	}
}

// nextAlone takes the one message that was handed on, also while it is still invisible.
func (r room) nextAlone(t *testing.T) drop.Batch {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if batches := r.Batches(t); len(batches) > 0 {
			if len(batches) != 1 || len(batches[0].Files) != 1 {
				t.Fatalf("handed on: %+v", batches)
			}
			return batches[0]
		}
	}
	t.Fatal("nothing was handed on")
	return drop.Batch{}
}

func TestHeldFileLiesApartUntilReleased(t *testing.T) {
	t.Parallel()
	for _, size := range []int{30, 5 << 20} {
		r := setup(t, simftp.Options{})
		content := strings.Repeat("x", size)
		r.Put(t, "/hr.csv", content)
		b := r.batch(t, "/hr.csv")
		b.Files[0].Previous = &drop.Delivered{Size: int64(size) * 10}
		for name, deliver := range map[string]func(context.Context, drop.Batch) error{"first": r.deliver, "again": r.redeliver} {
			if err := deliver(t.Context(), b); err == nil || !strings.Contains(err.Error(), "90 % less") {
				t.Fatalf("%s delivery: %v, want a hold", name, err)
			}
		}
		if got := r.Names(t); !slices.Equal(got, []string{"_held/in/today/hr.csv"}) {
			t.Fatalf("blobs %v", got)
		}
		r.FTP.FS().Remove("/hr.csv") // the source may be gone by the time somebody decides
		released := customhandler.Message[drop.Batch]{Data: b, DequeueCount: 1, Again: true, Released: &customhandler.Release{}}
		for range 2 {
			if err := r.h.Handle(t.Context(), released); err != nil {
				t.Fatal(err)
			}
		}
		if got, _ := r.Read(t, "in/today/hr.csv"); got != content {
			t.Errorf("released: %d bytes", len(got))
		}
		if got := r.Names(t); !slices.Equal(got, []string{"in/today/hr.csv"}) {
			t.Errorf("blobs %v", got)
		}
		if got := outcomes(r.manifest(t, b)); got != "hr.csv stored" {
			t.Error(got)
		}
	}
}

func TestLateSuspicionOfALargeFile(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	r.h.Config.Guard.Trailers = ftpfetch.Rules{}
	if err := r.h.Config.Guard.Trailers.UnmarshalText([]byte(`*.txt=^TRAILER`)); err != nil {
		t.Fatal(err)
	}
	r.Put(t, "/pay.txt", strings.Repeat("line\n", 1<<20))
	b := r.batch(t, "/pay.txt")
	if err := r.deliver(t.Context(), b); err == nil || !strings.Contains(err.Error(), "may be cut off") {
		t.Fatal(err)
	}
	if got := r.Names(t); !slices.Equal(got, []string{"_held/in/today/pay.txt"}) {
		t.Errorf("blobs %v", got)
	}
}

func TestAfterStoring(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		after ftpfetch.After
		want  string
	}{
		{ftpfetch.Keep, "/a /a.done"},
		{ftpfetch.Delete, ""},
		{ftpfetch.Archive, "/old/today/a /old/today/a.done"},
	} {
		r := setup(t, simftp.Options{})
		r.h.Config.After, r.h.Config.Archive, r.h.Config.DoneSuffix = row.after, "/old", ".done"
		r.Put(t, "/a", "x")
		r.Put(t, "/a.done", "")
		b := r.batch(t, "/a")
		for _, deliver := range []func(context.Context, drop.Batch) error{r.deliver, r.redeliver} {
			if err := deliver(t.Context(), b); err != nil {
				t.Fatalf("%s: %v", row.after, err)
			}
		}
		var left []string
		for _, name := range []string{"/a", "/a.done", "/old/today/a", "/old/today/a.done"} {
			if _, err := r.FTP.FS().Stat(name); err == nil {
				left = append(left, name)
			}
		}
		if got := strings.Join(left, " "); got != row.want {
			t.Errorf("%s left %q, want %q", row.after, got, row.want)
		}
	}
}

func TestANewerSourceIsNotDeleted(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	r.Put(t, "/a", "old")
	b := r.batch(t, "/a")
	if err := r.deliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	r.Put(t, "/a", "newer")
	r.h.Config.After = ftpfetch.Delete
	if err := r.redeliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if _, err := r.FTP.FS().Stat("/a"); err != nil {
		t.Errorf("the newer version is gone: %v", err)
	}
}

func TestBadMessagesArePermanent(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	good := drop.File{Path: "a", Size: 1}
	for _, row := range []struct {
		batch drop.Batch
		want  string
	}{
		{drop.Batch{Folder: "in/x"}, "no files"},
		{drop.Batch{Folder: "../x", Files: []drop.File{good}}, "field folder"},
		{drop.Batch{Folder: "in/x", Files: []drop.File{good, {Path: "../../etc/passwd"}}}, "field files[1].path"},
		{drop.Batch{Folder: "in/x", Files: []drop.File{{Path: "a", Size: -1}}}, "field files[0].size"},
	} {
		err := r.deliver(t.Context(), row.batch)
		if customhandler.Outcome(err) != "permanent" || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%+v: %v, want %q", row.batch, err, row.want)
		}
	}
}

func TestANameThatIsTakenByOtherContentIsAnError(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	r.Put(t, "/a", "mine")
	if _, err := r.Files.Write(t.Context(), "in/today/a", []byte("theirs"), storage.Cond{}, storage.Meta{}); err != nil {
		t.Fatal(err)
	}
	err := r.deliver(t.Context(), r.batch(t, "/a"))
	if err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("%v", err)
	}
	if got, _ := r.Read(t, "in/today/a"); got != "theirs" {
		t.Errorf("overwritten by %q", got)
	}
}

func TestTwoDeliveriesAtOnceDoTheWorkOnce(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	var names []string
	for i := range 20 {
		name := fmt.Sprintf("/f%02d", i)
		r.Put(t, name, "content of "+name)
		names = append(names, name)
	}
	b := r.batch(t, names...)
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- r.deliver(t.Context(), b) }()
	}
	if err := errors.Join(<-errs, <-errs); err != nil {
		t.Fatal(err)
	}
	if got := r.Names(t); len(got) != 20 {
		t.Errorf("%d blobs", len(got))
	}
	if got := r.manifest(t, b).Count(drop.Stored); got != 20 {
		t.Errorf("%d stored", got)
	}
}

func TestABatchThatKillsHandlersGoesOnInHalves(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	var names []string
	for i := range 5 {
		names = append(names, fmt.Sprintf("/f%d", i))
		r.Put(t, names[i], "content")
	}
	if err := r.deliver(t.Context(), r.batch(t, names[0])); err != nil { // stored before the handler died
		t.Fatal(err)
	}
	b := r.batch(t, names...)
	lost := customhandler.Message[drop.Batch]{Data: b, DequeueCount: 1, Again: true, Lost: 2}
	for range 2 {
		if err := r.h.Handle(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
	}
	if got := outcomes(r.manifest(t, b)); got != "f0 stored, f1 handedOn, f2 handedOn, f3 handedOn, f4 handedOn" {
		t.Error(got)
	}
	halves := r.Batches(t)
	if len(halves) != 2 || len(halves[0].Files)+len(halves[1].Files) != 4 {
		t.Fatalf("halves %+v", halves)
	}
	for _, half := range halves {
		if err := r.deliver(t.Context(), half); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.Names(t); len(got) != 5 {
		t.Errorf("blobs %v", got)
	}
}

func TestOddFiles(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	r.h.Config.Guard = ftpfetch.Guard{}
	contents := map[string]string{
		"/" + strings.Repeat("n", 251) + ".csv": "255 bytes of name",
		"/empty.csv":                            "",
		"/ leading and trailing":                "spaces",
		"/percent%2e%2e%2fname.csv":             "not decoded",
		"/quote'\"#?&+.csv":                     "signs",
		"/日本語 Größe.csv":                        "unicode",
	}
	var names []string
	for name, content := range contents {
		r.Put(t, name, content)
		names = append(names, name)
	}
	b := r.batch(t, names...)
	if err := r.deliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got := r.manifest(t, b).Count(drop.Stored); got != len(names) {
		t.Errorf("%d of %d stored: %s", got, len(names), outcomes(r.manifest(t, b)))
	}
	for name, content := range contents {
		if got, found := r.Read(t, "in/today"+name); !found || got != content {
			t.Errorf("%q: %q, %v", name, got, found)
		}
	}
}
