package ftppulltest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/localhost"
)

// AppRoot assembles the app as it is packaged: host.json, the handler, and the function.json of each function. The working
// folder must be the app's.
func AppRoot(tb testing.TB) string {
	tb.Helper()
	root := tb.TempDir()
	build := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(root, "handler"), ".")
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("build the handler: %v\n%s", err, out)
	}
	copyFile(tb, "../../host.json", filepath.Join(root, "host.json"))
	functions, err := filepath.Glob("*/function.json")
	if err != nil || len(functions) == 0 {
		tb.Fatalf("functions %v, %v", functions, err)
	}
	for _, f := range functions {
		copyFile(tb, f, filepath.Join(root, f))
	}
	return root
}

func copyFile(tb testing.TB, from, to string) {
	tb.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o644); err != nil {
		tb.Fatal(err)
	}
}

// Host runs the app under the local host, and starts it again when it gives up, as the platform would.
type Host struct {
	tb      testing.TB
	options localhost.Options
	cancel  context.CancelFunc
	done    chan struct{}

	mu  sync.Mutex
	url string
	log bytes.Buffer
}

// StartHost runs the app root with the settings until the test ends.
func StartHost(tb testing.TB, root string, environ []string) *Host {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	h := &Host{tb: tb, cancel: cancel, done: make(chan struct{})}
	h.options = localhost.Options{Roots: []string{root}, Environ: append(os.Environ(), environ...), Address: "127.0.0.1:0",
		Out: h, HiddenFor: 4 * time.Second, MaxPolling: 200 * time.Millisecond, LeaseWait: time.Second}
	ready := make(chan struct{})
	go h.keepRunning(ctx, ready)
	select {
	case <-ready:
	case <-time.After(time.Minute):
		tb.Fatalf("the local host did not start:\n%s", h.Log())
	}
	tb.Cleanup(h.Stop)
	return h
}

func (h *Host) keepRunning(ctx context.Context, ready chan<- struct{}) {
	defer close(h.done)
	for ctx.Err() == nil {
		host, err := localhost.New(h.options)
		if err != nil {
			fmt.Fprintln(h, err)
			return
		}
		if err := host.Start(ctx); err != nil {
			fmt.Fprintln(h, err)
			host.Stop()
			return
		}
		h.mu.Lock()
		h.url = host.Apps()[0].URL
		h.mu.Unlock()
		if ready != nil {
			close(ready)
			ready = nil
		}
		fmt.Fprintln(h, "host ended:", host.Wait(ctx))
		host.Stop()
	}
}

// Stop ends the host and its handler.
func (h *Host) Stop() {
	h.cancel()
	<-h.done
}

// Write collects what the host and the handler say.
func (h *Host) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(p)
}

// Log is all that was said so far.
func (h *Host) Log() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.String()
}

// Fire starts a function by hand through the admin API; an error means that the host or the handler was not there.
func (h *Host) Fire(function string) error {
	_, err := h.post("/admin/functions/"+function, map[string]string{"input": ""})
	return err
}

// Invoke calls the app's own invoke function.
func (h *Host) Invoke(body any) (string, error) { return h.post("/api/invoke", body) }

func (h *Host) post(path string, body any) (string, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	h.mu.Lock()
	url := h.url
	h.mu.Unlock()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post(url+path, "application/json", bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s answered %s: %s", path, resp.Status, text)
	}
	return string(text), err
}
