package storagefault_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/sim/azurite/azuritetest"
	"github.com/nightshift-hq/nightshift/pkg/sim/storagefault"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

var emulator azuritetest.Shared

func TestMain(m *testing.M) { os.Exit(emulator.Run(m)) }

// start gives a proxy and, through it, an account that does not repeat requests.
func start(t *testing.T) (*storagefault.Proxy, *storage.Container, *storage.Queue) {
	t.Helper()
	p, err := storagefault.Start(emulator.Server(t).ConnectionString())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	a, err := storage.Open(storage.Config{ConnectionString: settings.NewSecret(p.ConnectionString())}, storage.WithRetries(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	name := "t" + strings.ToLower(rand.Text())
	c, q := a.Container(name), a.Queue(name)
	if err := errors.Join(c.Create(t.Context()), q.Create(t.Context())); err != nil {
		t.Fatal(err)
	}
	return p, c, q
}

func TestRequestsPassAndAreRecorded(t *testing.T) {
	t.Parallel()
	p, c, q := start(t)
	ctx := t.Context()
	var stored storage.Properties
	steps := []struct {
		op  string
		run func() error
	}{
		{"Put Blob", func() (err error) {
			stored, err = c.Write(ctx, "über/ä b.txt", []byte("x"), storage.Cond{New: true}, storage.Meta{})
			return err
		}},
		{"Get Blob", func() error { _, _, err := c.Read(ctx, "über/ä b.txt", 10); return err }},
		{"Put Block", func() error { return c.Stage(ctx, "b", "1", []byte("x")) }},
		{"Get Block List", func() error { _, err := c.Staged(ctx, "b"); return err }},
		{"Put Block List", func() error { _, err := c.Commit(ctx, "b", []string{"1"}, storage.Cond{}, storage.Meta{}); return err }},
		{"Copy Blob", func() error {
			_, err := c.Copy(ctx, "b", "c", storage.Cond{}, storage.Meta{})
			return err
		}},
		{"Delete Blob", func() error { return c.Delete(ctx, "über/ä b.txt", storage.Cond{ETag: stored.ETag}) }},
		{"Put Message", func() error { _, err := q.Enqueue(ctx, []byte("x"), 0); return err }},
		{"Peek Messages", func() error { _, err := q.Peek(ctx, 1); return err }},
		{"Get Queue Metadata", func() error { _, err := q.Len(ctx); return err }},
	}
	for _, step := range steps {
		if err := step.run(); err != nil {
			t.Errorf("%s: %v", step.op, err)
		}
		if !slices.ContainsFunc(p.Requests(), func(r storagefault.Request) bool { return r.Op == step.op && !r.Faulted && r.Status < 300 }) {
			t.Errorf("%s was not recorded", step.op)
		}
	}
	if first := p.Requests()[2]; first.Name != c.Name()+"/über/ä b.txt" || first.Size != 1 {
		t.Errorf("recorded %+v", first)
	}
}

func TestEffects(t *testing.T) {
	t.Parallel()
	for name, effect := range map[string]storagefault.Effect{
		"status": storagefault.Status(503, "ServerBusy"), "reset": storagefault.Reset(), "hang": storagefault.Hang(),
	} {
		for _, stored := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s stored %v", name, stored), func(t *testing.T) {
				t.Parallel()
				p, c, _ := start(t)
				f := p.Inject(storagefault.Fault{Match: storagefault.On("Put Blob", c.Name()+"/x*"), Skip: 1, Times: 1, Stored: stored, Effect: effect})
				if _, err := c.Write(t.Context(), "x0", nil, storage.Cond{}, storage.Meta{}); err != nil {
					t.Fatalf("skipped write: %v", err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if name == "hang" {
					go func() { <-f.Hit(); cancel() }()
				}
				if _, err := c.Write(ctx, "x1", nil, storage.Cond{}, storage.Meta{}); err == nil {
					t.Error("the broken write succeeded")
				}
				if _, err := c.Write(t.Context(), "x2", nil, storage.Cond{}, storage.Meta{}); err != nil {
					t.Errorf("write after the fault: %v", err)
				}
				// A request that is cancelled at once may or may not have been stored.
				if _, err := c.Stat(t.Context(), "x1"); name != "hang" && (err == nil) != stored {
					t.Errorf("stat of the broken write: %v", err)
				}
				if f.Hits() != 1 {
					t.Errorf("%d hits", f.Hits())
				}
			})
		}
	}
}

func TestTruncateAndWait(t *testing.T) {
	t.Parallel()
	p, c, _ := start(t)
	data := make([]byte, 1<<20)
	if _, err := c.Write(t.Context(), "x", data, storage.Cond{}, storage.Meta{}); err != nil {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	waiting := p.Inject(storagefault.Fault{Match: storagefault.Op("Get Blob"), Times: 1, Effect: storagefault.Wait(gate)})
	go func() { <-waiting.Hit(); close(gate) }()
	if got, _, err := c.Read(t.Context(), "x", 1<<20); err != nil || len(got) != 1<<20 {
		t.Errorf("after waiting: %d bytes, %v", len(got), err)
	}
	waiting.Remove()
	cut := p.Inject(storagefault.Fault{Match: storagefault.Op("Get Blob"), Times: 3, Effect: storagefault.Truncate(100_000)})
	if got, _, err := c.Read(t.Context(), "x", 1<<20); err != nil || len(got) != 1<<20 || cut.Hits() != 3 {
		t.Errorf("a download cut %d times: %d bytes, %v", cut.Hits(), len(got), err)
	}
	p.Inject(storagefault.Fault{Match: storagefault.Op("Get Blob"), Effect: storagefault.Truncate(0)})
	if _, _, err := c.Read(t.Context(), "x", 1<<20); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("a download that is always cut: %v", err)
	}
}
