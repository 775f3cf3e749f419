package customhandler_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/settings"
)

// record is a line of log.
type record struct {
	Level, Msg, App, Function, Invocation, Error, Stack, Cause, Panic, Outcome string
	Report                                                                     []json.RawMessage
}

func records(t *testing.T, stream string) []record {
	t.Helper()
	var all []record
	for line := range strings.Lines(stream) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		all = append(all, r)
	}
	return all
}

func find(t *testing.T, stream, message string) record {
	t.Helper()
	for _, r := range records(t, stream) {
		if r.Msg == message {
			return r
		}
	}
	t.Fatalf("no record %q in\n%s", message, stream)
	return record{}
}

func TestPanicFailsOneInvocation(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{timer: func(_ context.Context, timer customhandler.Timer) error {
		if timer.Manual {
			panic("boom hunter22")
		}
		return nil
	}})
	if r := b.TimerByHand("tick", ""); r.Status != 500 || !strings.Contains(r.Body, "the handler panicked: boom [redacted]") {
		t.Errorf("answer %+v", r)
	}
	if r := b.Timer("tick"); !r.OK() {
		t.Errorf("the process did not go on: %+v", r)
	}
	r := find(t, b.Stderr(), "handler panicked")
	if r.Level != "error" || r.Panic != "boom [redacted]" || !strings.Contains(r.Stack, "TestPanicFailsOneInvocation") || r.Function != "tick" || r.Invocation == "" {
		t.Errorf("logged %+v", r)
	}
}

func TestGoexitFailsOneInvocation(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{timer: func(context.Context, customhandler.Timer) error {
		runtime.Goexit()
		return nil
	}})
	if r := b.Timer("tick"); r.Status != 500 || !strings.Contains(r.Body, "Goexit") {
		t.Errorf("answer %+v", r)
	}
}

const oneSecond = `{"version":"2.0","functionTimeout":"00:00:01"}`

func TestDeadlineEndsBeforeTheHostKills(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{host: oneSecond, timer: func(ctx context.Context, _ customhandler.Timer) error {
		if _, ok := ctx.Deadline(); !ok {
			return errors.New("no deadline")
		}
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), customhandler.ErrDeadline) {
			return errors.New("ended for another reason")
		}
		return ctx.Err()
	}})
	r := b.Timer("tick")
	if r.Status != 500 || !strings.Contains(r.Body, "the time allowed by functionTimeout is over (1s in host.json)") {
		t.Errorf("answer %+v", r)
	}
}

func TestHandlerThatIgnoresItsDeadline(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	b := newBench(t, handlers{host: oneSecond, timer: func(context.Context, customhandler.Timer) error {
		stubbornWait(release)
		return nil
	}})
	r := b.Timer("tick")
	if r.Status != 500 || !strings.Contains(r.Body, "did not stop when its time was over") {
		t.Errorf("answer %+v", r)
	}
	logged := find(t, b.Stderr(), "handler ignores that its time is over")
	if !strings.Contains(logged.Stack, "stubbornWait") {
		t.Errorf("the stack does not show where it waits:\n%s", logged.Stack)
	}
	close(release)
}

//go:noinline
func stubbornWait(release chan struct{}) { <-release }

func TestReportAndDryRunOutsideOfARun(t *testing.T) {
	t.Parallel()
	customhandler.Report(t.Context(), 1) // nobody asked: nothing happens
	if customhandler.DryRun(t.Context()) {
		t.Error("a context without an invocation is a dry run")
	}
	b := newBench(t, handlers{timer: func(ctx context.Context, _ customhandler.Timer) error {
		customhandler.Report(ctx, map[string]int{"files": 3})
		customhandler.Report(ctx, make(chan int))
		return nil
	}})
	if r := b.Timer("tick"); !r.OK() {
		t.Errorf("answer %+v", r)
	}
	done := find(t, b.Stdout(), "invocation done")
	if len(done.Report) != 2 || string(done.Report[0]) != `{"files":3}` || !strings.Contains(string(done.Report[1]), "chan int") {
		t.Errorf("report is %s", done.Report)
	}
}

// The host reads standard output as information, and standard error as errors, or warnings if the line has "warn" in it.
func TestEachLevelArrivesAsItself(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{timer: func(ctx context.Context, _ customhandler.Timer) error {
		l := customhandler.Log(ctx)
		l.Debug("not shown at this level")
		l.Info("a warning in an information")
		l.Warn("look at this")
		l.Error("Warning: not a waRNing", "text", "two\nlines, WARN and \\warn")
		slog.New(l.Handler()).InfoContext(ctx, "from another logger")
		return nil
	}})
	if r := b.Timer("tick"); !r.OK() {
		t.Errorf("answer %+v", r)
	}
	if find(t, b.Stdout(), "a warning in an information").Level != "info" {
		t.Error("information is not on standard output as such")
	}
	if strings.Contains(b.Stdout(), "not shown") {
		t.Error("debug is shown although host.json does not ask for it")
	}
	for line := range strings.Lines(b.Stderr()) {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if warns := strings.Contains(strings.ToLower(line), "warn"); warns != (r.Level == "warn") {
			t.Errorf("the host would take this %s for something else: %s", r.Level, line)
		}
	}
	if find(t, b.Stderr(), "look at this").Level != "warn" || find(t, b.Stderr(), "Warning: not a waRNing").Level != "error" {
		t.Error("level lost")
	}
	if r := find(t, b.Stdout(), "from another logger"); r.Function != "tick" || r.App != "testapp" || r.Invocation == "" {
		t.Errorf("not stamped: %+v", r)
	}
}

func TestDebugWhenHostJSONAsks(t *testing.T) {
	t.Parallel()
	b := newBench(t, handlers{host: `{"logging":{"logLevel":{"default":"Debug"}}}`, timer: func(ctx context.Context, _ customhandler.Timer) error {
		customhandler.Log(ctx).Debug("shown")
		return nil
	}})
	b.Timer("tick")
	if find(t, b.Stdout(), "shown").Level != "debug" {
		t.Error("level lost")
	}
}

func TestNoSecretIsPrinted(t *testing.T) {
	t.Parallel()
	const quoted = `pa"ss<w&rd`
	all := "hunter22 and " + quoted + " and https://x.blob.core.windows.net/c/b?se=1&sig=abc%2Fdef&sp=r"
	b := newBench(t, handlers{
		alter: func(a *customhandler.App) { a.Secrets = append(a.Secrets, settings.NewSecret(quoted)) },
		timer: func(ctx context.Context, timer customhandler.Timer) error {
			customhandler.Log(ctx).Info(all, "error", errors.New(all), "any", map[string]string{"x": all})
			customhandler.Log(ctx).Error(all)
			customhandler.Report(ctx, all)
			if timer.Manual {
				panic(all)
			}
			return errors.New(all)
		},
	})
	said := b.Timer("tick").Body + b.TimerByHand("tick", all).Body + b.Stdout() + b.Stderr()
	for _, secret := range []string{"hunter22", quoted, `pa\"ss`, "abc%2Fdef"} {
		if i := strings.Index(said, secret); i >= 0 {
			t.Errorf("%q was printed: …%s…", secret, said[max(0, i-100):min(len(said), i+100)])
		}
	}
}

// A URL in quotes is what most errors of net/http say; taking its signature out must leave the line JSON.
func TestScrubbedLinesStayJSON(t *testing.T) {
	t.Parallel()
	const quoted = `Get "https://x.blob.core.windows.net/c/b?sig=abc%2Fdef": EOF`
	b := newBench(t, handlers{timer: func(ctx context.Context, _ customhandler.Timer) error {
		customhandler.Log(ctx).Warn(quoted, "any", []string{quoted}, "error", errors.New(quoted))
		customhandler.Report(ctx, map[string]string{quoted: quoted})
		return errors.New(quoted)
	}})
	b.Timer("tick")
	records(t, b.Stdout()+b.Stderr())
	r, got := b.order(t, `{"function":"tick"}`)
	if said := fmt.Sprint(got, b.Stdout(), b.Stderr()); r.StatusCode != 200 || strings.Contains(said, "abc%2Fdef") || !strings.Contains(said, `EOF`) {
		t.Errorf("status %d, answer %v", r.StatusCode, got)
	}
	for _, name := range blobs(t, b, "runs/") {
		raw, _, err := b.state.Read(t.Context(), name, 1<<20)
		if err != nil || !json.Valid(raw) || strings.Contains(string(raw), "abc%2Fdef") {
			t.Errorf("%s holds %s, %v", name, raw, err)
		}
	}
}

func TestLongRecordsAreCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100_000)
	b := newBench(t, handlers{timer: func(ctx context.Context, _ customhandler.Timer) error {
		customhandler.Log(ctx).Info("long text", "text", long)
		customhandler.Log(ctx).Info("long value", "values", strings.Split(long, ""))
		return nil
	}})
	b.Timer("tick")
	for line := range strings.Lines(b.Stdout()) {
		if len(line) > 65<<10 {
			t.Errorf("a line has %d bytes", len(line))
		}
	}
	find(t, b.Stdout(), "long text")
	find(t, b.Stdout(), "long value")
}

// When the host goes away in the middle, the handler is told so, and the try is nobody's failure.
func TestConnectionLossIsNoFailure(t *testing.T) {
	t.Parallel()
	begun, cause := make(chan struct{}), make(chan error, 1)
	b := newBench(t, handlers{queue: func(ctx context.Context, _ customhandler.Message[job]) error {
		close(begun)
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return ctx.Err()
	}})
	ctx, hangUp := context.WithCancel(t.Context())
	go func() {
		<-begun
		hangUp()
	}()
	if err := b.Abandon(ctx, "work", encode(t, job{Path: "/a"})); err == nil {
		t.Error("the invocation was answered")
	}
	if err := <-cause; !errors.Is(err, customhandler.ErrHostGone) {
		t.Errorf("cause is %v", err)
	}
	b.Stop()
	if got := blobs(t, b, "failed/"); len(got) != 0 {
		t.Errorf("recorded %q", got)
	}
}
