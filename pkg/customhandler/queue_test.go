package customhandler_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/customhandler/customhandlertest"
	"github.com/nightshift-hq/nightshift/pkg/sim/storagefault"
)

// noted is the body with its bookkeeping.
func noted(body []byte, delivery string) string {
	return strings.TrimSuffix(string(body), "}") + `,"delivery":` + delivery + `}`
}

func wantBodies(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s holds %q, want %q", what, got, want)
	}
}

func blobs(t *testing.T, b *bench, prefix string) []string {
	t.Helper()
	var names []string
	for p, err := range b.state.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, p.Name)
	}
	return names
}

func failing(message string) func(context.Context, customhandler.Message[job]) error {
	return func(context.Context, customhandler.Message[job]) error { return errors.New(message) }
}

// A handler that is killed says nothing: its delivery counts at the host, but no failure is on record.
func TestKilledHandlersCostNoTries(t *testing.T) {
	t.Parallel()
	var got atomic.Pointer[customhandler.Message[job]]
	b := newBench(t, handlers{queue: func(_ context.Context, m customhandler.Message[job]) error {
		got.Store(&m)
		return nil
	}})
	body := encode(t, job{Path: "/a"})
	if r := b.Deliver("work", customhandlertest.Delivery{Body: body, ID: "one", DequeueCount: 2}); !r.OK() || got.Load() == nil {
		t.Errorf("second delivery: %+v", r)
	} else if m := got.Load(); !m.Again || m.Lost != 1 {
		t.Errorf("handler was told %+v", m)
	}
	got.Store(nil)
	if r := b.Deliver("work", customhandlertest.Delivery{Body: body, ID: "one", DequeueCount: 3}); !r.OK() || got.Load() != nil {
		t.Errorf("third delivery: %+v, handler got %+v", r, got.Load())
	}
	renewed := noted(body, `{"lost":2}`)
	wantBodies(t, "queue", bodies(t, b.queue), renewed)
	if r := b.Queue("work", []byte(renewed)); !r.OK() || got.Load() == nil || got.Load().Lost != 2 || got.Load().Data.Path != "/a" {
		t.Errorf("renewed message: %+v, handler got %+v", r, got.Load())
	}
}

func TestMessageThatKillsItsHandlersIsPoisoned(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{})
	body := noted(encode(t, job{Path: "/a"}), `{"lost":18}`)
	if r := b.Deliver("work", customhandlertest.Delivery{Body: []byte(body), ID: "one", DequeueCount: 3}); !r.OK() {
		t.Errorf("answer %+v", r)
	}
	wantBodies(t, "poison queue", bodies(t, b.poison), body)
	entry := entries(b.list(t), "poisoned")[0]
	if !strings.Contains(entry["reason"].(string), "the handler died 20 times") {
		t.Errorf("reason is %v", entry["reason"])
	}
}

func TestFailuresAreCountedAndTheLastKeepsItsReason(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{queue: failing("disk full")})
	body := encode(t, job{Path: "/a"})
	for n := 1; n <= 5; n++ {
		if r := b.Deliver("work", customhandlertest.Delivery{Body: body, ID: "one", DequeueCount: n}); r.Status != 500 {
			t.Errorf("try %d: %+v", n, r)
		}
	}
	wantBodies(t, "queue", bodies(t, b.queue))   // the host keeps the message
	wantBodies(t, "poison", bodies(t, b.poison)) // and moves it
	if _, err := b.poison.Enqueue(t.Context(), body, 0); err != nil {
		t.Fatal(err)
	}
	entry := entries(b.list(t), "poisoned")[0]
	if entry["reason"] != "disk full (the last of 5 tries)" {
		t.Errorf("reason is %v", entry["reason"])
	}
}

// The host counts a renewed message from one again; its tries must not be more for that.
func TestRenewedMessageHasNoMoreTriesThanOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{queue: failing("disk full")})
	body := encode(t, job{Path: "/a"})
	fail := func(body string, n int) int {
		return b.Deliver("work", customhandlertest.Delivery{Body: []byte(body), ID: "one", DequeueCount: n}).Status
	}
	if status := fail(string(body), 1); status != 500 {
		t.Errorf("first try: %d", status)
	}
	if status := fail(string(body), 3); status != 200 { // the second was killed
		t.Errorf("third delivery: %d", status)
	}
	renewed := noted(body, `{"failures":1,"lost":1}`)
	wantBodies(t, "queue", bodies(t, b.queue), renewed)
	last := noted(body, `{"failures":4,"lost":1}`)
	if r := b.Queue("work", []byte(last)); !r.OK() {
		t.Errorf("last try: %+v", r)
	}
	wantBodies(t, "poison queue", bodies(t, b.poison), last)
}

func TestSuccessForgetsFailures(t *testing.T) {
	t.Parallel()
	outcome := errors.New("disk full")
	b := newBench(t, handlers{queue: func(context.Context, customhandler.Message[job]) error { return outcome }})
	body := encode(t, job{Path: "/a"})
	b.Deliver("work", customhandlertest.Delivery{Body: body, ID: "one", DequeueCount: 1})
	if got := blobs(t, b, "failed/work/"); len(got) != 1 {
		t.Errorf("records %q", got)
	}
	outcome = nil
	b.Deliver("work", customhandlertest.Delivery{Body: body, ID: "one", DequeueCount: 2})
	if got := blobs(t, b, "failed/"); len(got) != 0 {
		t.Errorf("records %q", got)
	}
}

func TestMessagesThatAreNotUnderstoodArePoisonedWithTheField(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{})
	for _, body := range []string{`{"version":2,"paht":"x"}`, `{"version":1,"path":"x"}`, `hello`, "\xff\xfe", ``} {
		if r := b.Queue("work", []byte(body)); !r.OK() {
			t.Errorf("%q: %+v", body, r)
		}
	}
	reasons := fmt.Sprint(b.list(t)["poisoned"])
	for _, want := range []string{`field "paht" is unknown`, `field "version" is 1, this release of the app reads 2`, "it is not JSON", "it is empty",
		fmt.Sprintf("message of queue %q", b.queue.Name())} {
		if !strings.Contains(reasons, want) {
			t.Errorf("no reason says %q in %s", want, reasons)
		}
	}
}

func TestRetryAfterKeepsHistory(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{queue: func(context.Context, customhandler.Message[job]) error {
		return fmt.Errorf("throttled: %w", customhandler.RetryAfter(0))
	}})
	body := encode(t, job{Path: "/a"})
	if r := b.Queue("work", []byte(noted(body, `{"failures":3,"lost":2,"putOff":7}`))); !r.OK() {
		t.Errorf("answer %+v", r)
	}
	wantBodies(t, "queue", bodies(t, b.queue), noted(body, `{"failures":3,"lost":2,"putOff":8}`))
}

func TestUnusableSettingsPutMessagesOff(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{
		alter: func(a *customhandler.App) { a.Problem = errors.New("FTPServer: is not set") },
		queue: failing("must not be called"),
	})
	if r := b.Queue("work", encode(t, job{Path: "/a"})); !r.OK() {
		t.Errorf("queue: %+v", r)
	}
	if n, err := b.queue.Len(t.Context()); n != 1 || err != nil {
		t.Errorf("queue has %d messages, %v", n, err)
	}
	wantBodies(t, "visible queue", bodies(t, b.queue))
	if r := b.Timer("tick"); r.Status != 500 || !strings.Contains(r.Body, "FTPServer") {
		t.Errorf("timer: %+v", r)
	}
	if l := b.list(t); l["problem"] != "FTPServer: is not set" {
		t.Errorf("list says %v", l["problem"])
	}
}

func TestMessageOfAdminAPIIsNotEnacted(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{queue: func(_ context.Context, m customhandler.Message[job]) error {
		if !m.Manual {
			return errors.New("not known as a run by hand")
		}
		return customhandler.Permanent(errors.New("no such path"))
	}})
	r := b.QueueByHand("work", encode(t, job{Path: "/a"}))
	if r.Status != 500 || !strings.Contains(r.Body, "no such path") {
		t.Errorf("answer %+v", r)
	}
	wantBodies(t, "poison queue", bodies(t, b.poison))
}

// Each write of each outcome is broken once before and once after it was stored. The host may only be told that a message is
// done with when it is where its outcome wants it; and after the redelivery it is.
func TestNoOutcomeLosesItsMessage(t *testing.T) {
	t.Parallel()
	server := emulator.Server(t)
	outcomes := map[string]struct {
		err  error
		safe func(t *testing.T, b *bench, body string) bool
	}{
		"permanent": {customhandler.Permanent(errors.New("no such path")), func(t *testing.T, b *bench, body string) bool {
			return len(bodies(t, b.poison)) > 0 && len(blobs(t, b, "poison/work/")) == 1
		}},
		"retry": {customhandler.RetryAfter(0), func(t *testing.T, b *bench, body string) bool { return len(bodies(t, b.queue)) > 0 }},
		"hold":  {customhandler.Hold("it shrank"), func(t *testing.T, b *bench, body string) bool { return len(blobs(t, b, "held/work/")) == 1 }},
	}
	for name, outcome := range outcomes {
		for _, op := range []string{"Put Blob", "Put Message"} {
			for _, stored := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, stored %v", name, op, stored), func(t *testing.T) {
					t.Parallel()
					proxy, err := storagefault.Start(server.ConnectionString())
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(proxy.Stop)
					b := newBench(t, handlers{connection: proxy.ConnectionString(),
						queue: func(context.Context, customhandler.Message[job]) error { return outcome.err }})
					body := encode(t, job{Path: "/a"})
					fault := proxy.Inject(storagefault.Fault{Match: storagefault.Op(op), Stored: stored, Effect: storagefault.Reset()})
					r := b.Queue("work", body)
					fault.Remove()
					if safe := outcome.safe(t, b, string(body)); r.OK() && !safe {
						t.Errorf("the host was told that all is well, and the message is lost")
					}
					if fault.Hits() == 0 && !r.OK() {
						t.Errorf("nothing was broken, and yet %+v", r)
					}
					if r.OK() {
						return
					}
					if r := b.Deliver("work", customhandlertest.Delivery{Body: body, DequeueCount: 2}); !r.OK() || !outcome.safe(t, b, string(body)) {
						t.Errorf("redelivered: %+v", r)
					}
				})
			}
		}
	}
}

type fragile struct{}

func (fragile) MessageVersion() int         { return 1 }
func (*fragile) UnmarshalJSON([]byte) error { panic("boom in decoding") }

func TestPanicInDecodingPoisonsTheMessage(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{alter: func(a *customhandler.App) {
		a.Functions[1] = customhandler.QueueFunc("work", func(context.Context, customhandler.Message[fragile]) error { return nil })
	}})
	if r := b.Queue("work", []byte(`{"version":1}`)); !r.OK() {
		t.Errorf("answer %+v", r)
	}
	if reason := entries(b.list(t), "poisoned")[0]["reason"].(string); !strings.Contains(reason, "boom in decoding") {
		t.Errorf("reason is %s", reason)
	}
}

// The host's count is all there is when the record of failed tries cannot be read or written; the message is not lost over it.
func TestFailedTriesWithoutARecord(t *testing.T) {
	t.Parallel()
	server := emulator.Server(t)
	proxy, err := storagefault.Start(server.ConnectionString())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	b := newBench(t, handlers{connection: proxy.ConnectionString(), queue: failing("disk full")})
	proxy.Inject(storagefault.Fault{Match: func(r storagefault.Request) bool { return r.Service == storagefault.Blob },
		Effect: storagefault.Status(403, "AuthorizationPermissionMismatch")})
	for n := 1; n <= 5; n++ {
		r := b.Deliver("work", customhandlertest.Delivery{Body: encode(t, job{Path: "/a"}), ID: "one", DequeueCount: n})
		if r.Status != 500 || !strings.Contains(r.Body, "disk full") {
			t.Errorf("try %d: %+v", n, r)
		}
	}
	wantBodies(t, "queue", bodies(t, b.queue))
}
