//go:build unix

package localhost

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2"
)

// patience bounds every wait of these tests; it is long because the machine may be busy.
const patience = 60 * time.Second

// testApp is an app root made for a test, and the host that runs it.
type testApp struct {
	t    *testing.T
	root string
	opts Options
	host *Host
	log  *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// newTestApp writes host.json, control.json and each function.json. hostJSON's description is filled in when it is missing.
func newTestApp(t *testing.T, hostJSON, control any, functions map[string]any) *testApp {
	t.Helper()
	a := &testApp{t: t, root: filepath.Join(t.TempDir(), "app"), log: &syncBuffer{}}
	if err := os.Mkdir(a.root, 0o755); err != nil {
		t.Fatal(err)
	}
	doc := map[string]any{}
	remarshal(t, hostJSON, &doc)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if doc["version"] == nil {
		doc["version"] = "2.0"
	}
	custom, _ := doc["customHandler"].(map[string]any)
	if custom == nil {
		custom = map[string]any{}
	}
	custom["description"] = map[string]any{"defaultExecutablePath": exe}
	doc["customHandler"] = custom
	a.write("host.json", doc)
	a.write("control.json", control)
	for name, f := range functions {
		a.write(filepath.Join(name, "function.json"), f)
	}
	a.opts = Options{
		Roots: []string{a.root}, Environ: append(os.Environ(), asHandler+"=1"), Address: "127.0.0.1:0",
		Logger: slog.New(newConsole(a.log)), MaxPolling: 200 * time.Millisecond, TimeoutGrace: 50 * time.Millisecond,
		DrainLimit: time.Second, HandlerGrace: time.Second,
	}
	return a
}

func remarshal(t *testing.T, from, to any) {
	t.Helper()
	text, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (a *testApp) write(name string, v any) {
	a.t.Helper()
	text, ok := v.(string)
	if !ok {
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			a.t.Fatal(err)
		}
		text = string(b)
	}
	path := filepath.Join(a.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		a.t.Fatal(err)
	}
}

func (a *testApp) start() *testApp {
	a.t.Helper()
	host, err := New(a.opts)
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := host.Start(ctx); err != nil {
		a.t.Fatalf("start: %v\n%s", err, a.log)
	}
	a.host = host
	a.t.Cleanup(func() {
		host.Stop()
		if a.t.Failed() {
			a.t.Logf("log of the host:\n%s", a.log)
		}
	})
	return a
}

func (a *testApp) url() string { return a.host.Apps()[0].URL }

// seen returns what the handler recorded so far.
func (a *testApp) seen() []seen {
	a.t.Helper()
	text, err := os.ReadFile(filepath.Join(a.root, "seen.jsonl"))
	if err != nil && !os.IsNotExist(err) {
		a.t.Fatal(err)
	}
	var all []seen
	for line := range strings.Lines(string(text)) {
		var s seen
		if json.Unmarshal([]byte(line), &s) == nil {
			all = append(all, s)
		}
	}
	return all
}

// calls are the recorded requests to one path.
func (a *testApp) calls(path string) (calls []seen) {
	for _, s := range a.seen() {
		if s.Path == path {
			calls = append(calls, s)
		}
	}
	return calls
}

func (a *testApp) starts() (n int) {
	for _, s := range a.seen() {
		if s.Event == "start" {
			n++
		}
	}
	return n
}

// eventually polls: a handler in another process gives no signal.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("gave up waiting for %s", what)
		}
		<-tick.C
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (a *testApp) do(method, path string, header http.Header, body string) answer {
	a.t.Helper()
	req, err := http.NewRequest(method, a.url()+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// run starts a function through the admin API.
func (a *testApp) run(name, body string) answer {
	return a.do("POST", "/admin/functions/"+name, http.Header{"Content-Type": {"application/json"}}, body)
}

// withStorage gives the app an emulator of its own and returns its queue client.
func (a *testApp) withStorage() *azqueue.ServiceClient {
	a.t.Helper()
	return a.useStorage(sharedStorage(a.t))
}

func queuesOf(t *testing.T, environ []string) *azqueue.ServiceClient {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := newEnvironment(environ).queueService(defaultConnection, transport)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestAppRuns(t *testing.T) {
	t.Parallel()
	a := newTestApp(t, map[string]any{}, map[string]any{}, map[string]any{
		"T": timerFunction("*/1 * * * * *"), "Q": queueFunction, "H": httpFunction,
	})
	queues := a.withStorage()
	ctx := context.Background()
	if _, err := queues.NewQueueClient("work").Create(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := queues.NewQueueClient("work").EnqueueMessage(ctx, "aGVsbG8=", nil); err != nil {
		t.Fatal(err)
	}
	a.start()
	if got := a.do("GET", "/api/H?x=1", nil, ""); got.status != 200 || got.body != "{}" {
		t.Errorf("GET /api/H: got %d %q", got.status, got.body)
	}
	eventually(t, "the message", func() bool { return len(a.calls("/Q")) == 1 })
	eventually(t, "two ticks", func() bool { return len(a.calls("/T")) >= 2 })
	if got := a.run("T", "{}"); got.status != 202 {
		t.Errorf("manual run: got %d", got.status)
	}
	eventually(t, "an empty queue", func() bool {
		p, err := queues.NewQueueClient("work").GetProperties(ctx, nil)
		return err == nil && *p.ApproximateMessagesCount == 0
	})
}
