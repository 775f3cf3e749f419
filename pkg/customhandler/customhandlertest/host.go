// Package customhandlertest is the Functions host's side of the custom-handler protocol, for the tests of apps: it sends an
// app's handler what the host sends, byte for byte in form (headers, encodings, chunked bodies), over HTTP on the loopback.
//
// It plays the host's requests, not its decisions: it does not poll queues, redeliver or poison. For those there is localhost.
package customhandlertest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/nightshift-hq/nightshift/pkg/customhandler"
)

// Host speaks to one app's handler until the test ends.
type Host struct {
	tb             testing.TB
	server         *httptest.Server
	handler        *customhandler.Handler
	stop           sync.Once
	stdout, stderr stream
}

// Result is the handler's answer to an invocation.
type Result struct {
	Status int
	Body   string
}

// OK tells whether the host would take the invocation for a success.
func (r Result) OK() bool { return r.Status == http.StatusOK }

// Delivery is one delivery of a queue message. Zero fields are filled in: a new id, the first delivery, inserted now.
type Delivery struct {
	Body         []byte
	ID           string
	DequeueCount int
	Inserted     time.Time
}

// New serves the app, whose host.json and <function>/function.json are in root, until the test ends.
func New(tb testing.TB, app customhandler.App, root fs.FS, environ ...string) *Host {
	tb.Helper()
	h := &Host{tb: tb}
	handler, err := customhandler.New(app, root, environ, &h.stdout, &h.stderr)
	if err != nil {
		tb.Fatal(err)
	}
	h.server = httptest.NewServer(handler)
	h.handler = handler
	tb.Cleanup(h.Stop)
	return h
}

// Stop waits for the invocations in flight and ends the handler. It happens by itself at the test's end.
func (h *Host) Stop() {
	h.stop.Do(func() {
		h.server.Close()
		h.handler.Close()
	})
}

// Timer fires a timer function on its schedule.
func (h *Host) Timer(function string) Result {
	return h.invoke(function, timerData(), map[string]any{})
}

// TimerByHand fires a timer function as the admin API does.
func (h *Host) TimerByHand(function, input string) Result {
	return h.invoke(function, timerData(), map[string]any{"timer": encoded(input)})
}

func timerData() map[string]any {
	now := time.Now().UTC()
	const layout = "2006-01-02T15:04:05.0000000-07:00"
	return map[string]any{"timer": map[string]any{
		"Schedule": map[string]any{"AdjustForDST": true},
		"ScheduleStatus": map[string]any{"Last": now.Add(-time.Hour).Format(layout), "Next": now.Format(layout),
			"LastUpdated": now.Add(-time.Hour).Format(layout)},
		"IsPastDue": false,
	}}
}

// Queue delivers a new message.
func (h *Host) Queue(function string, body []byte) Result {
	return h.Deliver(function, Delivery{Body: body})
}

// Deliver delivers a message through a binding of data type binary.
func (h *Host) Deliver(function string, d Delivery) Result {
	h.tb.Helper()
	data, metadata := d.payload()
	return h.invoke(function, data, metadata)
}

// Abandon delivers a new message and hangs up when ctx ends, as a host does that dies. It returns the connection's error, or
// nil when the handler was faster.
func (h *Host) Abandon(ctx context.Context, function string, body []byte) error {
	data, metadata := Delivery{Body: body}.payload()
	_, err := h.send(ctx, function, data, metadata)
	return err
}

func (d Delivery) payload() (data, metadata map[string]any) {
	const layout = "2006-01-02T15:04:05-07:00"
	if d.ID == "" {
		d.ID = uuid.NewString()
	}
	if d.Inserted.IsZero() {
		d.Inserted = time.Now().UTC()
	}
	return map[string]any{"message": base64.StdEncoding.EncodeToString(d.Body)}, map[string]any{
		"DequeueCount":    fmt.Sprint(max(d.DequeueCount, 1)),
		"ExpirationTime":  d.Inserted.AddDate(0, 0, 7).Format(layout),
		"Id":              encoded(d.ID),
		"InsertionTime":   d.Inserted.Format(layout),
		"NextVisibleTime": time.Now().UTC().Add(10 * time.Minute).Format(layout),
		"PopReceipt":      encoded("AgAAAAMAAAAAAAAA"),
	}
}

// QueueByHand gives a queue function a message as the admin API does: it never was on the queue.
func (h *Host) QueueByHand(function string, body []byte) Result {
	const never = "9999-12-31T23:59:59+00:00"
	return h.invoke(function, map[string]any{"message": base64.StdEncoding.EncodeToString(body)}, map[string]any{
		"DequeueCount": "0", "ExpirationTime": never, "NextVisibleTime": never, "message": encoded(string(body)),
		"InsertionTime": time.Now().UTC().Format("2006-01-02T15:04:05-07:00"),
	})
}

// HTTP calls an HTTP function and returns what the client would see.
func (h *Host) HTTP(function string, r *http.Request) *http.Response {
	h.tb.Helper()
	body := []byte{}
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			h.tb.Fatal(err)
		}
	}
	query := map[string]string{}
	for name, values := range r.URL.Query() {
		query[name] = strings.Join(values, ",")
	}
	headers := map[string][]string{"Host": {"127.0.0.1:7071"}}
	maps.Copy(headers, r.Header)
	request := map[string]any{"Url": "http://127.0.0.1:7071" + r.URL.RequestURI(), "Method": r.Method, "Query": query,
		"Headers": headers, "Params": map[string]string{}, "Identities": []any{}}
	if len(body) > 0 {
		headers["Content-Length"] = []string{fmt.Sprint(len(body))}
		request["Body"] = string(body)
	}
	result := h.invoke(function, map[string]any{"req": request}, map[string]any{"Query": query})
	return h.clientResponse(result)
}

// clientResponse is what the host makes of an HTTP function's reply (contracts: http.json).
func (h *Host) clientResponse(result Result) *http.Response {
	h.tb.Helper()
	recorder := httptest.NewRecorder()
	var reply struct {
		Outputs map[string]struct {
			StatusCode int
			Body       string
			Headers    map[string]string
		}
	}
	if !result.OK() || json.Unmarshal([]byte(result.Body), &reply) != nil {
		recorder.WriteHeader(http.StatusInternalServerError)
		return recorder.Result()
	}
	for _, res := range reply.Outputs {
		for _, name := range slices.Sorted(maps.Keys(res.Headers)) {
			recorder.Header().Set(name, res.Headers[name])
		}
		recorder.WriteHeader(res.StatusCode)
		_, _ = recorder.WriteString(res.Body) // into memory
	}
	return recorder.Result()
}

func (h *Host) invoke(function string, data, metadata map[string]any) Result {
	h.tb.Helper()
	result, err := h.send(h.tb.Context(), function, data, metadata)
	if err != nil {
		h.tb.Fatal(err)
	}
	return result
}

// send posts one invocation. The keys of data, "timer", "message" and "req", must be the bindings' names in function.json.
func (h *Host) send(ctx context.Context, function string, data, metadata map[string]any) (Result, error) {
	metadata["sys"] = map[string]string{"MethodName": function, "UtcNow": time.Now().UTC().Format("2006-01-02T15:04:05.9999999Z"), "RandGuid": uuid.NewString()}
	payload, err := json.Marshal(map[string]any{"Data": data, "Metadata": metadata})
	if err != nil {
		return Result{}, err
	}
	// io.MultiReader hides the length, so that the body is chunked as the host's is.
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.server.URL+"/"+function, io.MultiReader(bytes.NewReader(payload)))
	if err != nil {
		return Result{}, err
	}
	r.Header.Set("X-Azure-Functions-HostVersion", "4.1037.0.0")
	r.Header.Set("X-Azure-Functions-InvocationId", uuid.NewString())
	r.Header.Set("User-Agent", "Azure-Functions-Host/4.1037.0.0")
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	response, err := h.server.Client().Do(r)
	if err != nil {
		return Result{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return Result{response.StatusCode, string(body)}, err
}

// encoded is a JSON string, as the host writes texts into metadata.
func encoded(text string) string {
	raw, _ := json.Marshal(text) // a string always encodes
	return string(raw)
}

// Stdout is what the handler wrote to its standard output so far, the host's information; Stderr is its errors and warnings.
func (h *Host) Stdout() string { return h.stdout.String() }

// Stderr is what the handler wrote to its standard error so far.
func (h *Host) Stderr() string { return h.stderr.String() }

type stream struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *stream) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
