package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/functions/mimbackup/backup"
	"github.com/nightshift-hq/nightshift/functions/mimbackup/mimbackuptest"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/mim"
	"github.com/nightshift-hq/nightshift/pkg/sim/storagefault"
	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
	"github.com/nightshift-hq/nightshift/pkg/storage"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

// run plays the host until the night is over: the timer ticks until nothing is open, each message is delivered until it is done.
// It returns how often something failed.
func (n *night) run(t *testing.T) (failures int) {
	t.Helper()
	again := func(call func() error) {
		t.Helper()
		for try := 1; ; try++ {
			err := call()
			if err == nil {
				return
			}
			if failures++; try == 6 {
				t.Fatalf("still failing after %d tries: %v", try, err)
			}
		}
	}
	again(func() error { return n.tick(t) })
	for _, m := range n.Messages(t) {
		again(func() error { return n.deliver(t, m) })
	}
	return failures
}

// whole makes sure that there is one verified backup for each of the last nights, and nothing unfinished.
func (n *night) whole(t *testing.T, nights int) {
	t.Helper()
	runs, marks, err := backup.Runs(t.Context(), n.Backups)
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) != nights || len(marks) != nights {
		t.Errorf("runs %q with %d marks, want %d verified ones", runs, len(marks), nights)
	}
	record, err := n.export.Cursor.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if record.Value.Open != nil {
		t.Errorf("still open: %+v", record.Value.Open)
	}
	if left := n.Messages(t); len(left) != 0 {
		t.Errorf("left in the queue: %+v", left)
	}
}

func writes(p *storagefault.Proxy) []storagefault.Request {
	return slices.DeleteFunc(p.Requests(), func(r storagefault.Request) bool { return !breakable(r) })
}

// breakable leaves out what the test does itself, as the host, and leases: one that stays behind is waited out, which pkg/cursor
// tests.
func breakable(r storagefault.Request) bool {
	return storagefault.Write(r) && r.Op != "Delete Message" && !strings.Contains(r.Op, "Lease")
}

// TestEachWriteBrokenTwice breaks every write of a night that also prunes, one at a time: once it fails, once it is stored and
// the answer says that it failed. Each time the functions are called again as the host would.
func TestEachWriteBrokenTwice(t *testing.T) {
	t.Parallel()
	prepare := func(t *testing.T) *night {
		n := newNight(t)
		n.verify.Config.KeepOnServer, n.verify.Config.Retention = 1, mim.Retention{Newest: 1}
		n.pass(t)
		n.nextDay()
		return n
	}
	calm := prepare(t)
	before := len(writes(calm.proxy))
	if failures := calm.run(t); failures != 0 {
		t.Fatalf("%d failures on a calm night", failures)
	}
	calm.whole(t, 1)
	total := len(writes(calm.proxy)) - before
	if total < 12 {
		t.Fatalf("only %d writes", total)
	}
	for _, stored := range []bool{false, true} {
		for i := range total {
			t.Run(fmt.Sprintf("write %d, stored %v", i, stored), func(t *testing.T) {
				t.Parallel()
				n := prepare(t)
				const tries = 3 // the clients' own
				fault := n.proxy.Inject(storagefault.Fault{Match: breakable, Skip: i, Times: tries, Stored: stored,
					Effect: storagefault.Status(500, "InternalError")})
				n.run(t)
				if fault.Hits() == 0 {
					t.Error("the fault did not strike")
				}
				fault.Remove()
				n.whole(t, 1)
			})
		}
	}
}

// TestConnectionLostAtEachRequest breaks the connection to the server at each request of a night, before and after it is obeyed.
func TestConnectionLostAtEachRequest(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"Create", "Command", "Send", "Receive", "Signal"} {
		for _, kind := range []simwinrm.Kind{simwinrm.Drop, simwinrm.DropAfter, simwinrm.Reset} {
			for _, request := range []int{1, 3} {
				t.Run(fmt.Sprintf("%s %d kind %d", action, request, kind), func(t *testing.T) {
					t.Parallel()
					n := newNight(t)
					n.Windows.Script(simwinrm.Fault{Action: action, Request: request, Times: 1, Kind: kind})
					n.run(t)
					n.whole(t, 1)
					if got := n.Folders(t); len(got) != 1 {
						t.Errorf("folders %q, want one export", got)
					}
				})
			}
		}
	}
}

// TestPowerFailsInTheMiddle: what was running on the server is lost, and the next tick begins that stage again.
func TestPowerFailsInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"export ServerExport", "ship zip", "ship block 1", "ship commit"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			n := newNight(t)
			var once sync.Once
			n.MIM.Step = func(ctx context.Context, what string) error {
				if what != at {
					return nil
				}
				struck := false
				once.Do(func() {
					struck = true
					go n.MIM.PowerLoss()
				})
				if struck {
					<-ctx.Done()
				}
				return ctx.Err()
			}
			if failures := n.run(t); failures != 1 {
				t.Errorf("%d failures, want the one of the power", failures)
			}
			n.whole(t, 1)
		})
	}
}

// TestAnInvocationEndsAndTheNextAdoptsTheWork: the export runs once, although three invocations look after it.
func TestAnInvocationEndsAndTheNextAdoptsTheWork(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	exports := make(chan struct{}, 10)
	goOn := make(chan struct{})
	n.MIM.Step = func(ctx context.Context, what string) error {
		if what == "export MAExports" {
			exports <- struct{}{}
			select {
			case <-goOn:
			case <-ctx.Done():
			}
		}
		return nil
	}
	for range 2 {
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.export.Handle(ctx, customhandler.Timer{Manual: true, Now: n.now}) }()
		n.awaitFollowing(t)
		cancel(customhandler.ErrDeadline)
		if err := <-done; err != nil {
			t.Errorf("an invocation that leaves work running failed: %v", err)
		}
	}
	close(goOn)
	n.run(t)
	n.whole(t, 1)
	if len(exports) != 1 {
		t.Errorf("%d exports, want one", len(exports))
	}
}

// awaitFollowing returns when an invocation follows the detached work and has nothing else to do.
func (n *night) awaitFollowing(t *testing.T) {
	t.Helper()
	before := len(n.Windows.Runs())
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-tick.C {
		following := 0
		for _, r := range n.Windows.Runs()[before:] {
			if strings.Contains(string(r.Params), `"WaitSeconds":15`) {
				following++
			}
		}
		if following > 0 {
			return
		}
	}
	t.Fatal("nobody follows the work")
}

func TestTwoExportsAtOnce(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	var all sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		all.Go(func() { errs[i] = n.export.Handle(t.Context(), customhandler.Timer{Now: n.now, Manual: true}) })
	}
	all.Wait()
	succeeded := 0
	for _, err := range errs {
		if err == nil {
			succeeded++
		} else if !strings.Contains(err.Error(), "another run holds the lock") {
			t.Error(err)
		}
	}
	if messages := n.Messages(t); len(messages) != succeeded || succeeded == 0 {
		t.Errorf("%d messages of %d runs", len(messages), succeeded)
	}
}

// TestTroubleAtTheServer: no backup is better than a wrong one; the next try makes it good.
func TestTroubleAtTheServer(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		strike, repair func(*night)
		want           string
	}{
		"disk full": {
			strike: func(n *night) { n.Windows.Drive().SetFree(10 << 10); n.export.Config.MinFreeBytes = 1 << 20 },
			repair: func(n *night) { n.Windows.Drive().SetFree(-1) },
			want:   "disk-full",
		},
		"storage cannot be reached": {
			strike: func(n *night) { n.Windows.Egress(false) },
			repair: func(n *night) { n.Windows.Egress(true) },
			want:   "storage-unreachable",
		},
		"the link has expired": {
			strike: func(n *night) {
				n.proxy.Inject(storagefault.Fault{Match: func(r storagefault.Request) bool { return strings.Contains(r.Op, "Block") }, Times: 1,
					Effect: storagefault.Status(403, "AuthenticationFailed")})
			},
			repair: func(*night) {},
			want:   "sas-refused",
		},
		"the password is wrong": {
			strike: func(n *night) { n.export.Server = mustClient(n, "not "+mimbackuptest.Canary) },
			repair: func(n *night) { n.export.Server = n.Client },
			want:   "log",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNight(t)
			row.strike(n)
			err := n.tick(t)
			if err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), "to be tried again in") {
				t.Fatalf("want %q and another try: %v", row.want, err)
			}
			if strings.Contains(err.Error(), mimbackuptest.Canary) || strings.Contains(err.Error(), "sig=") {
				t.Errorf("a secret is in %v", err)
			}
			if len(n.Messages(t)) != 0 {
				t.Error("something was handed on")
			}
			row.repair(n)
			n.run(t)
			n.whole(t, 1)
		})
	}
}

func mustClient(n *night, password string) *winrm.Client { return n.NewClient(n.tb, password) }

// TestThreeFailuresEndARun with an error that says so, and the next night is not in their way.
func TestThreeFailuresEndARun(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	for _, part := range []string{mim.PartAgents, mim.PartServerExport, mim.PartExtensions, mim.PartPortal} {
		n.MIM.Fail[part] = "Access is denied"
	}
	for try := 1; try <= 3; try++ {
		err := n.tick(t)
		if err == nil || strings.Contains(err.Error(), "there is no backup of run") != (try == 3) {
			t.Errorf("try %d: %v", try, err)
		}
	}
	clear(n.MIM.Fail)
	n.nextDay()
	n.run(t)
	n.whole(t, 1)
}

// TestABrokenBackupDoesNotCount: the message is poisoned with the reasons, and nothing is pruned.
func TestABrokenBackupDoesNotCount(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		spoil func(content string, s *backup.Shipped) string
		want  string
	}{
		"cut off":          {func(c string, _ *backup.Shipped) string { return c[:len(c)/2] }, "it is no zip"},
		"another manifest": {func(c string, s *backup.Shipped) string { s.ManifestSHA256 = strings.Repeat("0", 64); return c }, "not the one that the server wrote"},
		"no zip at all":    {func(string, *backup.Shipped) string { return "<html>proxy error</html>" }, "it is no zip"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNight(t)
			n.verify.Config.KeepOnServer, n.verify.Config.Retention = 1, mim.Retention{}
			good := n.pass(t)
			n.nextDay()
			if err := n.tick(t); err != nil {
				t.Fatal(err)
			}
			bad := n.Messages(t)[0]
			content, _ := n.Read(t, backup.ZipName(bad.Run))
			content = row.spoil(content, &bad)
			if _, err := n.Backups.Write(t.Context(), backup.ZipName(bad.Run), []byte(content), storage.Cond{}, storage.Meta{}); err != nil {
				t.Fatal(err)
			}
			err := n.deliver(t, bad)
			if customhandler.Outcome(err) != "permanent" || !strings.Contains(err.Error(), row.want) {
				t.Errorf("want a permanent error with %q: %v", row.want, err)
			}
			n.mark(t, good.Run)
			if _, err := backup.ReadMark(t.Context(), n.Backups, bad.Run); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("the broken backup has a mark: %v", err)
			}
			if got := n.Folders(t); len(got) != 2 {
				t.Errorf("folders %q, want both", got)
			}
		})
	}
}

// TestNoSecretLeavesItsPlace looks for the password and for signatures in all that the server was sent apart from data.
func TestNoSecretLeavesItsPlace(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	n.pass(t)
	n.nextDay()
	n.pass(t)
	for _, r := range n.Windows.Runs() {
		if strings.Contains(r.CommandLine+r.Script, mimbackuptest.Canary) || strings.Contains(r.CommandLine+r.Script, "sig=") {
			t.Errorf("a secret is in the command line or text of %s", r.Name)
		}
	}
	for _, c := range []*storage.Container{n.Backups, n.State} {
		for p, err := range c.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			data, _, err := c.Read(t.Context(), p.Name, 64<<20)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(data), mimbackuptest.Canary) || strings.Contains(string(data), "sig=") {
				t.Errorf("a secret is in blob %s", p.Name)
			}
		}
	}
}

// TestALateBackupIsComplainedAboutOnce: the flag that it was is on record.
func TestALateBackupIsComplainedAboutOnce(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	if err := n.tick(t); err != nil {
		t.Fatal(err)
	}
	n.now = n.now.Add(4 * time.Hour)
	if err := n.export.Handle(t.Context(), customhandler.Timer{Now: n.now}); err != nil {
		t.Fatal(err)
	}
	record, err := n.export.Cursor.Load(t.Context())
	if err != nil || len(record.Value.Shipped) != 1 || !record.Value.Shipped[0].Alarmed {
		t.Errorf("%+v, %v", record.Value, err)
	}
}
