//go:build unix

package localhost

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

type lifeRecording struct {
	Case      string            `json:"case"`
	Host      map[string]any    `json:"host_json"`
	Control   map[string]any    `json:"control"`
	Counts    []string          `json:"dequeue_counts"`
	InFlight  *clientResponse   `json:"http_inflight_result"`
	Processes int               `json:"n_handler_processes_started"`
	ExitCode  *int              `json:"host_exit_code_at_end"`
	Left      []json.RawMessage `json:"queue_left"`
	Poison    []json.RawMessage `json:"poison"`
}

// stops says whether the real host stopped because of its handler.
func (c lifeRecording) stops() bool { return c.ExitCode != nil }

// TestBusyHandlerEndsAsRecorded ends the handler while it works on a message and a request.
func TestBusyHandlerEndsAsRecorded(t *testing.T) {
	t.Parallel()
	server := sharedStorage(t)
	cases := recordings[lifeRecording](t, "process-life")
	t.Run("cases", func(t *testing.T) {
		for _, c := range cases {
			if !strings.HasPrefix(c.Case, "F_busy_") || strings.HasPrefix(c.Case, "F_busy_once") {
				continue
			}
			t.Run(c.Case, func(t *testing.T) {
				t.Parallel()
				a := newTestApp(t, map[string]any{}, c.Control, map[string]any{"Q": queueFunction, "H": httpFunction})
				queues := a.useStorage(server)
				name := strings.ToLower(strings.ReplaceAll(c.Case, "_", "-"))
				a.write("Q/function.json", strings.Replace(queueFunction, `"work"`, `"`+name+`"`, 1))
				a.start()
				inFlight := make(chan answer, 1)
				go func() { inFlight <- a.do("GET", "/api/H", nil, "") }()
				eventually(t, "the request", func() bool { return len(a.calls("/H")) == 1 })
				putText(t, queues, name, "eyJrIjoxfQ==")
				if got := <-inFlight; got.status != c.InFlight.status() {
					t.Errorf("the request in flight: got %d, want %d", got.status, c.InFlight.status())
				}
				if c.stops() {
					waitForStop(t, a)
				} else {
					eventually(t, "the end of the message", func() bool { return queueLength(t, queues, name) == 0 })
				}
				if got := len(a.calls("/Q")); got != len(c.Counts) {
					t.Errorf("deliveries: got %d, want %d", got, len(c.Counts))
				}
				if left, poison := queueLength(t, queues, name), queueLength(t, queues, name+"-poison"); int(left) != len(c.Left) || int(poison) != len(c.Poison) {
					t.Errorf("left %d and poisoned %d, want %d and %d", left, poison, len(c.Left), len(c.Poison))
				}
			})
		}
	})
}

// waitForStop waits until the app stopped by itself and checks that it says why.
func waitForStop(t *testing.T, a *testApp) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := a.host.Wait(ctx)
	if err == nil || !strings.Contains(err.Error(), "failure 3 of 3") {
		t.Errorf("the app should have stopped after the third failure: %v", err)
	}
}

// TestIdleHandlerEndsAsRecorded ends the handler again and again while nothing runs.
func TestIdleHandlerEndsAsRecorded(t *testing.T) {
	t.Parallel()
	for _, c := range recordings[lifeRecording](t, "process-life") {
		if !strings.HasPrefix(c.Case, "F_idle_") {
			continue
		}
		t.Run(c.Case, func(t *testing.T) {
			t.Parallel()
			a := newTestApp(t, map[string]any{}, c.Control, map[string]any{"H": httpFunction}).start()
			signal := syscall.SIGKILL
			if c.Control["usr1_exit"] != nil {
				signal = syscall.SIGUSR1
			}
			rounds := min(c.Processes, 4) // of the restarts without end some are enough
			for n := 1; n <= rounds; n++ {
				pid := a.awaitHandler(n)
				syscall.Kill(pid, signal)
			}
			switch {
			case c.stops():
				waitForStop(t, a)
			case c.Processes == 1:
				eventually(t, "the report of the exit", func() bool { return strings.Contains(a.log.String(), "exit code 0") })
				if got := a.do("GET", "/api/H", nil, ""); got.status != 500 {
					t.Errorf("after exit 0: got %d, want 500", got.status)
				}
			default:
				a.awaitHandler(rounds + 1)
				if got := a.do("GET", "/api/H", nil, ""); got.status != 200 {
					t.Errorf("after the restarts: got %d, want 200", got.status)
				}
			}
			if got := a.starts(); c.Processes <= 3 && got != c.Processes {
				t.Errorf("handlers started: got %d, want %d", got, c.Processes)
			}
		})
	}
}

// awaitHandler waits until the nth handler answers, and returns its process id.
func (a *testApp) awaitHandler(n int) (pid int) {
	a.t.Helper()
	eventually(a.t, "handler "+strconv.Itoa(n), func() bool {
		pids := map[int]bool{}
		for _, s := range a.seen() {
			if s.Event == "start" {
				pids[s.Pid], pid = true, s.Pid
			}
		}
		return len(pids) == n && a.host.apps[0].handler.isReady(pid)
	})
	return pid
}

func (s *supervisor) isReady(pid int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready != nil && s.ready.cmd.Process.Pid == pid
}

// TestHandlerThatCannotStart differs from the real host on purpose: it says so at once instead of waiting for 136 seconds.
func TestHandlerThatCannotStart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, file string
		mode       os.FileMode
		want       string
	}{
		{"missing", "", 0, "is it in the app root or on PATH"},
		{"not executable", "x", 0o644, "chmod +x"},
		{"not a program", "garbage", 0o755, "build it for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newTestApp(t, map[string]any{}, map[string]any{}, map[string]any{"H": httpFunction})
			a.write("host.json", `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"nothere"}}}`)
			if c.file != "" {
				if err := os.WriteFile(filepath.Join(a.root, "nothere"), []byte(c.file), c.mode); err != nil {
					t.Fatal(err)
				}
			}
			host, err := New(a.opts)
			if err != nil {
				t.Fatal(err)
			}
			err = host.Start(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "nothere") {
				t.Errorf("got %v, want something with %q", err, c.want)
			}
		})
	}
}

// TestHandlerThatDiesAtStart needs three starts to be sure, and tells what the handler said.
func TestHandlerThatDiesAtStart(t *testing.T) {
	t.Parallel()
	for name, startup := range map[string]map[string]any{
		"exit 1":        {"mode": "exit", "code": 1, "stderr": []string{"boom on stderr"}},
		"exit 0":        {"mode": "exit", "code": 0, "stderr": []string{"boom on stderr"}},
		"never listens": {"mode": "never"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limit, starts := "00:00:30", maxFailures
			if startup["mode"] == "never" {
				limit, starts = "00:00:00.5", 0 // too short for a busy machine to count
			}
			a := newTestApp(t, map[string]any{"customHandler": map[string]any{"initializationTimeout": limit}},
				map[string]any{"startup": startup}, map[string]any{"H": httpFunction})
			host, err := New(a.opts)
			if err != nil {
				t.Fatal(err)
			}
			err = host.Start(t.Context())
			want := "boom on stderr"
			if name == "never listens" {
				want = "did not listen"
			}
			if err == nil || !strings.Contains(err.Error(), want) || starts > 0 && a.starts() != starts {
				t.Errorf("got %v after %d starts, want something with %q after %d", err, a.starts(), want, starts)
			}
		})
	}
}

// A host that is killed with -9 leaves no handler behind, and one that is asked to stop neither.
func TestNoOrphan(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newTestApp(t, map[string]any{}, map[string]any{"onterm": "ignore"}, map[string]any{"H": httpFunction})
			host := startHostProcess(t, a.root)
			var handler int
			eventually(t, "the handler", func() bool {
				for _, s := range a.seen() {
					handler = s.Pid
				}
				return len(a.calls("/")) > 0
			})
			host.Process.Signal(signal)
			host.Wait()
			eventually(t, "the end of the handler", func() bool { return errors.Is(syscall.Kill(handler, 0), syscall.ESRCH) || isZombie(handler) })
		})
	}
}

// isZombie: where nobody reaps the handler it stays in the table although it is dead.
func isZombie(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return strings.HasPrefix(rest, "Z")
}
