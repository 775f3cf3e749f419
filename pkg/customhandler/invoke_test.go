package customhandler_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/sim/storagefault"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// order posts to invoke and returns the status and the decoded answer.
func (b *bench) order(t *testing.T, body string) (*http.Response, map[string]any) {
	t.Helper()
	r := httptest.NewRequest("POST", "/api/invoke?code=SECRETKEY", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return b.call(t, r)
}

func (b *bench) call(t *testing.T, r *http.Request) (*http.Response, map[string]any) {
	t.Helper()
	response := b.HTTP("invoke", r)
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return response, answer
}

func TestInvokeRunsATimer(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{timer: func(ctx context.Context, timer customhandler.Timer) error {
		customhandler.Log(ctx).Info("looking", "secret", "hunter22")
		customhandler.Report(ctx, map[string]any{"manual": timer.Manual, "input": timer.Input, "schedule": timer.Schedule, "dry": customhandler.DryRun(ctx)})
		return nil
	}})
	r, got := b.order(t, `{"function":"tick","input":{"since":"2026-09-01"},"dryRun":true}`)
	if r.StatusCode != 200 || got["state"] != "ended" || got["outcome"] != "done" || got["ok"] != true || got["dryRun"] != true {
		t.Errorf("status %d, answer %v", r.StatusCode, got)
	}
	report := fmt.Sprint(got["report"])
	if want := `[map[dry:true input:{"since":"2026-09-01"} manual:true schedule:0 0 2 * * *]]`; report != want {
		t.Errorf("report is %s, want %s", report, want)
	}
	if log := fmt.Sprint(got["log"]); !strings.Contains(log, "looking") || strings.Contains(log, "hunter22") {
		t.Errorf("log is %s", log)
	}
}

func TestInvokeRunsAMessageByHand(t *testing.T) {
	t.Parallel()
	outcomes := map[string]error{
		"done":      nil,
		"failed":    errors.New("disk full"),
		"permanent": customhandler.Advise(customhandler.Permanent(errors.New("no such path")), "create it"),
		"retry":     customhandler.RetryAfter(time.Minute),
	}
	b := newBench(t, handlers{queue: func(_ context.Context, m customhandler.Message[job]) error {
		if !m.Manual {
			return errors.New("not known as a run by hand")
		}
		return outcomes[m.Data.Path]
	}})
	for name, row := range map[string]struct{ input, outcome, do string }{
		"done":         {`{"path":"done"}`, "done", ""},
		"with version": {`{"version":2,"path":"done"}`, "done", ""},
		"as text":      {`"{\"path\":\"done\"}"`, "done", ""},
		"failed":       {`{"path":"failed"}`, "failed", ""},
		"permanent":    {`{"path":"permanent"}`, "permanent", "create it"},
		"retry":        {`{"path":"retry"}`, "retry", "try again in 1m0s"},
		"not a job":    {`{"paht":"x"}`, "permanent", "correct the input"},
	} {
		t.Run(name, func(t *testing.T) {
			r, got := b.order(t, `{"function":"Work","input":`+row.input+`}`)
			do, _ := got["do"].(string)
			if r.StatusCode != 200 || got["outcome"] != row.outcome || got["ok"] != (row.outcome == "done") || !strings.Contains(do, row.do) {
				t.Errorf("status %d, answer %v", r.StatusCode, got)
			}
		})
	}
	wantBodies(t, "queue", bodies(t, b.queue))
	wantBodies(t, "poison queue", bodies(t, b.poison))
}

func TestInvokeRefusesWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{})
	for body, want := range map[string]struct {
		status int
		says   string
	}{
		``:                                      {400, "no body"},
		`hello`:                                 {400, "not JSON"},
		`[]`:                                    {400, "not a JSON object"},
		`{}`:                                    {400, "exactly one of"},
		`{"function":"tick","release":"x"}`:     {400, "exactly one of"},
		`{"function":"tick","dryrun":true}`:     {400, `it is spelled "dryRun"`},
		`{"function":"tick","dry":true}`:        {400, `field "dry" is unknown`},
		`{"function":"tick","dryRun":"yes"}`:    {400, `field "dryRun" holds a string`},
		`{"function":"tick","waitSeconds":231}`: {400, "want 0 to 200"},
		`{"function":"tick","waitSeconds":-1}`:  {400, "want 0 to 200"},
		`{"release":"x","dryRun":true}`:         {400, `go with "function" only`},
		`{"function":"nosuch"}`:                 {404, "there are tick, work"},
		`{"function":"check"}`:                  {400, "call its own address"},
		`{"function":"work"}`:                   {400, "must be the message"},
		`{"function":"work","input":[1]}`:       {400, "must be the message"},
		`{"release":"nosuch"}`:                  {404, "nothing has this id"},
		`{"discard":"nosuch"}`:                  {404, "nothing has this id"},
		`{"requeue":"nosuch"}`:                  {404, "nothing has this id"},
		`{"release":"nosu"}`:                    {400, "at least the first 6 characters"},
	} {
		r, got := b.order(t, body)
		if message, _ := got["error"].(string); r.StatusCode != want.status || !strings.Contains(message, want.says) {
			t.Errorf("%s: status %d, answer %v, want %d with %q", body, r.StatusCode, got, want.status, want.says)
		}
	}
	if r, _ := b.call(t, httptest.NewRequest("DELETE", "/api/invoke", nil)); r.StatusCode != 405 {
		t.Errorf("DELETE: status %d", r.StatusCode)
	}
	if r, _ := b.call(t, httptest.NewRequest("GET", "/api/invoke?id=nosuch", nil)); r.StatusCode != 404 {
		t.Errorf("unknown run: status %d", r.StatusCode)
	}
	if r, _ := b.call(t, httptest.NewRequest("GET", "/api/invoke?id=x&waitSeconds=soon", nil)); r.StatusCode != 400 {
		t.Errorf("wait that is no number: status %d", r.StatusCode)
	}
}

func TestLongRunIsAskedAgain(t *testing.T) {
	t.Parallel()
	release, begun := make(chan struct{}), make(chan struct{}, 10)
	b := newBench(t, handlers{timer: func(ctx context.Context, _ customhandler.Timer) error {
		begun <- struct{}{}
		<-release
		customhandler.Report(ctx, "finished")
		return nil
	}})
	r, got := b.order(t, `{"function":"tick","waitSeconds":0}`)
	<-begun
	id, _ := got["id"].(string)
	ask, _ := got["ask"].(string)
	if r.StatusCode != 202 || got["state"] != "running" || id == "" || ask != "http://127.0.0.1:7071/api/invoke?id="+id || r.Header.Get("Location") != ask {
		t.Fatalf("status %d, answer %v", r.StatusCode, got)
	}
	if r, got := b.call(t, httptest.NewRequest("GET", "/api/invoke?id="+id, nil)); r.StatusCode != 202 || got["state"] != "running" {
		t.Errorf("while it runs: status %d, answer %v", r.StatusCode, got)
	}
	for range 3 {
		b.order(t, `{"function":"tick","waitSeconds":0}`)
		<-begun
	}
	if r, got := b.order(t, `{"function":"tick","waitSeconds":0}`); r.StatusCode != 429 {
		t.Errorf("a fifth run: status %d, answer %v", r.StatusCode, got)
	}
	close(release)
	r, got = b.call(t, httptest.NewRequest("GET", "/api/invoke?id="+id+"&waitSeconds=60", nil))
	if r.StatusCode != 200 || got["state"] != "ended" || fmt.Sprint(got["report"]) != "[finished]" || got["ask"] != nil {
		t.Errorf("when it ended: status %d, answer %v", r.StatusCode, got)
	}
	if runs := entries(b.list(t), "runs"); len(runs) == 0 {
		t.Error("no run is listed")
	}
}

func TestRunOfADeadProcessIsSaidToBeDead(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{})
	old := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	record := fmt.Sprintf(`{"id":"old","function":"tick","state":"running","started":%q,"heartbeat":%q}`, old, old)
	if _, err := b.state.Write(t.Context(), "runs/old.json", []byte(record), storage.Cond{}, storage.Meta{}); err != nil {
		t.Fatal(err)
	}
	r, got := b.call(t, httptest.NewRequest("GET", "/api/invoke?id=old", nil))
	if message, _ := got["error"].(string); r.StatusCode != 200 || got["state"] != "dead" || !strings.Contains(message, old) {
		t.Errorf("status %d, answer %v", r.StatusCode, got)
	}
}

func TestReleaseDeliversTheMessageAgain(t *testing.T) {
	t.Parallel()
	var released atomic.Pointer[customhandler.Release]
	b := newBench(t, handlers{queue: func(_ context.Context, m customhandler.Message[job]) error {
		if m.Released == nil {
			return customhandler.Hold("it shrank by 40%")
		}
		released.Store(m.Released)
		return nil
	}})
	body := encode(t, job{Path: "/a"})
	for range 2 { // holding twice is holding once
		if r := b.Queue("work", body); !r.OK() {
			t.Fatalf("hold: %+v", r)
		}
	}
	held := entries(b.list(t), "held")
	if len(held) != 1 || held[0]["reason"] != "it shrank by 40%" || held[0]["message"] != string(body) || held[0]["function"] != "work" {
		t.Fatalf("held: %v", held)
	}
	id := held[0]["id"].(string)
	if r, got := b.order(t, fmt.Sprintf(`{"release":%q}`, id)); r.StatusCode != 200 {
		t.Errorf("release: status %d, answer %v", r.StatusCode, got)
	}
	if held := entries(b.list(t), "held"); len(held) != 0 {
		t.Errorf("still held: %v", held)
	}
	queued := bodies(t, b.queue)
	if len(queued) != 1 {
		t.Fatalf("queue holds %q", queued)
	}
	if r := b.Queue("work", []byte(queued[0])); !r.OK() || released.Load() == nil || released.Load().Reason != "it shrank by 40%" {
		t.Errorf("released message: %+v, release %+v", r, released.Load())
	}
	if r, _ := b.order(t, fmt.Sprintf(`{"release":%q}`, id)); r.StatusCode != 404 {
		t.Errorf("released twice: status %d", r.StatusCode)
	}
}

// Two messages whose ids begin alike: the beginning that they share is refused, the next characters tell them apart.
func TestTheBeginningOfAnIDIsEnough(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{queue: func(_ context.Context, m customhandler.Message[job]) error { return customhandler.Hold("it shrank") }})
	one, two := alike(t, 6)
	for _, body := range [][]byte{one, two} {
		b.Queue("work", body)
	}
	id := idOf(one)
	if r, got := b.order(t, fmt.Sprintf(`{"release":%q}`, id[:6])); r.StatusCode != 400 || !strings.Contains(fmt.Sprint(got["error"]), "2 ids begin with") {
		t.Errorf("shared beginning: status %d, answer %v", r.StatusCode, got)
	}
	if r, got := b.order(t, fmt.Sprintf(`{"release":%q}`, strings.ToUpper(id[:16]))); r.StatusCode != 200 || got["released"] != id {
		t.Errorf("release: status %d, answer %v", r.StatusCode, got)
	}
	if _, err := b.poison.Enqueue(t.Context(), one, 0); err != nil { // as the host does, without a reason
		t.Fatal(err)
	}
	if r, got := b.order(t, fmt.Sprintf(`{"requeue":%q}`, id[:16])); r.StatusCode != 200 || got["requeued"] != id || got["messages"] != 1.0 {
		t.Errorf("requeue: status %d, answer %v", r.StatusCode, got)
	}
	if r, got := b.order(t, fmt.Sprintf(`{"discard":%q}`, idOf(two)[:6])); r.StatusCode != 200 || got["discarded"] != idOf(two) {
		t.Errorf("discard: status %d, answer %v", r.StatusCode, got)
	}
}

func idOf(body []byte) string { return fmt.Sprintf("%x", sha256.Sum256(body)) }

// alike makes two messages whose ids share their first n characters.
func alike(t *testing.T, n int) (one, two []byte) {
	seen := map[string][]byte{}
	for i := 0; ; i++ {
		body := encode(t, job{Path: fmt.Sprint("/", i)})
		begin := idOf(body)[:n]
		if other, ok := seen[begin]; ok {
			return other, body
		}
		seen[begin] = body
	}
}

func TestDiscardForgetsWhatIsHeldAndLogsIt(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{queue: func(context.Context, customhandler.Message[job]) error { return customhandler.Hold("it shrank") }})
	b.Queue("work", encode(t, job{Path: "/a"}))
	id := entries(b.list(t), "held")[0]["id"].(string)
	if r, got := b.order(t, fmt.Sprintf(`{"discard":%q}`, id)); r.StatusCode != 200 {
		t.Errorf("status %d, answer %v", r.StatusCode, got)
	}
	wantBodies(t, "queue", bodies(t, b.queue))
	if held := entries(b.list(t), "held"); len(held) != 0 {
		t.Errorf("still held: %v", held)
	}
	find(t, b.Stderr(), "held message discarded")
}

func TestHeldTimerRunsWhenReleased(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{timer: func(ctx context.Context, timer customhandler.Timer) error {
		if timer.Released == nil {
			return customhandler.Hold("would delete 900 photos")
		}
		customhandler.Report(ctx, timer.Released.Reason)
		return nil
	}})
	for range 2 {
		if r := b.Timer("tick"); !r.OK() {
			t.Errorf("hold: %+v", r)
		}
	}
	if find(t, b.Stderr(), "invocation hold").Error != "would delete 900 photos" {
		t.Error("a hold is not reported as an error")
	}
	held := entries(b.list(t), "held")
	if len(held) != 1 || held[0]["function"] != "tick" {
		t.Fatalf("held: %v", held)
	}
	r, got := b.order(t, fmt.Sprintf(`{"release":%q}`, held[0]["id"]))
	if r.StatusCode != 200 || got["outcome"] != "done" || fmt.Sprint(got["report"]) != "[would delete 900 photos]" {
		t.Errorf("release: status %d, answer %v", r.StatusCode, got)
	}
	if held := entries(b.list(t), "held"); len(held) != 0 {
		t.Errorf("still held: %v", held)
	}
}

func TestDryRunIsNotHeld(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{timer: func(context.Context, customhandler.Timer) error { return customhandler.Hold("would delete 900 photos") }})
	if r, got := b.order(t, `{"function":"tick","dryRun":true}`); r.StatusCode != 200 || got["outcome"] != "hold" || !strings.Contains(got["do"].(string), "would be held") {
		t.Errorf("status %d, answer %v", r.StatusCode, got)
	}
	if held := entries(b.list(t), "held"); len(held) != 0 {
		t.Errorf("held: %v", held)
	}
}

func TestRequeueGivesFreshTries(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{queue: func(context.Context, customhandler.Message[job]) error {
		return customhandler.Permanent(errors.New("no such path"))
	}})
	one, two := encode(t, job{Path: "/one"}), encode(t, job{Path: "/two"})
	b.Queue("work", []byte(noted(one, `{"failures":4,"lost":3}`)))
	b.Queue("work", two)
	if _, err := b.poison.Enqueue(t.Context(), encode(t, job{Path: "/three"}), 0); err != nil { // as the host does
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, e := range entries(b.list(t), "poisoned") {
		ids[e["message"].(string)] = e["id"].(string)
		if noReason := strings.Contains(e["reason"].(string), "no reason is on record"); noReason != strings.Contains(e["message"].(string), "three") {
			t.Errorf("reason is %v for %v", e["reason"], e["message"])
		}
	}
	if r, got := b.order(t, fmt.Sprintf(`{"requeue":%q}`, ids[noted(one, `{"failures":4,"lost":3}`)])); r.StatusCode != 200 || got["messages"] != 1.0 {
		t.Errorf("status %d, answer %v", r.StatusCode, got)
	}
	wantBodies(t, "queue", bodies(t, b.queue), noted(one, `{"requeued":1}`))
	if got := bodies(t, b.poison); len(got) != 2 {
		t.Errorf("poison queue holds %q: the others must be visible again", got)
	}
	if got := blobs(t, b, "poison/"); len(got) != 1 {
		t.Errorf("reasons %q", got)
	}
	if r, got := b.order(t, fmt.Sprintf(`{"discard":%q}`, ids[string(two)])); r.StatusCode != 200 || got["messages"] != 1.0 {
		t.Errorf("discard: status %d, answer %v", r.StatusCode, got)
	}
	if r, got := b.order(t, `{"requeue":"all"}`); r.StatusCode != 200 || got["messages"] != 1.0 {
		t.Errorf("requeue all: status %d, answer %v", r.StatusCode, got)
	}
	wantBodies(t, "poison queue", bodies(t, b.poison))
	if got := bodies(t, b.queue); len(got) != 2 {
		t.Errorf("queue holds %q", got)
	}
}

// A release or requeue that breaks half-way leaves the message held or poisoned, or delivers it; repeating it is harmless.
func TestOperatorsFaultsLoseNothing(t *testing.T) {
	t.Parallel()
	server := emulator.Server(t)
	for _, op := range []string{"Put Message", "Delete Blob", "Delete Message"} {
		for _, stored := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stored %v", op, stored), func(t *testing.T) {
				t.Parallel()
				proxy, err := storagefault.Start(server.ConnectionString())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(proxy.Stop)
				b := newBench(t, handlers{connection: proxy.ConnectionString(), queue: func(_ context.Context, m customhandler.Message[job]) error {
					if m.Data.Path == "/held" {
						return customhandler.Hold("it shrank")
					}
					return customhandler.Permanent(errors.New("no such path"))
				}})
				b.Queue("work", encode(t, job{Path: "/held"}))
				b.Queue("work", encode(t, job{Path: "/poisoned"}))
				l := b.list(t)
				release := fmt.Sprintf(`{"release":%q}`, entries(l, "held")[0]["id"])
				requeue := fmt.Sprintf(`{"requeue":%q}`, entries(l, "poisoned")[0]["id"])
				fault := proxy.Inject(storagefault.Fault{Match: storagefault.Op(op), Stored: stored, Effect: storagefault.Status(500, "InternalError")})
				for what, path := range map[string]string{release: "/held", requeue: "/poisoned"} {
					r, _ := b.order(t, what)
					queued := strings.Contains(fmt.Sprint(bodies(t, b.queue)), path)
					if r.StatusCode == 200 && !queued {
						t.Errorf("%s answered 200, but the message is not on its queue", what)
					}
				}
				fault.Remove()
				for what, path := range map[string]string{release: "/held", requeue: "/poisoned"} {
					b.order(t, what)
					if !strings.Contains(fmt.Sprint(bodies(t, b.queue)), path) {
						t.Errorf("%s again: the message is not on its queue", what)
					}
				}
			})
		}
	}
}

func TestCheckTellsWhatToDo(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{alter: func(a *customhandler.App) {
		a.Checks = []customhandler.Check{
			{Name: "FTP login", Try: func(context.Context) (string, error) {
				return "", customhandler.Advise(errors.New("530 login failed for hunter22"), "check FTPUsername and FTPPassword")
			}},
			{Name: "files", Try: func(context.Context) (string, error) {
				return "", fmt.Errorf("write: %w", storage.ErrUnavailable)
			}},
			{Name: "FTP listing", Try: func(context.Context) (string, error) { return "4 files in /hr", nil }},
			{Name: "panicking", Try: func(context.Context) (string, error) { panic("boom") }},
		}
	}})
	response := b.HTTP("check", httptest.NewRequest("GET", "/api/check?format=text", nil))
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	table := string(raw)
	if response.StatusCode != 503 || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("status %d, %s", response.StatusCode, response.Header.Get("Content-Type"))
	}
	for _, want := range []string{"settings", "state container", "queue " + b.queue.Name(), "FTP listing", "4 files in /hr", "530 login failed for [redacted]",
		"-> check FTPUsername and FTPPassword", "-> see that the storage account is up", "the check panicked: boom"} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	if got := blobs(t, b, "check/"); len(got) != 0 {
		t.Errorf("left behind %q", got)
	}
}

func TestCheckShowsEachProblemOfTheSettings(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{alter: func(a *customhandler.App) {
		a.Problem = settings.Problems{
			{Setting: "FTPServer", Want: "a host name", Example: "ftp.example.com"},
			{Setting: "FTPPassword", Got: settings.Redacted, Want: "the password"},
			{Setting: "FTPSever", Got: settings.Redacted, Want: "a setting that exists", Hint: "did you mean FTPServer?"},
		}
	}})
	response := b.HTTP("check", httptest.NewRequest("GET", "/api/check", nil))
	var answer struct {
		OK     bool
		Checks []struct {
			Check, Detail, Do string
			OK                bool
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != 503 || answer.OK || answer.Checks[0].Check != "setting FTPServer" || answer.Checks[0].Do != `set it to a host name, for example "ftp.example.com"` ||
		answer.Checks[1].Check != "setting FTPPassword" || answer.Checks[2].Do != "did you mean FTPServer?" || answer.Checks[3].OK != true {
		t.Errorf("status %d, answer %+v", response.StatusCode, answer)
	}
}
