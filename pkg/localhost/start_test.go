//go:build unix

package localhost

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

type readinessRecording struct {
	Case    string            `json:"case"`
	Host    json.RawMessage   `json:"host_json"`
	Control map[string]any    `json:"control"`
	Probes  []recordedRequest `json:"probe_requests"`
	Process *struct {
		Args   []string `json:"argv"`
		Dir    string   `json:"cwd"`
		Stdin  string   `json:"stdin"`
		Group  int      `json:"pgid"`
		HostID int      `json:"host_pid"`
	} `json:"process"`
	Env map[string]string `json:"env_added_by_host"`
}

// TestReadinessAsRecorded starts handlers that answer the probe in the recorded ways.
func TestReadinessAsRecorded(t *testing.T) {
	t.Parallel()
	for _, c := range recordings[readinessRecording](t, "readiness") {
		if c.Control == nil || c.Case == "A5_ready_hang" { // the real host waits for ever; see TestProbeThatHangs
			continue
		}
		t.Run(c.Case, func(t *testing.T) {
			t.Parallel()
			a := newTestApp(t, map[string]any{}, c.Control, map[string]any{"H": httpFunction}).start()
			if got := a.do("GET", "/api/H", nil, ""); got.status != 200 {
				t.Errorf("GET /api/H: got %d", got.status)
			}
			probes := a.calls("/")
			if len(probes) != len(c.Probes) {
				t.Fatalf("probes: got %d, want %d", len(probes), len(c.Probes))
			}
			for i, want := range c.Probes {
				if got := probes[i]; got.Method != want.Method || !slices.Equal(settleHeaders(got.Headers), settleHeaders(want.Headers)) {
					t.Errorf("probe: got %s %v, want %s %v", got.Method, got.Headers, want.Method, want.Headers)
				}
			}
			compareEnvironment(t, a, c.Env)
		})
	}
}

// compareEnvironment compares the names of the variables that the host adds, and those values that are known.
func compareEnvironment(t *testing.T, a *testApp, want map[string]string) {
	t.Helper()
	own := map[string]bool{}
	for _, pair := range a.opts.Environ {
		name, _, _ := strings.Cut(pair, "=")
		own[name] = true
	}
	added := map[string]string{}
	for _, pair := range a.seen()[0].Env {
		name, value, _ := strings.Cut(pair, "=")
		if !own[name] {
			added[name] = value
		}
	}
	for name := range want {
		if added[name] == "" {
			t.Errorf("the handler lacks %s", name)
		}
	}
	for name := range added {
		if _, ok := want[name]; !ok && name != "PWD" { // os/exec keeps PWD true to the directory
			t.Errorf("the handler has %s more than at the real host", name)
		}
	}
	if added["FUNCTIONS_APP_ROOT_PATH"] != a.root || added["FUNCTIONS_CUSTOMHANDLER_PORT"] != added["FUNCTIONS_HTTPWORKER_PORT"] {
		t.Errorf("values: %v", added)
	}
}

// TestCommandLinesAsRecorded checks what becomes of description.
func TestCommandLinesAsRecorded(t *testing.T) {
	t.Parallel()
	for _, c := range recordings[readinessRecording](t, "readiness") {
		if !strings.HasPrefix(c.Case, "A7_") {
			continue
		}
		t.Run(c.Case, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for name, text := range map[string]string{"host.json": string(c.Host), "recorder.py": ""} {
				if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Mkdir(filepath.Join(root, "sub"), 0o755); err != nil {
				t.Fatal(err)
			}
			env := newEnvironment([]string{"LABVAR=lab value", "EXEVAR=recorder.py"})
			config, err := loadHostConfig(root, env)
			if c.Process == nil {
				if err == nil {
					t.Error("the real host cannot start this, and we see nothing wrong")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// A script's own path is the first recorded argument, whoever runs it.
			got := config.args
			if config.exe != "python3" {
				got = append([]string{config.exe}, got...)
			}
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], root, "/app")
			}
			if !slices.Equal(got, c.Process.Args) {
				t.Errorf("command line: got %q, want %q", got, c.Process.Args)
			}
			if dir := strings.ReplaceAll(config.workDir, root, "/app"); filepath.Clean(dir) != c.Process.Dir {
				t.Errorf("working directory: got %s, want %s", dir, c.Process.Dir)
			}
		})
	}
}

// TestProbeThatHangs differs from the real host on purpose: it gives up after the initialization timeout.
func TestProbeThatHangs(t *testing.T) {
	t.Parallel()
	a := newTestApp(t, map[string]any{"customHandler": map[string]any{"initializationTimeout": "00:00:00.5"}},
		map[string]any{"replies": map[string]any{"/": map[string]any{"action": "hang"}}}, map[string]any{"H": httpFunction})
	host, err := New(a.opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "did not listen") {
		t.Errorf("got %v", err)
	}
}

// recordingLog keeps records for tests.
type recordingLog struct {
	mu      sync.Mutex
	records []slog.Record
}

func (l *recordingLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *recordingLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *recordingLog) WithGroup(string) slog.Handler            { return l }
func (l *recordingLog) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r)
	return nil
}

// lines are the records of a category, as level and message, sorted.
func (l *recordingLog) lines(category string) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.records {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "category" && a.Value.String() == category && r.Level > slog.LevelDebug {
				lines = append(lines, r.Level.String()+" "+shorten(r.Message))
			}
			return true
		})
	}
	slices.Sort(lines)
	return lines
}

type logRecording struct {
	Case    string          `json:"case"`
	Control json.RawMessage `json:"control"`
	Start   []loggedLine    `json:"startup_lines_in_host_log"`
	Queue   []loggedLine    `json:"queue_invocation_log"`
}

type loggedLine struct {
	Level, Category, Message string
}

func (l loggedLine) String() string {
	level := map[string]string{"Information": "INFO", "Warning": "WARN", "Error": "ERROR"}[l.Level]
	return level + " " + shorten(l.Message)
}

// shorten cuts what the recordings cut, too.
func shorten(text string) string { return text[:min(len(text), 200)] }

// TestLogsAsRecorded compares the level of each line of output and of each entry of Logs.
func TestLogsAsRecorded(t *testing.T) {
	t.Parallel()
	server := sharedStorage(t)
	cases := recordings[logRecording](t, "logs")
	t.Run("cases", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.Case, func(t *testing.T) {
				t.Parallel()
				a := newTestApp(t, map[string]any{}, c.Control, map[string]any{"Q": queueFunction})
				name := strings.ToLower(strings.ReplaceAll(c.Case, "_", "-"))
				a.write("Q/function.json", strings.Replace(queueFunction, `"work"`, `"`+name+`"`, 1))
				queues, log := a.useStorage(server), &recordingLog{}
				a.opts.Logger = slog.New(log)
				putText(t, queues, name, "eyJrIjoxfQ==")
				a.start()
				eventually(t, "the end of the message", func() bool { return queueLength(t, queues, name) == 0 })
				for _, category := range []string{"Host.Function.Console", "Function.Q.User"} {
					var want []string
					for _, line := range append(c.Start, c.Queue...) {
						if line.Category == category {
							want = append(want, line.String())
						}
					}
					slices.Sort(want)
					eventually(t, "the lines of "+category, func() bool { return len(log.lines(category)) >= len(want) })
					if got := log.lines(category); !slices.Equal(got, want) {
						t.Errorf("%s:\n got %.300q\nwant %.300q", category, got, want)
					}
				}
			})
		}
	})
}

// Two apps run side by side, each on its port, and the screen says so.
func TestTwoApps(t *testing.T) {
	t.Parallel()
	first := newTestApp(t, map[string]any{}, map[string]any{}, map[string]any{"One": httpFunction})
	second := newTestApp(t, map[string]any{}, map[string]any{}, map[string]any{"Two": httpFunction, "Broken": `{"bindings":[]}`})
	var screen bytes.Buffer
	first.opts.Roots = append(first.opts.Roots, second.root)
	first.opts.Out = &screen
	first.start()
	apps := first.host.Apps()
	if len(apps) != 2 || apps[0].URL == apps[1].URL {
		t.Fatalf("apps: %+v", apps)
	}
	for i, name := range []string{"One", "Two"} {
		resp, err := http.Get(apps[i].URL + "/api/" + name)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("%s: got %d", name, resp.StatusCode)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	for _, want := range []string{apps[0].URL + "/api/One", apps[1].URL + "/api/Two", "DOES NOT RUN: ", "Broken/function.json:1"} {
		if !strings.Contains(screen.String(), want) {
			t.Errorf("the screen lacks %q:\n%s", want, &screen)
		}
	}
}

// A port that is taken is an error that names it; nothing is left running.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := newTestApp(t, map[string]any{}, map[string]any{}, map[string]any{"H": httpFunction})
	a.opts.Address = l.Addr().String()
	host, err := New(a.opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(t.Context()); err == nil || !strings.Contains(err.Error(), a.opts.Address) {
		t.Errorf("got %v", err)
	}
	host.Stop()
}

// What runs when the host stops may finish; the queue's message is then gone.
func TestStopDrains(t *testing.T) {
	t.Parallel()
	a := newTestApp(t, map[string]any{}, map[string]any{"replies": map[string]any{"Q": map[string]any{"delay": 1}}}, map[string]any{"Q": queueFunction})
	a.opts.DrainLimit = patience
	queues := a.withStorage()
	putText(t, queues, "work", "eyJrIjoxfQ==")
	a.start()
	eventually(t, "the message", func() bool { return len(a.calls("/Q")) == 1 })
	a.host.Stop()
	if n := queueLength(t, queues, "work"); n != 0 {
		t.Errorf("%d messages left", n)
	}
}

// What does not finish in time is cut off, and its message is visible again at once, not after ten minutes.
func TestStopGivesTheMessageBack(t *testing.T) {
	t.Parallel()
	a := newTestApp(t, map[string]any{}, map[string]any{"replies": map[string]any{"Q": map[string]any{"action": "hang"}}}, map[string]any{"Q": queueFunction})
	a.opts.DrainLimit = 10 * time.Millisecond
	queues := a.withStorage()
	putText(t, queues, "work", "eyJrIjoxfQ==")
	a.start()
	eventually(t, "the message", func() bool { return len(a.calls("/Q")) == 1 })
	a.host.Stop()
	if got := peekTexts(t, queues, "work"); len(got) != 1 {
		t.Errorf("visible messages: got %q", got)
	}
}
