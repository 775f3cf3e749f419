package customhandler

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// recording is one request that the real host sent, in the form of the recordings. testdata/{timer,queue,http}.json are cut
// out of them.
type recording struct {
	Case    string
	Request struct {
		Body string `json:"body_text"`
	}
	Stimulus json.RawMessage // of queue messages an object with what was put into the queue, and the id that it got there
	Host     struct {
		Queues struct{ MessageEncoding string }
	} `json:"host_json_excerpt"`
}

func readRecordings(t testing.TB, file string) []recording {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []recording
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func recordings(t testing.TB, kind string) []recording {
	return readRecordings(t, filepath.Join("testdata", kind+".json"))
}

// bodies finds every recorded request's body in a file of recordings, whatever its structure.
func bodies(v any) iter.Seq[string] {
	return func(yield func(string) bool) { walkBodies(v, yield) }
}

func walkBodies(v any, yield func(string) bool) bool {
	switch v := v.(type) {
	case map[string]any:
		if body, ok := v["body_text"].(string); ok && !yield(body) {
			return false
		}
		for _, value := range v {
			if !walkBodies(value, yield) {
				return false
			}
		}
	case []any:
		for _, value := range v {
			if !walkBodies(value, yield) {
				return false
			}
		}
	}
	return true
}

// decoded is what this package makes of a recorded request, for the golden files.
type decoded struct {
	Case         string
	Body         string   `json:",omitempty"`
	ID           string   `json:",omitempty"`
	DequeueCount int      `json:",omitempty"`
	Inserted     string   `json:",omitempty"`
	Manual       bool     `json:",omitempty"`
	Timer        *Timer   `json:",omitempty"`
	Request      []string `json:",omitempty"`
	Path         string   `json:",omitempty"`
}

// theBinding names the only value of a payload, as function.json would.
func theBinding(t testing.TB, p payload) binding {
	t.Helper()
	for name, value := range members(p.data) {
		quoted := kindOf(value) == '"' && strings.HasPrefix(string(unquote(value)), `"`)
		b := binding{Name: string(name), queue: "q"}
		if !quoted {
			b.DataType = "binary"
		}
		return b
	}
	t.Fatal("payload without data")
	return binding{}
}

func decodeBody(t testing.TB, kind, name, body string) decoded {
	t.Helper()
	p, err := parsePayload([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	b, d := theBinding(t, p), decoded{Case: name}
	switch kind {
	case "timer":
		timer, err := parseTimer(p, b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		timer.Now = time.Time{}
		d.Timer = &timer
	case "queue":
		item, err := parseQueue(p, b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		d.Body, d.ID, d.DequeueCount, d.Manual = string(item.body), item.id, item.dequeueCount, item.manual
		if !utf8.Valid(item.body) {
			d.Body = "base64:" + base64.StdEncoding.EncodeToString(item.body)
		}
		if !item.inserted.IsZero() {
			d.Inserted = item.inserted.UTC().Format(time.RFC3339)
		}
	case "http":
		request, err := parseHTTP(context.Background(), p, b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var wire bytes.Buffer
		if err := request.Write(&wire); err != nil {
			t.Fatal(err)
		}
		d.Request = strings.Split(strings.ToValidUTF8(wire.String(), "?"), "\r\n")
		d.Path = request.PathValue("category") + "/" + request.PathValue("id")
	}
	return d
}

func TestRecordedRequestsDecode(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"timer", "queue", "http"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var got []decoded
			for _, r := range recordings(t, kind) {
				got = append(got, decodeBody(t, kind, r.Case, r.Request.Body))
			}
			golden(t, kind+".golden.json", got)
		})
	}
}

func golden(t *testing.T, name string, got any) {
	t.Helper()
	var raw bytes.Buffer
	e := json.NewEncoder(&raw)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(got); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, raw.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, raw.Bytes()) {
		t.Errorf("%s differs; look at the change with git diff after go test -update", file)
	}
}

// What was put into the queue must come out, with the id that the queue gave it, whatever the binding and the body.
func TestRecordedMessagesKeepBodyAndID(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, r := range recordings(t, "queue") {
		checked += checkStored(t, r)
	}
	if checked < 40 {
		t.Errorf("only %d recordings say what was stored", checked)
	}
}

// checkStored returns 1 when the recording says what was stored.
func checkStored(t *testing.T, r recording) int {
	t.Helper()
	var stored struct {
		Text string `json:"stored_message_text"`
		ID   string `json:"message_id"`
	}
	if kindOf(r.Stimulus) != '{' || json.Unmarshal(r.Stimulus, &stored) != nil || stored.ID == "" || r.Request.Body == "" ||
		strings.Contains(stored.Text, "...(") { // the recorder cut the longest
		return 0
	}
	want := []byte(stored.Text)
	if r.Host.Queues.MessageEncoding == "base64" {
		var err error
		if want, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(stored.Text, " ", "")); err != nil {
			t.Fatalf("%s: %v", r.Case, err)
		}
	}
	p, err := parsePayload([]byte(r.Request.Body))
	if err != nil {
		t.Fatalf("%s: %v", r.Case, err)
	}
	b := theBinding(t, p)
	item, err := parseQueue(p, b)
	if err != nil {
		t.Fatalf("%s: %v", r.Case, err)
	}
	if !bytes.Equal(item.body, want) {
		t.Errorf("%s: body is %q, stored was %q", r.Case, item.body, want)
	}
	if item.id != stored.ID && (item.id != "" || b.binary() || !overrides(want, "Id")) {
		t.Errorf("%s: id is %q, want %q", r.Case, item.id, stored.ID)
	}
	if item.manual {
		t.Errorf("%s: taken for a run by hand", r.Case)
	}
	return 1
}

// Every recorded request decodes: those in testdata, and those of the folder that NIGHTSHIFT_CONTRACTS names.
func TestAllRecordings(t *testing.T) {
	t.Parallel()
	dirs := []string{"testdata"}
	if dir := os.Getenv("NIGHTSHIFT_CONTRACTS"); dir != "" {
		dirs = append(dirs, dir, filepath.Join(dir, "functions-host"))
	}
	seen := 0
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			seen += readAll(t, file)
		}
	}
	if seen < 100 {
		t.Errorf("only %d recorded requests found in %q", seen, dirs)
	}
	t.Logf("%d requests", seen)
}

func readAll(t *testing.T, file string) (seen int) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var content any
	if err := json.Unmarshal(raw, &content); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for body := range bodies(content) {
		if strings.HasPrefix(body, `{"Data"`) { // else a forwarded request's own body
			readOne(t, file, body)
			seen++
		}
	}
	var cases []recording
	if json.Unmarshal(raw, &cases) == nil {
		for _, r := range cases {
			checkStored(t, r)
		}
	}
	return seen
}

func readOne(t *testing.T, name, body string) {
	t.Helper()
	p, err := parsePayload([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	value, err := p.input(theBinding(t, p).Name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	kind := "queue"
	if _, ok := member(value, "IsPastDue"); ok {
		kind = "timer"
	} else if _, ok := member(value, "Method"); ok {
		kind = "http"
	}
	decodeBody(t, kind, name, body)
}

func TestQueuePayloads(t *testing.T) {
	t.Parallel()
	const meta = `"Id":"\"abc\"","PopReceipt":"\"x\"","InsertionTime":"2026-11-21T00:21:53+00:00"`
	inserted := time.Date(2026, 11, 21, 0, 21, 53, 0, time.UTC)
	for name, row := range map[string]struct {
		payload string
		binary  bool
		want    queueItem
	}{
		"binary binding": {`{"Data":{"m":"eyJhIjoxfQ=="},"Metadata":{"DequeueCount":"2",` + meta + `}}`, true,
			queueItem{body: []byte(`{"a":1}`), id: "abc", dequeueCount: 2, inserted: inserted}},
		"string binding": {`{"Data":{"m":"\"{\\\"a\\\":1}\""},"Metadata":{"DequeueCount":"2",` + meta + `}}`, true,
			queueItem{body: []byte(`{"a":1}`), id: "abc", dequeueCount: 2, inserted: inserted}},
		"JSON text encoded once": {`{"Data":{"m":"{\"a\":1}"},"Metadata":{"DequeueCount":2,` + meta + `}}`, true,
			queueItem{body: []byte(`{"a":1}`), id: "abc", dequeueCount: 2, inserted: inserted}},
		"JSON not encoded at all": {`{"Data":{"m":{"a":1}},"Metadata":{"DequeueCount":2,` + meta + `}}`, true,
			queueItem{body: []byte(`{"a":1}`), id: "abc", dequeueCount: 2, inserted: inserted}},
		"names in any case": {`{"data":{"M":"eyJhIjoxfQ=="},"metadata":{"dequeuecount":"2","id":"abc","popReceipt":"x"}}`, true,
			queueItem{body: []byte(`{"a":1}`), id: "abc", dequeueCount: 2}},
		"text that looks like base64 without a binary binding": {`{"Data":{"m":"test"},"Metadata":{"DequeueCount":"1",` + meta + `}}`, false,
			queueItem{body: []byte(`test`), id: "abc", dequeueCount: 1, inserted: inserted}},
		"own properties over the system's are not believed": {`{"Data":{"m":"\"{\\\"dequeuecount\\\":9,\\\"ID\\\":\\\"evil\\\"}\""},"Metadata":{"DequeueCount":"\"9\"","Id":"\"evil\"","PopReceipt":"\"x\""}}`, true,
			queueItem{body: []byte(`{"dequeuecount":9,"ID":"evil"}`)}},
		"null and array properties are not merged": {`{"Data":{"m":"\"{\\\"id\\\":null,\\\"dequeueCount\\\":[1]}\""},"Metadata":{"DequeueCount":"3",` + meta + `}}`, true,
			queueItem{body: []byte(`{"id":null,"dequeueCount":[1]}`), id: "abc", dequeueCount: 3, inserted: inserted}},
		"own properties through a binary binding do not matter": {`{"Data":{"m":"eyJJZCI6MX0="},"Metadata":{"DequeueCount":"1",` + meta + `}}`, true,
			queueItem{body: []byte(`{"Id":1}`), id: "abc", dequeueCount: 1, inserted: inserted}},
		"by hand": {`{"Data":{"m":"eyJhIjoxfQ=="},"Metadata":{"DequeueCount":"0","m":"\"{}\"","InsertionTime":"2026-11-21T00:21:53+00:00"}}`, true,
			queueItem{body: []byte(`{"a":1}`), inserted: inserted, manual: true}},
		"empty": {`{"Data":{"m":""},"Metadata":{"DequeueCount":"1",` + meta + `}}`, true,
			queueItem{body: []byte{}, id: "abc", dequeueCount: 1, inserted: inserted}},
		"no metadata at all": {`{"Data":{"m":"eyJhIjoxfQ=="}}`, true, queueItem{body: []byte(`{"a":1}`), manual: true}},
		"binary data that is no base64": {`{"Data":{"m":"hello world!"},"Metadata":{"DequeueCount":"1",` + meta + `}}`, true,
			queueItem{body: []byte(`hello world!`), id: "abc", dequeueCount: 1, inserted: inserted}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := parsePayload([]byte(row.payload))
			if err != nil {
				t.Fatal(err)
			}
			b := binding{Name: "m"}
			if row.binary {
				b.DataType = "binary"
			}
			got, err := parseQueue(p, b)
			if err != nil {
				t.Fatal(err)
			}
			got.inserted = got.inserted.UTC()
			row.want.inserted = row.want.inserted.UTC()
			if !reflect.DeepEqual(got, row.want) {
				t.Errorf("got  %+v\nwant %+v", got, row.want)
			}
		})
	}
}

func TestTimerPayloads(t *testing.T) {
	t.Parallel()
	last := time.Date(2026, 11, 18, 5, 0, 0, 0, time.UTC)
	for name, row := range map[string]struct {
		payload string
		want    Timer
	}{
		"scheduled": {`{"Data":{"t":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":{"Last":"2026-11-18T05:00:00+00:00","Next":"0001-01-01T00:00:00+00:00"},"IsPastDue":true}},"Metadata":{}}`,
			Timer{AdjustForDST: true, IsPastDue: true, Status: &ScheduleStatus{Last: last}}},
		"lower case, times without offset": {`{"data":{"t":{"schedule":{"adjustForDST":true},"scheduleStatus":{"last":"2026-11-18T05:00:00"},"isPastDue":true}}}`,
			Timer{AdjustForDST: true, IsPastDue: true, Status: &ScheduleStatus{Last: last}}},
		"encoded as text": {`{"Data":{"t":"{\"IsPastDue\":true}"}}`, Timer{IsPastDue: true}},
		"never, in another zone": {`{"Data":{"t":{"ScheduleStatus":{"Last":"0001-01-01T01:24:00+01:24"}}}}`,
			Timer{Status: &ScheduleStatus{}}},
		"no status":            {`{"Data":{"t":{"ScheduleStatus":null}}}`, Timer{}},
		"status with nonsense": {`{"Data":{"t":{"ScheduleStatus":{"Last":7,"Next":"soon"}}}}`, Timer{Status: &ScheduleStatus{}}},
		"by hand":              {`{"Data":{"t":{}},"Metadata":{"t":"\"{\\\"a\\\":1}\""}}`, Timer{Manual: true, Input: `{"a":1}`}},
		"by hand, no input":    {`{"Data":{"t":{}},"Metadata":{"t":"\"\""}}`, Timer{Manual: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := parsePayload([]byte(row.payload))
			if err != nil {
				t.Fatal(err)
			}
			got, err := parseTimer(p, binding{Name: "t"})
			if err != nil {
				t.Fatal(err)
			}
			got.Now = time.Time{}
			if got.Status != nil {
				got.Status.Last = got.Status.Last.UTC()
			}
			if !reflect.DeepEqual(got, row.want) {
				t.Errorf("got  %+v\nwant %+v", got, row.want)
			}
		})
	}
}

func TestPayloadsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, body := range []string{``, `{`, `[]`, `7`, `null`, `{}`, `{"Data":null}`, `{"Data":[]}`, `{"Data":{}}x`} {
		if p, err := parsePayload([]byte(body)); err == nil {
			t.Errorf("%q: taken as %+v", body, p)
		}
	}
	p, err := parsePayload([]byte(`{"Data":{"other":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseTimer(p, binding{Name: "timer"}); err == nil || !strings.Contains(err.Error(), `"timer"`) {
		t.Errorf("missing binding: %v", err)
	}
	if _, err := parseHTTP(t.Context(), p, binding{Name: "other"}); err == nil {
		t.Error("a number was taken for an HTTP request")
	}
}
