package ftpdeliver_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/delivertest"
	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpdeliver"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftppulltest"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/sim/azurite/azuritetest"
	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
	"github.com/nightshift-hq/nightshift/pkg/sim/storagefault"
	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
	"github.com/nightshift-hq/nightshift/pkg/storage"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

var emulator azuritetest.Shared

func TestMain(m *testing.M) { os.Exit(emulator.Run(m)) }

const (
	password = "canary-Pa55word"
	root     = `C:\Import\HR`
	folder   = "C/Import/HR/2026-11-21"
	dated    = root + `\2026-11-21`
)

// room is a handler in a world of its own, whose storage can be broken.
type room struct {
	*ftppulltest.World
	t     testing.TB
	mim   *simwinrm.Server
	proxy *storagefault.Proxy
	h     *ftpdeliver.Handler
}

func setup(t testing.TB, via ftpdeliver.Via, options simwinrm.Options) *room {
	t.Helper()
	proxy, err := storagefault.Start(emulator.Server(t).ConnectionString())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	options.Accounts = map[string]string{"user": password}
	server, err := simwinrm.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	delivertest.Emulate(server)
	w := ftppulltest.New(t, proxy.ConnectionString(), simftp.Options{})
	r := &room{World: w, t: t, mim: server, proxy: proxy}
	r.h = &ftpdeliver.Handler{
		Config: ftpdeliver.Config{Target: root, Via: via}, Server: r.client(password), Blobs: w.Files, State: w.State, Now: time.Now,
	}
	return r
}

func (r *room) client(password string) *winrm.Client {
	c, err := winrm.New(winrm.Config{Server: r.mim.Addr(), Username: "user", Password: settings.NewSecret(password), Pin: r.mim.Pin(),
		OperationTimeout: 5 * time.Second})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func sum(content string) string {
	s := sha256.Sum256([]byte(content))
	return hex.EncodeToString(s[:])
}

// manifest stores files as ftpfetch does, as of the time given, and returns the name of their manifest.
func (r *room) manifest(at time.Time, files map[string]string) string {
	r.t.Helper()
	batch := drop.Batch{Run: "run", Folder: folder}
	var entries []drop.Entry
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content := files[name]
		f := drop.File{Path: name, Size: int64(len(content)), ModTime: at, Precise: true}
		batch.Files = append(batch.Files, f)
		if _, err := r.Files.Write(r.t.Context(), batch.BlobName(f), []byte(content), storage.Cond{}, storage.Meta{}); err != nil {
			r.t.Fatal(err)
		}
		entries = append(entries, drop.Entry{File: f, Outcome: drop.Stored, Blob: batch.BlobName(f), SHA256: sum(content)})
	}
	m := drop.NewManifest(batch, "ftp://server/out", entries, at)
	if _, err := r.Files.Write(r.t.Context(), m.Name(), m.Bytes(), storage.Cond{}, storage.Meta{}); err != nil {
		r.t.Fatal(err)
	}
	return m.Name()
}

func (r *room) deliver(ctx context.Context, manifest string) error {
	return r.h.Handle(ctx, customhandler.Message[drop.Delivery]{Data: drop.Delivery{Manifest: manifest}, DequeueCount: 1})
}

// host delivers as the host would: again until it succeeds.
func (r *room) host(manifest string) (failures int) {
	r.t.Helper()
	for {
		err := r.deliver(r.t.Context(), manifest)
		if err == nil {
			return failures
		}
		if failures++; failures == 5 {
			r.t.Fatalf("still failing: %v", err)
		}
	}
}

// verify makes sure that exactly the files and the manifest are in the dated folder.
func (r *room) verify(manifest string, files map[string]string) {
	r.t.Helper()
	for name, content := range files {
		got, err := r.mim.Drive().ReadFile(dated + `\` + strings.ReplaceAll(name, "/", `\`))
		if err != nil || string(got) != content {
			r.t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(content), err)
		}
	}
	want, _ := r.Read(r.t, manifest)
	if got, err := r.mim.Drive().ReadFile(dated + `\_manifests\` + path.Base(manifest)); err != nil || string(got) != want {
		r.t.Errorf("the manifest on the server: %v, %d bytes of %d", err, len(got), len(want))
	}
	if got := r.count(dated); got != len(files)+1 {
		r.t.Errorf("%d files on the server, want %d", got, len(files)+1)
	}
}

func (r *room) count(folder string) (n int) {
	entries, err := r.mim.Drive().ReadDir(folder)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if e.IsDir() {
			n += r.count(folder + `\` + e.Name())
			continue
		}
		n++
	}
	return n
}

func (r *room) absent(path string) {
	r.t.Helper()
	if _, err := r.mim.Drive().Stat(path); !errors.Is(err, os.ErrNotExist) {
		r.t.Errorf("%s is there: %v", path, err)
	}
}

func want(t testing.TB, err error, outcome string, texts ...string) {
	t.Helper()
	if got := customhandler.Outcome(err); got != outcome {
		t.Errorf("outcome %s, want %s: %v", got, outcome, err)
	}
	for _, text := range texts {
		if !strings.Contains(fmt.Sprint(err), text) {
			t.Errorf("%v\nwant %q in it", err, text)
		}
	}
}

// both runs a test for each way to the server.
func both(t *testing.T, test func(t *testing.T, via ftpdeliver.Via)) {
	t.Parallel()
	for _, via := range []ftpdeliver.Via{ftpdeliver.Link, ftpdeliver.Stdin} {
		t.Run(string(via), func(t *testing.T) {
			t.Parallel()
			test(t, via)
		})
	}
}

func some() map[string]string {
	return map[string]string{
		"a.csv": "id,name\n1,x\n", "payroll/Übersicht 2026.csv": strings.Repeat("row\n", 1000), "empty.txt": "",
		"big.bin": strings.Repeat("0123456789abcdef", 5<<16), // two pieces
	}
}

func TestFilesLandInTheDatedFolder(t *testing.T) {
	both(t, func(t *testing.T, via ftpdeliver.Via) {
		r := setup(t, via, simwinrm.Options{})
		m := r.manifest(noon, some())
		if err := r.deliver(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		r.verify(m, some())
	})
}

func TestRedeliveryFindsTheWorkDone(t *testing.T) {
	both(t, func(t *testing.T, via ftpdeliver.Via) {
		r := setup(t, via, simwinrm.Options{})
		m := r.manifest(noon, some())
		if err := r.deliver(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		sent := 0
		for _, q := range r.mim.Requests() {
			sent += q.Size
		}
		release := r.mim.Drive().Hold(dated + `\a.csv`) // it would fail to be written
		defer release()
		if err := r.deliver(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		r.verify(m, some())
		again := -sent
		for _, q := range r.mim.Requests() {
			again += q.Size
		}
		if via == ftpdeliver.Stdin && again > sent/2 {
			t.Errorf("%d bytes were sent again, %d the first time", again, sent)
		}
	})
}

func TestOtherContentIsNotOverwritten(t *testing.T) {
	both(t, func(t *testing.T, via ftpdeliver.Via) {
		r := setup(t, via, simwinrm.Options{})
		files := some()
		m := r.manifest(noon, files)
		if err := r.mim.Drive().WriteFile(dated+`\A.CSV`, []byte("somebody else's")); err != nil {
			t.Fatal(err)
		}
		want(t, r.deliver(t.Context(), m), "failed", dated+`\a.csv`, "other content")
		if got, err := r.mim.Drive().ReadFile(dated + `\a.csv`); err != nil || string(got) != "somebody else's" {
			t.Errorf("it is %q, %v", got, err)
		}
		r.absent(dated + `\_manifests`)
		if got := r.count(dated); got != len(files) {
			t.Errorf("%d files: the others were to be delivered", got)
		}
		if err := r.mim.Drive().Remove(dated + `\a.csv`); err != nil {
			t.Fatal(err)
		}
		if err := r.deliver(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		r.verify(m, files)
	})
}

func TestOnlyStoredFilesAreDelivered(t *testing.T) {
	t.Parallel()
	r := setup(t, ftpdeliver.Link, simwinrm.Options{})
	batch := drop.Batch{Run: "run", Folder: folder, Files: []drop.File{{Path: "held.csv"}, {Path: "gone.csv"}}}
	m := drop.NewManifest(batch, "ftp://server/out", []drop.Entry{
		{File: batch.Files[0], Outcome: drop.Held, Blob: batch.HeldName(batch.Files[0])}, {File: batch.Files[1], Outcome: drop.Gone}}, noon)
	if _, err := r.Files.Write(t.Context(), m.Name(), m.Bytes(), storage.Cond{}, storage.Meta{}); err != nil {
		t.Fatal(err)
	}
	if err := r.deliver(t.Context(), m.Name()); err != nil {
		t.Fatal(err)
	}
	r.verify(m.Name(), nil)
}

func TestNamesThatWindowsCannotStore(t *testing.T) {
	t.Parallel()
	r := setup(t, ftpdeliver.Link, simwinrm.Options{})
	files := map[string]string{"good.csv": "1", "a?b.csv": "2", "x/NUL.txt": "3", "Good.CSV": "4", "trailing /a": "5", "late.part": "6"}
	err := r.deliver(t.Context(), r.manifest(noon, files))
	want(t, err, "permanent", "a?b.csv", `'?'`, "NUL.txt", "device", "good.csv", "trailing ", "late.part")
	if got := r.count(dated); got != 1 {
		t.Errorf("%d files on the server, want the good one alone", got)
	}
	r.absent(dated + `\_manifests`)
}

func TestBadManifests(t *testing.T) {
	t.Parallel()
	r := setup(t, ftpdeliver.Link, simwinrm.Options{})
	good := r.manifest(noon, map[string]string{"a": "1"})
	content, _ := r.Read(t, good)
	for name, text := range map[string]string{
		folder + "/_manifests/none.json":   "",
		folder + "/_manifests/broken.json": "{",
		folder + "/_manifests/later.json":  `{"version":9}`,
		folder + "/_manifests/copied.json": content,
	} {
		if text != "" {
			if _, err := r.Files.Write(t.Context(), name, []byte(text), storage.Cond{}, storage.Meta{}); err != nil {
				t.Fatal(err)
			}
		}
		want(t, r.deliver(t.Context(), name), "permanent", name)
	}
	changed := strings.Replace(content, sum("1"), "00", 1)
	if _, err := r.Files.Write(t.Context(), good, []byte(changed), storage.Cond{}, storage.Meta{}); err != nil {
		t.Fatal(err)
	}
	want(t, r.deliver(t.Context(), good), "permanent", "files[0]")
	if got := len(r.mim.Runs()); got != 0 {
		t.Errorf("%d scripts were run", got)
	}
}

func TestContentThatIsNotTheManifests(t *testing.T) {
	both(t, func(t *testing.T, via ftpdeliver.Via) {
		r := setup(t, via, simwinrm.Options{})
		m := r.manifest(noon, map[string]string{"a.csv": "right"})
		if _, err := r.Files.Write(t.Context(), folder+"/a.csv", []byte("wrong"), storage.Cond{}, storage.Meta{}); err != nil {
			t.Fatal(err)
		}
		want(t, r.deliver(t.Context(), m), "failed", "a.csv", "SHA-256")
		if got := r.count(dated); got != 0 {
			t.Errorf("%d files on the server", got)
		}
	})
}

func TestAPartOfAnotherFileIsThrownAway(t *testing.T) {
	both(t, func(t *testing.T, via ftpdeliver.Via) {
		for _, left := range []int{100, 3 << 20, 5 << 20, 6 << 20} {
			r := setup(t, via, simwinrm.Options{})
			m := r.manifest(noon, some())
			if err := r.mim.Drive().WriteFile(dated+`\big.bin.part`, make([]byte, left)); err != nil {
				t.Fatal(err)
			}
			if err := r.deliver(t.Context(), m); err != nil {
				t.Fatalf("%d bytes: %v", left, err)
			}
			r.verify(m, some())
		}
	})
}

func TestManySmallFilesTravelTogether(t *testing.T) {
	both(t, func(t *testing.T, via ftpdeliver.Via) {
		r := setup(t, via, simwinrm.Options{})
		files := map[string]string{}
		for i := range 230 {
			files[fmt.Sprintf("hr/%03d.csv", i)] = strings.Repeat("x", i)
		}
		m := r.manifest(noon, files)
		if err := r.deliver(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		r.verify(m, files)
		most := 4 // three portions and the manifest
		if via == ftpdeliver.Stdin {
			most = 7 // each portion is asked for first
		}
		if got := len(r.mim.Runs()); got > most {
			t.Errorf("%d runs of scripts", got)
		}
	})
}

func TestTimeThatIsUpIsGoneOnWith(t *testing.T) {
	both(t, func(t *testing.T, via ftpdeliver.Via) {
		r := setup(t, via, simwinrm.Options{})
		m := r.manifest(noon, some())
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(time.Second))
		defer cancel()
		want(t, r.deliver(ctx, m), "retry")
		if err := r.deliver(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		r.verify(m, some())
	})
}
