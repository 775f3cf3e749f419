package cursor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nightshift-hq/nightshift/pkg/cursor"
	"github.com/nightshift-hq/nightshift/pkg/sim/storagefault"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// room is a record behind a proxy of its own.
type room struct {
	proxy *storagefault.Proxy
	c     *storage.Container
	s     *cursor.Store[count]
}

func newRoom(t *testing.T) room {
	t.Helper()
	proxy, err := storagefault.Start(emulator.Server(t).ConnectionString())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	c := containerAt(t, proxy.ConnectionString())
	if err := c.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	return room{proxy, c, cursor.Open[count](c, "job", 1)}
}

func (r room) is(t *testing.T, want int) {
	t.Helper()
	if now, err := r.s.Load(t.Context()); err != nil || now.Value.N != want {
		t.Errorf("the record is %+v, error %v; want %d", now, err, want)
	}
}

// The first Swap of a record and the later ones are different requests: If-None-Match and If-Match.
func TestSwapSurvivesOneFailure(t *testing.T) {
	t.Parallel()
	for _, skip := range []int{0, 1} {
		for _, stored := range []bool{false, true} {
			for name, effect := range map[string]storagefault.Effect{"503": storagefault.Status(503, "ServerBusy"), "reset": storagefault.Reset()} {
				t.Run(fmt.Sprintf("swap %d/stored %v/%s", skip+1, stored, name), func(t *testing.T) {
					t.Parallel()
					r := newRoom(t)
					fault := r.proxy.Inject(storagefault.Fault{Match: storagefault.Op("Put Blob"), Skip: skip, Times: 1, Stored: stored, Effect: effect})
					var at cursor.Record[count]
					for n := range 3 {
						var err error
						if at, err = r.s.Swap(t.Context(), at, count{n + 1}); err != nil {
							t.Fatalf("swap %d: %v", n+1, err)
						}
					}
					if fault.Hits() != 1 {
						t.Errorf("the fault hit %d requests", fault.Hits())
					}
					r.is(t, 3)
				})
			}
		}
	}
}

// A Swap that failed although it was stored, and whose every repeat inside the call failed too, is repeated by its caller.
func TestSwapCanBeRepeated(t *testing.T) {
	t.Parallel()
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprintf("stored %v", stored), func(t *testing.T) {
			t.Parallel()
			r, ctx := newRoom(t), t.Context()
			loaded, err := r.s.Load(ctx)
			if err != nil {
				t.Fatal(err)
			}
			fault := r.proxy.Inject(storagefault.Fault{Match: storagefault.Op("Put Blob", "Get Blob Properties"), Stored: stored, Effect: storagefault.Reset()})
			if _, err := r.s.Swap(ctx, loaded, count{1}); !errors.Is(err, storage.ErrUnavailable) {
				t.Fatalf("swap while broken: %v", err)
			}
			fault.Remove()
			swapped, err := r.s.Swap(ctx, loaded, count{1})
			if err != nil || swapped.Value.N != 1 {
				t.Fatalf("the repeated swap: %+v %v", swapped, err)
			}
			if _, err := r.s.Swap(ctx, swapped, count{2}); err != nil {
				t.Errorf("the next swap: %v", err)
			}
			r.is(t, 2)
		})
	}
}

func TestSwapOfAnOldRecordIsAConflict(t *testing.T) {
	t.Parallel()
	r, ctx := newRoom(t), t.Context()
	mine, err := r.s.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := r.s.Load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.s.Swap(ctx, theirs, count{1}); err != nil {
		t.Fatal(err)
	}
	// The same value from the same state, but not the same swap: an increment would be lost.
	if _, err := r.s.Swap(ctx, mine, count{1}); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("got %v", err)
	}
	if _, err := r.s.Swap(ctx, theirs, count{5}); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("another value for a record that was swapped already: %v", err)
	}
	if _, err := r.s.Swap(ctx, cursor.Record[count]{}, count{1}); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("a record that was never loaded: %v", err)
	}
	r.is(t, 1)
}

func TestFirstSwapOfTwoRunsIsWonByOne(t *testing.T) {
	t.Parallel()
	r, won := newRoom(t), make(chan bool)
	for range 4 {
		go func() {
			_, err := r.s.Swap(t.Context(), cursor.Record[count]{}, count{1})
			if err != nil && !errors.Is(err, storage.ErrConflict) {
				t.Error(err)
			}
			won <- err == nil
		}()
	}
	winners := 0
	for range 4 {
		if <-won {
			winners++
		}
	}
	if winners != 1 {
		t.Errorf("%d swaps of one state succeeded", winners)
	}
}

func TestUnreadableRecordsAreErrorsAndStay(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ content, want string }{
		"empty":             {"", "restore an earlier version"},
		"cut":               {`{"version":1,"write":"x","value":{"N"`, "damaged"},
		"no version":        {`{"value":{"N":1}}`, "no version"},
		"no value":          {`{"version":1}`, "no value"},
		"null":              {`null`, "no version"},
		"two records":       {`{"version":1,"value":{}} {}`, "something follows"},
		"unknown field":     {`{"version":1,"value":{},"extra":1}`, "extra"},
		"newer":             {`{"version":2,"value":{}}`, "deploy the newer program"},
		"older":             {`{"version":-1,"value":{}}`, "older program"},
		"another type":      {`{"version":1,"value":{"N":"text"}}`, "damaged"},
		"unknown in value":  {`{"version":1,"value":{"N":1,"M":2}}`, "M"},
		"cut gzip":          {"\x1f\x8b\x08\x00", "damaged"},
		"gzip of something": {"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xffgarbage", "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, ctx := newRoom(t), t.Context()
			if _, err := r.c.Write(ctx, "cursors/job.json", []byte(row.content), storage.Cond{}, storage.Meta{}); err != nil {
				t.Fatal(err)
			}
			_, err := r.s.Load(ctx)
			if err == nil || errors.Is(err, storage.ErrNotFound) {
				t.Fatalf("got %v", err)
			}
			for _, want := range []string{row.want, "cursors/job.json", r.c.Name()} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
			// Neither a swap from nothing nor the load may have touched it.
			if _, err := r.s.Swap(ctx, cursor.Record[count]{}, count{1}); err == nil {
				t.Error("a record that cannot be read was replaced")
			}
			if data, _, err := r.c.Read(ctx, "cursors/job.json", 1000); string(data) != row.content || err != nil {
				t.Errorf("the record became %q, %v", data, err)
			}
		})
	}
}

func TestBigRecordsAreCompressed(t *testing.T) {
	t.Parallel()
	c, ctx := containerAt(t, emulator.Server(t).ConnectionString()), t.Context()
	s := cursor.Open[map[string]int](c, "big", 3)
	for _, entries := range []int{10, 10_000, 20} {
		want := map[string]int{}
		for n := range entries {
			want[fmt.Sprintf("in/file-%06d.csv", n)] = n
		}
		r, err := s.Load(ctx)
		if err == nil {
			_, err = s.Swap(ctx, r, want)
		}
		if err != nil {
			t.Fatal(err)
		}
		back, err := s.Load(ctx)
		if err != nil || fmt.Sprint(back.Value) != fmt.Sprint(want) {
			t.Errorf("%d entries came back as %d, error %v", entries, len(back.Value), err)
		}
		data, p, err := c.Read(ctx, "cursors/big.json", 1<<20)
		plain, _ := json.Marshal(want)
		switch {
		case err != nil:
			t.Error(err)
		case entries < 100 && (p.ContentType != "application/json" || !json.Valid(data)):
			t.Errorf("a small record is %s", p.ContentType)
		case entries > 100 && (p.ContentType != "application/gzip" || len(data) > len(plain)/2):
			t.Errorf("a record of %d bytes takes %d bytes as %s", len(plain), len(data), p.ContentType)
		}
	}
}

func TestLoadOfACancelledRunSaysWhy(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cursor.ErrLeaseLost)
	if _, err := r.s.Load(ctx); !errors.Is(err, cursor.ErrLeaseLost) {
		t.Errorf("load: %v", err)
	}
	if _, err := r.s.Swap(ctx, cursor.Record[count]{}, count{1}); !errors.Is(err, cursor.ErrLeaseLost) {
		t.Errorf("swap: %v", err)
	}
	r.is(t, 0)
}
