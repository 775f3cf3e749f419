package customhandler_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"crypto/rand"

	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/customhandler/customhandlertest"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/sim/azurite/azuritetest"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

var emulator azuritetest.Shared

func TestMain(m *testing.M) {
	if role := os.Getenv("CUSTOMHANDLER_TEST_PROCESS"); role != "" {
		processUnderTest(role) // never returns
	}
	os.Exit(emulator.Run(m))
}

// job is a message type of a test app.
type job struct {
	Path string   `json:"path"`
	Size int64    `json:"size,omitempty"`
	Tags []string `json:"tags,omitempty"`
}

func (job) MessageVersion() int { return 2 }

// bench is an app under test with storage of its own.
type bench struct {
	*customhandlertest.Host
	account *storage.Account
	state   *storage.Container
	queue   *storage.Queue
	poison  *storage.Queue
}

type handlers struct {
	timer func(context.Context, customhandler.Timer) error
	queue func(context.Context, customhandler.Message[job]) error
	alter func(*customhandler.App)

	connection string // to other storage than the emulator
	host       string
}

func newBench(t *testing.T, hs handlers) *bench {
	t.Helper()
	connection := hs.connection
	if connection == "" {
		connection = emulator.Server(t).ConnectionString()
	}
	account, err := storage.Open(storage.Config{ConnectionString: settings.NewSecret(connection)}, storage.WithRetries(1, time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(account.Close)
	name := "t" + strings.ToLower(rand.Text())
	app := customhandler.App{Name: "testapp", Storage: account, State: account.Container(name + "-state"), Secrets: []settings.Secret{settings.NewSecret("hunter22")}}
	if hs.timer == nil {
		hs.timer = func(context.Context, customhandler.Timer) error { return nil }
	}
	if hs.queue == nil {
		hs.queue = func(context.Context, customhandler.Message[job]) error { return nil }
	}
	app.Functions = []customhandler.Function{customhandler.TimerFunc("tick", hs.timer), customhandler.QueueFunc("work", hs.queue)}
	if hs.alter != nil {
		hs.alter(&app)
	}
	if hs.host == "" {
		hs.host = `{"version":"2.0","functionTimeout":"00:10:00","extensions":{"queues":{"maxDequeueCount":5}}}`
	}
	root := fstest.MapFS{
		"host.json":            {Data: []byte(hs.host)},
		"tick/function.json":   {Data: []byte(`{"bindings":[{"type":"timerTrigger","direction":"in","name":"timer","schedule":"0 0 2 * * *"}]}`)},
		"work/function.json":   {Data: []byte(`{"bindings":[{"type":"queueTrigger","direction":"in","name":"message","queueName":"%Q%","dataType":"binary"}]}`)},
		"invoke/function.json": {Data: []byte(`{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","authLevel":"function","methods":["get","post"]},{"type":"http","direction":"out","name":"res"}]}`)},
		"check/function.json":  {Data: []byte(`{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","authLevel":"function","methods":["get"]},{"type":"http","direction":"out","name":"res"}]}`)},
	}
	return &bench{Host: customhandlertest.New(t, app, root, "Q="+name), account: account, state: app.State,
		queue: account.Queue(name), poison: account.Queue(name + "-poison")}
}

func encode(t *testing.T, v job) []byte {
	t.Helper()
	body, err := customhandler.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func bodies(t *testing.T, q *storage.Queue) []string {
	t.Helper()
	messages, err := q.Peek(t.Context(), 32)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range messages {
		all = append(all, string(m.Body))
	}
	return all
}

func (b *bench) list(t *testing.T) map[string]any {
	t.Helper()
	r := b.HTTP("invoke", httptest.NewRequest("GET", "/api/invoke", nil))
	var l map[string]any
	if err := json.NewDecoder(r.Body).Decode(&l); err != nil || r.StatusCode != 200 {
		t.Fatalf("list: status %d, %v\n%s", r.StatusCode, err, b.Stderr())
	}
	return l
}

func entries(list map[string]any, name string) []map[string]any {
	var all []map[string]any
	for _, e := range list[name].([]any) {
		all = append(all, e.(map[string]any))
	}
	return all
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	outcome := errors.New("unset")
	b := newBench(t, handlers{queue: func(_ context.Context, m customhandler.Message[job]) error { return outcome }})
	body := encode(t, job{Path: "/a"})

	outcome = nil
	if r := b.Queue("work", body); !r.OK() {
		t.Errorf("nil: %+v", r)
	}
	outcome = customhandler.Permanent(errors.New("no such path hunter22"))
	if r := b.Queue("work", body); !r.OK() {
		t.Errorf("permanent: %+v", r)
	}
	if got := bodies(t, b.poison); len(got) != 1 || got[0] != string(body) {
		t.Errorf("poison queue holds %q", got)
	}
	outcome = fmt.Errorf("server is busy: %w", customhandler.RetryAfter(0))
	if r := b.Queue("work", body); !r.OK() {
		t.Errorf("retry: %+v", r)
	}
	putOff := strings.TrimSuffix(string(body), "}") + `,"delivery":{"putOff":1}}`
	if got := bodies(t, b.queue); len(got) != 1 || got[0] != putOff {
		t.Errorf("queue holds %q", got)
	}
	outcome = customhandler.Hold("it shrank")
	if r := b.Queue("work", body); !r.OK() {
		t.Errorf("hold: %+v", r)
	}
	outcome = errors.New("connection reset")
	if r := b.Queue("work", body); r.Status != 500 || !strings.Contains(r.Body, "connection reset") {
		t.Errorf("error: %+v", r)
	}
	l := b.list(t)
	if held := l["held"].([]any); len(held) != 1 || held[0].(map[string]any)["reason"] != "it shrank" {
		t.Errorf("held: %v", held)
	}
	if poisoned := l["poisoned"].([]any); len(poisoned) != 1 || poisoned[0].(map[string]any)["reason"] != "no such path [redacted]" {
		t.Errorf("poisoned: %v", poisoned)
	}
}

func TestCheckFunctionWorks(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{})
	r := b.HTTP("check", httptest.NewRequest("GET", "/api/check", nil))
	if r.StatusCode != 200 {
		t.Errorf("status %d\n%s", r.StatusCode, b.Stderr())
	}
}
