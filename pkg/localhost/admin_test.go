//go:build unix

package localhost

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

type adminRecording struct {
	Case      string                     `json:"case"`
	Functions map[string]json.RawMessage `json:"function_json"`
	Env       map[string]string          `json:"env"`
	Calls     []adminCall                `json:"calls"`
}

type adminCall struct {
	Method    string            `json:"method"`
	Path      string            `json:"path"`
	WithKey   bool              `json:"with_master_key"`
	Headers   map[string]string `json:"request_headers"`
	Body      *string           `json:"request_body"`
	Status    int               `json:"status"`
	Answer    string            `json:"body"`
	Forwarded []recordedRequest `json:"handler_requests"`
}

// notHere are parts of the admin API that this host does not have; docs/local-host.md says so.
var notHere = regexp.MustCompile(`^/$|/admin/host/(keys|functionKeys|processes|config|extensionBundle|drain)|/admin/vfs/`)

// TestAdminAsRecorded makes the recorded calls one after the other.
func TestAdminAsRecorded(t *testing.T) {
	t.Parallel()
	for _, c := range recordings[adminRecording](t, "admin") {
		t.Run(c.Case, func(t *testing.T) {
			t.Parallel()
			functions := map[string]any{}
			for name, doc := range c.Functions {
				functions[name] = doc
			}
			a := newTestApp(t, map[string]any{}, map[string]any{}, functions)
			a.withStorage()
			for name, value := range c.Env {
				a.opts.Environ = append(a.opts.Environ, name+"="+value)
			}
			a.opts.Environ = append(a.opts.Environ, "MY_DISABLE=1")
			a.opts.EnableAuth, a.opts.KeysFile = true, filepath.Join(t.TempDir(), "keys.json")
			if err := os.WriteFile(a.opts.KeysFile, []byte(`{"masterKey":"LABKEY","functionKey":"other"}`), 0o600); err != nil {
				t.Fatal(err)
			}
			a.start()
			awaitRecords(t, a)
			for _, call := range c.Calls {
				if !notHere.MatchString(call.Path) {
					makeAdminCall(t, a, call)
				}
			}
		})
	}
}

// awaitRecords waits until every timer has its record: the real host had been up for a while.
func awaitRecords(t *testing.T, a *testApp) {
	t.Helper()
	app := a.host.apps[0]
	for _, f := range app.functions {
		if f.timer == nil || f.disabled || f.problem != nil {
			continue
		}
		eventually(t, "the record of "+f.name, func() bool {
			status, err := app.readStatus(t.Context(), f)
			return err == nil && status != nil
		})
	}
}

func makeAdminCall(t *testing.T, a *testApp, call adminCall) {
	t.Helper()
	header, body := http.Header{}, ""
	for name, value := range call.Headers {
		header.Set(name, value)
	}
	if call.WithKey {
		header.Set("x-functions-key", "LABKEY")
	}
	if call.Body != nil {
		body = *call.Body
	}
	before := len(a.seen())
	got := a.do(call.Method, call.Path, header, body)
	what := call.Method + " " + call.Path + " " + body
	if got.status != call.Status {
		t.Errorf("%s: got %d, want %d", what, got.status, call.Status)
	}
	if g, w := settleAdmin(got.body), settleAdmin(call.Answer); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
	if len(call.Forwarded) == 0 {
		return
	}
	want := call.Forwarded[0]
	eventually(t, what, func() bool { return len(a.seen()) > before })
	made := a.seen()[before]
	if g, w := settleTimes(made.Body), settleTimes(want.Body); made.Path != want.Path || g != w {
		t.Errorf("%s:\n got %s %s\nwant %s %s", what, made.Path, g, want.Path, w)
	}
}

// settleAdmin also replaces what depends on the machine and on how long the host is up.
func settleAdmin(text string) string {
	text = settle(text)
	for _, r := range [][2]string{
		{`"processUptime":\d+`, `"processUptime":0`},
		{`"id":"[^"]*"`, `"id":"host"`},
		{`"versionDetails":"[^"]*"`, `"versionDetails":""`},
		{`/admin/vfs/[^"]*/data/`, `/admin/vfs/data/`},
		{`/admin/vfs/lab/`, `/admin/vfs/data/`},
	} {
		text = regexp.MustCompile(r[0]).ReplaceAllString(text, r[1])
	}
	return text
}

// settleTimes also replaces the times of records and messages, which are those of the test.
func settleTimes(text string) string {
	text = regexp.MustCompile(`"LastUpdated":"20[^"]*"`).ReplaceAllString(settle(text), `"LastUpdated":"then"`)
	text = regexp.MustCompile(`"InsertionTime":"[^"]*"`).ReplaceAllString(text, `"InsertionTime":"then"`)
	return regexp.MustCompile(`"Next":"[^"]*"`).ReplaceAllString(text, `"Next":"due"`)
}

// Without keys everybody is let in, as with Core Tools; with them an unknown key is no key.
func TestKeys(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys.json")
	k, err := loadKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	again, err := loadKeys(file)
	if err != nil || again != k {
		t.Fatalf("the keys changed: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: mode %v, %v", info.Mode(), err)
	}
	for _, c := range []struct {
		key, level string
		want       bool
	}{
		{"", "anonymous", true}, {"", "function", false}, {"wrong", "function", false},
		{k.Function, "function", true}, {k.Function, "admin", false}, {k.Master, "function", true}, {k.Master, "admin", true},
	} {
		r, _ := http.NewRequest("GET", "http://x/api/f?code="+c.key, nil)
		if got := k.permits(k.identify(r), c.level); got != c.want {
			t.Errorf("level %s with key %q: got %t, want %t", c.level, strings.ReplaceAll(c.key, k.Master, "master"), got, c.want)
		}
		if open := (keyring{}); !open.permits(open.identify(r), c.level) {
			t.Errorf("without keys level %s is refused", c.level)
		}
	}
}
