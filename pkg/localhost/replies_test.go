//go:build unix

package localhost

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2"

	"github.com/nightshift-hq/nightshift/pkg/sim/azurite"
)

type replyRecording struct {
	Case       string            `json:"case"`
	Function   *functionJSON     `json:"function_json"`
	Reply      json.RawMessage   `json:"handler_reply"`
	Deliveries int               `json:"n_deliveries"`
	Processes  []json.RawMessage `json:"handler_processes_started"`
	Paths      [][]any           `json:"all_requests_paths"`
	Poison     []storedMessage   `json:"poison_after"`
	Response   clientResponse    `json:"client_response"`
}

// verdict is what became of an invocation.
type verdict string

const (
	succeeded verdict = "succeeded"
	failed    verdict = "failed at once"
	timedOut  verdict = "waited for functionTimeout"
)

// recordedVerdict reads it from the recording: a second process for the same message means that the first was killed.
func (c replyRecording) recordedVerdict() verdict {
	switch {
	case len(c.Processes) > 1:
		return timedOut
	case len(c.Poison) > 0:
		return failed
	}
	return succeeded
}

// sharedStorage starts one emulator for the subtests of a test.
func sharedStorage(t *testing.T) *azurite.Server {
	t.Helper()
	server, err := azurite.Start(context.Background(), azurite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return server
}

// useStorage connects the app to a running emulator.
func (a *testApp) useStorage(server *azurite.Server) *azqueue.ServiceClient {
	a.t.Helper()
	a.opts.Environ = append(a.opts.Environ, "AzureWebJobsStorage="+server.ConnectionString(),
		"AzureFunctionsWebHost__hostid="+strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(a.t.Name())))
	return queuesOf(a.t, a.opts.Environ)
}

// TestQueueRepliesAsRecorded answers a message as each recording does. Ten seconds of functionTimeout are two here.
func TestQueueRepliesAsRecorded(t *testing.T) {
	t.Parallel()
	server := sharedStorage(t)
	cases := recordings[replyRecording](t, "replies")
	t.Run("cases", func(t *testing.T) {
		for _, c := range cases {
			if !strings.HasPrefix(c.Case, "E_queue_") {
				continue
			}
			t.Run(c.Case, func(t *testing.T) {
				t.Parallel()
				runReplyCase(t, server, c)
			})
		}
	})
}

func runReplyCase(t *testing.T, server *azurite.Server, c replyRecording) {
	want := c.recordedVerdict()
	hostJSON := map[string]any{"functionTimeout": "00:00:02", "extensions": map[string]any{"queues": map[string]any{"maxDequeueCount": 2}}}
	a := newTestApp(t, hostJSON, map[string]any{"replies": map[string]any{"Q": faster(t, c.Reply)}}, map[string]any{"Q": c.Function})
	queues := a.useStorage(server)
	name := c.Function.Bindings[0]["queueName"].(string)
	putText(t, queues, name, "eyJrIjoxfQ==")
	a.start()
	eventually(t, "the end of the message", func() bool { return queueLength(t, queues, name) == 0 })
	poisoned := queueLength(t, queues, name+"-poison") > 0
	got := succeeded
	switch {
	case strings.Contains(a.log.String(), "Timeout value"):
		got = timedOut
	case poisoned:
		got = failed
	}
	if got != want {
		t.Errorf("the invocation %s; at the real host it %s", got, want)
	}
	if wantPoison := want != succeeded; poisoned != wantPoison {
		t.Errorf("poisoned: got %t, want %t", poisoned, wantPoison)
	}
	if got == timedOut && a.starts() < 2 {
		t.Error("the handler was not restarted after the timeout")
	}
	if got == failed && a.starts() != 1 {
		t.Errorf("the handler was started %d times", a.starts())
	}
	comparePaths(t, a, c.Paths)
}

// faster shortens delays: those within the recordings' ten seconds stay well within the two of the tests, the others
// beyond.
func faster(t *testing.T, reply json.RawMessage) any {
	t.Helper()
	var r map[string]any
	if err := json.Unmarshal(reply, &r); err != nil {
		t.Fatal(err)
	}
	switch delay, _ := r["delay"].(float64); {
	case delay > 10:
		r["delay"] = delay / 4
	case delay > 0:
		r["delay"] = delay / 20
	}
	return r
}

// comparePaths compares which requests were made, redirects included, whatever their number.
func comparePaths(t *testing.T, a *testApp, recorded [][]any) {
	t.Helper()
	want := map[string]bool{}
	for _, r := range recorded {
		if r[1] != "/" && r[1] != "/Other" {
			want[fmt.Sprint(r[0], " ", r[1])] = true
		}
	}
	got := map[string]bool{}
	for _, s := range a.seen() {
		if s.Event == "" && s.Path != "/" {
			got[s.Method+" "+s.Path] = true
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("requests: got %v, want %v", got, want)
	}
}

func putText(t *testing.T, queues *azqueue.ServiceClient, name string, texts ...string) {
	t.Helper()
	ctx := context.Background()
	if _, err := queues.NewQueueClient(name).Create(ctx, nil); err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if _, err := queues.NewQueueClient(name).EnqueueMessage(ctx, text, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// queueLength counts hidden messages, too; a queue that is not there is empty.
func queueLength(t *testing.T, queues *azqueue.ServiceClient, name string) int64 {
	t.Helper()
	p, err := queues.NewQueueClient(name).GetProperties(context.Background(), nil)
	if err != nil {
		return 0
	}
	return *p.ApproximateMessagesCount
}

// TestHTTPRepliesAsRecorded covers the recorded answers that run into functionTimeout.
func TestHTTPRepliesAsRecorded(t *testing.T) {
	t.Parallel()
	for _, c := range recordings[replyRecording](t, "replies") {
		if !strings.HasPrefix(c.Case, "E_http_") || c.Reply == nil {
			continue
		}
		t.Run(c.Case, func(t *testing.T) {
			t.Parallel()
			a := newTestApp(t, map[string]any{"functionTimeout": "00:00:02"}, map[string]any{"replies": map[string]any{"H": faster(t, c.Reply)}},
				map[string]any{"H": c.Function}).start()
			got := a.do("GET", "/api/H", nil, "")
			if got.status != c.Response.status() || got.body != c.Response.Body {
				t.Errorf("got %d %q, want %d %q", got.status, got.body, c.Response.status(), c.Response.Body)
			}
			eventually(t, "another handler", func() bool { return a.starts() == 2 })
		})
	}
}

// A timeout kills the handler and with it every other invocation in flight; the next one finds a new handler.
func TestTimeoutKillsTheNeighbours(t *testing.T) {
	t.Parallel()
	control := map[string]any{"replies": map[string]any{"H": map[string]any{"action": "hang"}, "Slow": map[string]any{"action": "hang"}}}
	a := newTestApp(t, map[string]any{"functionTimeout": "00:00:02"}, control, map[string]any{"H": httpFunction, "Slow": httpFunction, "Ok": httpFunction})
	a.start()
	first := make(chan answer, 1)
	go func() { first <- a.do("GET", "/api/H", nil, "") }()
	eventually(t, "the first call", func() bool { return len(a.calls("/H")) == 1 })
	second := make(chan answer, 1)
	go func() { second <- a.do("GET", "/api/Slow", nil, "") }()
	for name, got := range map[string]chan answer{"the late one": first, "its neighbour": second} {
		if r := <-got; r.status != 500 || r.body != "" {
			t.Errorf("%s: got %d %q, want 500 and nothing", name, r.status, r.body)
		}
	}
	if got := a.do("GET", "/api/Ok", nil, ""); got.status != 200 {
		t.Errorf("after the restart: got %d, want 200", got.status)
	}
}
