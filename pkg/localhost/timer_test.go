//go:build unix

package localhost

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/schedule"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// record reads a timer's stored record.
func (a *testApp) record(name string) string {
	a.t.Helper()
	app := a.host.apps[0]
	text, _, err := app.state.Read(a.t.Context(), app.statusBlob(app.function(name)), 1<<20)
	if err != nil {
		return ""
	}
	return string(text)
}

// A new timer gets a record and does not run; a run by hand changes nothing of it.
func TestNewTimer(t *testing.T) {
	t.Parallel()
	a := newTestApp(t, map[string]any{}, map[string]any{}, map[string]any{"T": timerFunction("0 0 5 31 12 *")})
	a.withStorage()
	a.start()
	eventually(t, "the record", func() bool { return a.record("T") != "" })
	before := a.record("T")
	if !strings.HasPrefix(before, `{"Last":"0001-01-01T00:00:00+00:00","Next":"20`) {
		t.Errorf("record: %s", before)
	}
	a.run("T", `{"input":"by hand"}`)
	eventually(t, "the run", func() bool { return len(a.calls("/T")) == 1 })
	if got := a.calls("/T")[0].Body; !strings.Contains(got, `"ScheduleStatus":`+before) || !strings.Contains(got, `"Metadata":{"timer":"\"by hand\""`) {
		t.Errorf("payload: %s", got)
	}
	if after := a.record("T"); after != before {
		t.Errorf("the run by hand changed the record from %s to %s", before, after)
	}
}

// A missed run is made up for once, failed or not, and recorded.
func TestPastDueTimer(t *testing.T) {
	t.Parallel()
	a := newTestApp(t, map[string]any{}, map[string]any{"replies": map[string]any{"T": map[string]any{"status": 500}}},
		map[string]any{"T": timerFunction("0 0 5 1 1 *")})
	a.withStorage()
	host, err := New(a.opts)
	if err != nil {
		t.Fatal(err)
	}
	app := host.apps[0]
	if err := app.state.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	year := time.Now().UTC().Year()
	at := func(year int) time.Time { return time.Date(year, 1, 1, 5, 0, 0, 0, time.UTC) }
	missed := schedule.Status{Last: at(year - 2), Next: at(year - 1), LastUpdated: at(year - 2)}
	if _, err := app.state.Write(t.Context(), app.statusBlob(app.function("T")), []byte(missed.Text(time.UTC)), storage.Cond{}, storage.Meta{}); err != nil {
		t.Fatal(err)
	}
	app.account.Close()
	a.start()
	eventually(t, "the record", func() bool { return a.record("T") != missed.Text(time.UTC) })
	calls := a.calls("/T")
	if len(calls) != 1 || !strings.Contains(calls[0].Body, `"IsPastDue":true`) || !strings.Contains(calls[0].Body, missed.Text(time.UTC)) {
		t.Errorf("calls: %+v", calls)
	}
	status, err := schedule.ParseStatus([]byte(a.record("T")), time.UTC)
	if err != nil || status == nil || time.Since(status.Last) > time.Hour || !status.Next.After(time.Now()) {
		t.Errorf("record: %s (%v)", a.record("T"), err)
	}
}

// Of two hosts with the same id one runs the timer; the other takes over when the first stops.
func TestTimerLock(t *testing.T) {
	t.Parallel()
	first := newTestApp(t, map[string]any{}, map[string]any{}, map[string]any{"T": timerFunction("0 0 5 31 12 *", `,"runOnStartup":true`)})
	first.withStorage()
	first.start()
	eventually(t, "the run", func() bool { return len(first.calls("/T")) == 1 })
	second := newTestApp(t, map[string]any{}, map[string]any{}, map[string]any{"T": timerFunction("0 0 5 31 12 *", `,"runOnStartup":true`)})
	second.opts.Environ, second.opts.LeaseWait = first.opts.Environ, 50*time.Millisecond
	second.start()
	eventually(t, "the second host's wait", func() bool { return strings.Contains(second.log.String(), "waiting for it") })
	if n := len(second.calls("/T")); n != 0 {
		t.Errorf("the second host ran the timer %d times", n)
	}
	first.host.Stop()
	eventually(t, "the take-over", func() bool { return len(second.calls("/T")) == 1 })
}

// A record that nobody can read stops this timer, with advice, and nothing else.
func TestUnreadableRecord(t *testing.T) {
	t.Parallel()
	a := newTestApp(t, map[string]any{}, map[string]any{}, map[string]any{"T": timerFunction("0 0 5 31 12 *"), "H": httpFunction})
	a.withStorage()
	host, err := New(a.opts)
	if err != nil {
		t.Fatal(err)
	}
	app := host.apps[0]
	if err := app.state.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := app.state.Write(t.Context(), app.statusBlob(app.function("T")), []byte("not json"), storage.Cond{}, storage.Meta{}); err != nil {
		t.Fatal(err)
	}
	app.account.Close()
	a.start()
	eventually(t, "the complaint", func() bool { return strings.Contains(a.log.String(), "delete the blob") })
	if got := a.do("GET", "/api/H", nil, ""); got.status != 200 {
		t.Errorf("GET /api/H: got %d", got.status)
	}
	if a.record("T") != "not json" {
		t.Error("the record was overwritten")
	}
}

type retryRecording struct {
	Case     string            `json:"case"`
	Function map[string]any    `json:"function_json"`
	Reply    json.RawMessage   `json:"handler_reply"`
	Requests []recordedRequest `json:"requests"`
}

// TestRetriesAsRecorded runs each recorded policy, with short waits, and compares counts and ids.
func TestRetriesAsRecorded(t *testing.T) {
	t.Parallel()
	server := sharedStorage(t)
	cases := recordings[retryRecording](t, "concurrency-retry")
	t.Run("cases", func(t *testing.T) {
		for _, c := range cases {
			if c.Function == nil {
				continue
			}
			t.Run(c.Case, func(t *testing.T) {
				t.Parallel()
				runRetryCase(t, c, func(a *testApp) { a.useStorage(server) })
			})
		}
	})
}

func runRetryCase(t *testing.T, c retryRecording, connect func(*testApp)) {
	name := strings.TrimPrefix(c.Requests[0].Path, "/")
	policy := c.Function["retry"].(map[string]any)
	for _, field := range []string{"delayInterval", "minimumInterval", "maximumInterval"} {
		if policy[field] != nil {
			policy[field] = "00:00:00.05"
		}
	}
	host := map[string]any{"extensions": map[string]any{"queues": map[string]any{"maxDequeueCount": 2}}}
	a := newTestApp(t, host, map[string]any{"replies": map[string]any{name: c.Reply}}, map[string]any{name: c.Function})
	connect(a)
	switch trigger := c.Function["bindings"].([]any)[0].(map[string]any); trigger["type"] {
	case "queueTrigger":
		queues := queuesOf(t, a.opts.Environ)
		putText(t, queues, trigger["queueName"].(string), "aGVsbG8=")
		a.start()
	case "httpTrigger":
		a.start()
		if got := a.do("GET", "/api/"+name, nil, ""); got.status != 500 {
			t.Errorf("got %d, want 500", got.status)
		}
	default:
		a.start()
		if trigger["runOnStartup"] == nil {
			awaitRecords(t, a)
			a.run(name, `{"input":""}`)
		}
	}
	eventually(t, "all tries", func() bool { return len(a.calls("/"+name)) >= len(c.Requests) })
	a.host.Stop()
	calls := a.calls("/" + name)
	if len(calls) != len(c.Requests) {
		t.Fatalf("tries: got %d, want %d", len(calls), len(c.Requests))
	}
	var got, want []string
	for i := range calls {
		got = append(got, retryContext(t, calls[i].Body))
		want = append(want, retryContext(t, c.Requests[i].Body))
	}
	if !slices.Equal(got, want) {
		t.Errorf("retry contexts: got %q, want %q", got, want)
	}
	if g, w := sameIDs(calls[0].Headers, calls[1].Headers), sameIDs(c.Requests[0].Headers, c.Requests[1].Headers); g != w {
		t.Errorf("the second try has the id of the first: got %t, want %t", g, w)
	}
	if g, w := settleTimes(calls[0].Body), settleTimes(c.Requests[0].Body); strings.Contains(c.Case, "_T") && g != w {
		t.Errorf("first try:\n got %s\nwant %s", g, w)
	}
}

// retryContext is the part of a payload that counts tries, and whether it tells of an exception.
func retryContext(t *testing.T, body string) string {
	t.Helper()
	var p struct {
		Metadata struct {
			RetryContext struct {
				RetryCount, MaxRetryCount int
				Exception                 *struct{ Message string }
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatal(err)
	}
	c := p.Metadata.RetryContext
	text, _ := json.Marshal([]any{c.RetryCount, c.MaxRetryCount, c.Exception})
	return string(text)
}

func sameIDs(a, b [][2]string) bool {
	id := func(headers [][2]string) string {
		for _, h := range headers {
			if h[0] == "X-Azure-Functions-InvocationId" {
				return h[1]
			}
		}
		return ""
	}
	return id(a) == id(b)
}
