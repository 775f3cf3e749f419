//go:build unix

package localhost

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

type httpRecording struct {
	Case     string           `json:"case"`
	Function *functionJSON    `json:"function_json"`
	Host     map[string]any   `json:"host_json_excerpt"`
	Stimulus httpStimulus     `json:"stimulus"`
	Request  *recordedRequest `json:"request"`
	Reply    json.RawMessage  `json:"handler_reply"`
	Response clientResponse   `json:"client_response"`
	Queues   map[string][]storedMessage
}

type httpStimulus struct {
	Method  string          `json:"method"`
	Path    string          `json:"path"`
	Headers orderedMap      `json:"headers"`
	Chunked bool            `json:"chunked"`
	Body    string          `json:"body"`
	Queue   json.RawMessage `json:"queue_after"`
}

// orderedMap is a JSON object whose order counts.
type orderedMap [][2]string

func (m *orderedMap) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(strings.NewReader(string(text)))
	for {
		token, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if name, ok := token.(string); ok {
			var value string
			if err := d.Decode(&value); err != nil {
				return err
			}
			*m = append(*m, [2]string{name, value})
		}
	}
}

// TestHTTPAsRecorded sends each recorded request to a host of ours and compares both sides: what the handler got, and what
// the caller got.
func TestHTTPAsRecorded(t *testing.T) {
	t.Parallel()
	for _, c := range recordings[httpRecording](t, "http") {
		t.Run(c.Case, func(t *testing.T) {
			t.Parallel()
			runHTTPCase(t, c)
		})
	}
}

func runHTTPCase(t *testing.T, c httpRecording) {
	forwarding := strings.HasPrefix(c.Case, "D_fwd")
	host := map[string]any{"customHandler": map[string]any{"enableForwardingHttpRequest": forwarding}}
	hangs := c.Response.status() == 0
	if hangs {
		host["functionTimeout"] = "00:00:01"
	}
	name, path := "H", "/api/H"
	if c.Stimulus.Path != "" {
		path = c.Stimulus.Path
	}
	if c.Request != nil && strings.Count(c.Request.Path, "/") == 1 {
		name = strings.TrimPrefix(c.Request.Path, "/")
		if c.Stimulus.Path == "" {
			path = "/api/" + name
		}
	} else if rest, ok := strings.CutPrefix(path, "/api/"); ok && !strings.Contains(rest, "/") {
		name, _, _ = strings.Cut(rest, "?")
	}
	reply := c.Reply
	if forwarding && reply == nil && c.Response.status() == 222 {
		reply = json.RawMessage(`{"status":222,"body":"fwd body","headers":[["Content-Type","text/plain"],["Set-Cookie","a=b"],["X-From","handler"]]}`)
	}
	control := map[string]any{}
	if reply != nil {
		control["replies"] = map[string]any{name: reply}
	}
	a := newTestApp(t, host, control, map[string]any{name: c.Function})
	if usesQueues(c.Function) {
		a.withStorage()
	}
	a.opts.EnableAuth, a.opts.KeysFile = true, filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(a.opts.KeysFile, []byte(`{"masterKey":"LABKEY","functionKey":"other"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	a.start()
	got := rawExchange(t, a, stimulusRequest(c, a.url(), path))
	if hangs {
		if got.status != http.StatusInternalServerError || !strings.Contains(a.log.String(), "functionTimeout") {
			t.Errorf("the real host waited for ever; here %d", got.status)
		}
		return
	}
	compareResponse(t, got, c.Response)
	if c.Request != nil {
		compareRequest(t, a, *c.Request)
	} else if c.Reply == nil {
		for _, s := range a.seen() {
			if s.Event == "" && s.Path != "/" {
				t.Errorf("the handler was called: %s %s", s.Method, s.Path)
			}
		}
	}
}

func usesQueues(f *functionJSON) bool {
	return slices.ContainsFunc(f.Bindings, func(b map[string]any) bool { return b["type"] == "queue" })
}

// stimulusRequest is the recorded client's request: Python's http.client wrote Host and Accept-Encoding first.
func stimulusRequest(c httpRecording, url, path string) string {
	method, body := c.Stimulus.Method, c.Stimulus.Body
	headers := c.Stimulus.Headers
	if method == "" { // not recorded: the handler's reply is what the case is about
		method = "GET"
		if c.Request != nil {
			method, body, headers = "POST", `{"a":1}`, orderedMap{{"Content-Type", "application/json"}}
		}
	}
	body = regexp.MustCompile(`\\x[0-9a-f]{2}`).ReplaceAllStringFunc(body, func(escaped string) string {
		b, _ := hex.DecodeString(escaped[2:])
		return string(b)
	})
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, strings.TrimPrefix(url, "http://"))
	if !c.Stimulus.Chunked {
		b.WriteString("Accept-Encoding: identity\r\n")
	}
	for _, h := range headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	switch {
	case c.Stimulus.Chunked:
		fmt.Fprintf(&b, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	case method == "GET" || method == "DELETE":
		b.WriteString("\r\n")
	default:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	}
	return b.String()
}

func rawExchange(t *testing.T, a *testApp, request string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.url(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.TransferEncoding) > 0 {
		resp.Header["Transfer-Encoding"] = resp.TransferEncoding
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func compareResponse(t *testing.T, got answer, want clientResponse) {
	t.Helper()
	if got.status != want.status() || got.body != want.Body {
		t.Errorf("response: got %d %q, want %d %q", got.status, got.body, want.status(), want.Body)
	}
	wanted := http.Header{}
	for _, h := range want.Headers {
		wanted.Add(h[0], h[1])
	}
	for _, name := range []string{"Date", "Server"} {
		wanted.Del(name)
		got.header.Del(name)
	}
	for name := range wanted {
		if !slices.Equal(got.header[name], wanted[name]) {
			t.Errorf("response header %s: got %q, want %q", name, got.header[name], wanted[name])
		}
	}
	for name := range got.header {
		if wanted[name] == nil {
			t.Errorf("response header %s: got %q, want none", name, got.header[name])
		}
	}
}

// compareRequest compares what the handler got with what it got from the real host.
func compareRequest(t *testing.T, a *testApp, want recordedRequest) {
	t.Helper()
	calls := a.calls(want.Path)
	if len(calls) != 1 {
		t.Fatalf("the handler got %d calls of %s, want 1", len(calls), want.Path)
	}
	got := calls[0]
	if got.Method != want.Method {
		t.Errorf("method: got %s, want %s", got.Method, want.Method)
	}
	if g, w := settleHeaders(got.Headers), settleHeaders(want.Headers); !slices.Equal(g, w) {
		t.Errorf("headers:\n got %q\nwant %q", g, w)
	}
	if want.Body == "" && got.Body != "" && !utf8.ValidString(strings.ReplaceAll(got.Body, "\ufffd", "\xff")) {
		return // bytes that the recording did not keep
	}
	if g, w := settle(got.Body), settle(want.Body); g != w {
		t.Errorf("body:\n got %s\nwant %s", g, w)
	}
}
