package main

import (
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
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpscan"
	"github.com/nightshift-hq/nightshift/pkg/cursor"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/sim/azurite/azuritetest"
	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
	"github.com/nightshift-hq/nightshift/pkg/sim/storagefault"
)

var emulator azuritetest.Shared

func TestMain(m *testing.M) { os.Exit(emulator.Run(m)) }

// night is one run of both rooms in a world whose storage can be broken.
type night struct {
	*ftppulltest.World
	proxy *storagefault.Proxy
	scan  *ftpscan.Handler
	fetch *ftpfetch.Handler
	want  map[string]string
}

func newNight(t *testing.T) *night {
	t.Helper()
	proxy, err := storagefault.Start(emulator.Server(t).ConnectionString())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	w := ftppulltest.New(t, proxy.ConnectionString(), simftp.Options{})
	var format ftpscan.FolderFormat
	if err := format.UnmarshalText([]byte("yyyy-MM-dd")); err != nil {
		t.Fatal(err)
	}
	n := &night{World: w, proxy: proxy, want: map[string]string{
		"a.csv": "id,name\n1,x\n", "b.csv": strings.Repeat("row\n", 100), "big.bin": strings.Repeat("0123456789abcdef", 9<<16),
	}}
	n.scan = &ftpscan.Handler{
		Config: ftpscan.Config{Source: "/", Target: "in", FolderFormat: format, Zone: time.UTC, Limits: drop.Limits{Files: 2, Bytes: 1 << 30}},
		FTP:    w.Pool, Cursor: cursor.Open[ftpscan.State](w.State, "ftpscan", ftpscan.StateVersion), Blobs: w.Files, Queue: w.Queue, Now: time.Now,
	}
	n.fetch = &ftpfetch.Handler{
		Config: ftpfetch.Config{Source: "/", Connections: 1, After: ftpfetch.Delete},
		FTP:    w.Pool, Blobs: w.Files, State: w.State, Queue: w.Queue, Now: time.Now,
	}
	for name, content := range n.want {
		n.Put(t, "/"+name, content)
	}
	return n
}

// run plays the host: each function is called again until it succeeds. It returns how often one failed.
func (n *night) run(t *testing.T) (failures int) {
	t.Helper()
	again := func(call func(try int) error) {
		t.Helper()
		for try := 1; ; try++ {
			err := call(try)
			if err == nil {
				return
			}
			if failures++; try == 5 {
				t.Fatalf("still failing after %d tries: %v", try, err)
			}
		}
	}
	again(func(int) error { return n.scan.Handle(t.Context(), customhandler.Timer{Manual: true, Now: time.Now()}) })
	for _, batch := range n.Batches(t) {
		again(func(try int) error {
			return n.fetch.Handle(t.Context(), customhandler.Message[drop.Batch]{Data: batch, DequeueCount: try, Again: try > 1})
		})
	}
	again(func(int) error { return n.scan.Handle(t.Context(), customhandler.Timer{Manual: true, Now: time.Now()}) })
	return failures
}

// verify makes sure that every file arrived once, that its source is gone only then, and that nothing is left to do.
func (n *night) verify(t *testing.T) {
	t.Helper()
	today := "in/" + time.Now().UTC().Format("2006-01-02") + "/"
	var want []string
	for name, content := range n.want {
		want = append(want, today+name)
		if got, _ := n.Read(t, today+name); got != content {
			t.Errorf("%s: %d bytes of %d", name, len(got), len(content))
		}
		if _, err := n.FTP.FS().Stat("/" + name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the source of %s is still there: %v", name, err)
		}
	}
	slices.Sort(want)
	if got := n.Names(t); !slices.Equal(got, want) {
		t.Errorf("blobs %v, want %v", got, want)
	}
	if left := n.Batches(t); len(left) != 0 {
		t.Errorf("left in the queue: %+v", left)
	}
	record, err := n.scan.Cursor.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s := record.Value; len(s.Known) != 3 || len(s.Open) != 0 || len(s.Plan) != 0 || len(s.Latest) != 3 {
		t.Errorf("record %+v", s)
	}
}

// TestEachWriteBrokenTwice breaks every write of a night, one at a time: once it fails, once it is stored and the answer says
// that it failed. Each time the functions are called again as the host would, and the world must be as if nothing had been.
func TestEachWriteBrokenTwice(t *testing.T) {
	t.Parallel()
	calm := newNight(t)
	before := len(writes(calm.proxy))
	if failures := calm.run(t); failures != 0 {
		t.Fatalf("%d failures on a calm night", failures)
	}
	calm.verify(t)
	total := len(writes(calm.proxy)) - before
	if total < 15 {
		t.Fatalf("only %d writes", total)
	}
	for _, stored := range []bool{false, true} {
		for i := range total {
			t.Run(fmt.Sprintf("write %d, stored %v", i, stored), func(t *testing.T) {
				t.Parallel()
				n := newNight(t)
				const tries = 3 // the client's own
				fault := n.proxy.Inject(storagefault.Fault{Match: breakable, Skip: i, Times: tries, Stored: stored,
					Effect: storagefault.Status(500, "InternalError")})
				n.run(t)
				if fault.Hits() == 0 {
					t.Error("the fault did not strike")
				}
				fault.Remove()
				n.verify(t)
			})
		}
	}
}

func writes(p *storagefault.Proxy) []storagefault.Request {
	return slices.DeleteFunc(p.Requests(), func(r storagefault.Request) bool { return !breakable(r) })
}

// breakable leaves out what the test does itself, as the host, and leases: one that stays behind is waited out, which
// pkg/cursor tests.
func breakable(r storagefault.Request) bool {
	return storagefault.Write(r) && r.Op != "Delete Message" && !strings.Contains(r.Op, "Lease")
}
