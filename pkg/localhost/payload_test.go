package localhost

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/localhost/internal/netjson"
	"github.com/nightshift-hq/nightshift/pkg/schedule"
)

type queueRecording struct {
	Case      string        `json:"case"`
	Function  *functionJSON `json:"function_json"`
	Host      hostExcerpt   `json:"host_json_excerpt"`
	Stimulus  queueStimulus `json:"stimulus"`
	Requests  int           `json:"n_requests"`
	Request   *recordedRequest
	IsPoison  bool `json:"in_poison_queue"`
	ToPoison  []storedMessage
	Delivered []json.RawMessage
}

type hostExcerpt struct {
	Queues json.RawMessage `json:"queues"`
}

type queueStimulus struct {
	Text string `json:"stored_message_text"`
}

// Some cases have a plain text here.
func (s *queueStimulus) UnmarshalJSON(text []byte) error {
	if strings.HasPrefix(string(text), `"`) {
		return nil
	}
	type plain queueStimulus
	return json.Unmarshal(text, (*plain)(s))
}

type storedMessage struct {
	MessageText string
}

// TestQueuePayloadsAsRecorded encodes each recorded message and compares with what the real host sent, byte for byte.
func TestQueuePayloadsAsRecorded(t *testing.T) {
	t.Parallel()
	for _, c := range recordings[queueRecording](t, "queue-payload") {
		if c.Function == nil || strings.Contains(c.Stimulus.Text, "...(") {
			continue // no message, or too long to be recorded in full
		}
		t.Run(c.Case, func(t *testing.T) {
			t.Parallel()
			name := "Q"
			if c.Request != nil {
				name = strings.TrimPrefix(c.Request.Path, "/")
			}
			f, config := loadOne(t, name, c.Function, hostJSONWith(string(c.Host.Queues)))
			body, decoded := []byte(c.Stimulus.Text), true
			if !config.queues.raw {
				body, decoded = decodeBase64(c.Stimulus.Text)
			}
			if !decoded {
				if c.Requests != 0 || !c.IsPoison {
					t.Fatal("the text is not taken for base64, and the real host invoked the function")
				}
				return
			}
			m := queueMessage{body: body}
			if c.Request != nil {
				m = messageOf(t, c.Request.Body, body)
			}
			p, err := queuePayload(f, m, false, time.UTC, time.Now())
			if (err == nil) != (c.Requests > 0) {
				t.Fatalf("invoked by the real host: %t; here: %v", c.Requests > 0, err)
			}
			if err == nil {
				if got, want := settle(string(p.encode(netjson.Value{}))), settle(c.Request.Body); got != want {
					t.Errorf("payload differs\n got %s\nwant %s", got, want)
				}
			}
		})
	}
}

func hostJSONWith(queues string) string {
	if queues == "" {
		queues = "{}"
	}
	return `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"handler"}},"extensions":{"queues":` + queues + `}}`
}

// messageOf takes the system's part of a message from its recorded payload; what the message itself overrode does not matter.
func messageOf(t *testing.T, payload string, body []byte) queueMessage {
	t.Helper()
	var p struct{ Metadata map[string]any }
	if err := json.Unmarshal([]byte(payload), &p); err != nil {
		t.Fatal(err)
	}
	text := func(name string) string {
		s, _ := p.Metadata[name].(string)
		if plain, err := strconv.Unquote(s); err == nil {
			return plain
		}
		return s
	}
	at := func(name string) time.Time {
		v, _ := time.Parse(time.RFC3339, text(name))
		return v
	}
	count, _ := strconv.ParseInt(text("DequeueCount"), 10, 64)
	return queueMessage{id: text("Id"), popReceipt: text("PopReceipt"), dequeueCount: count, body: body,
		inserted: at("InsertionTime"), expires: at("ExpirationTime"), nextVisible: at("NextVisibleTime")}
}

type timerRecording struct {
	Case     string        `json:"case"`
	Function *functionJSON `json:"function_json"`
	Stimulus timerStimulus `json:"stimulus"`
	Requests []recordedRequest
	After    map[string]json.RawMessage `json:"blobs_after"`
}

type timerStimulus struct {
	Blob   string  `json:"status_blob"`
	Before *string `json:"text_before"`
	Body   string  `json:"body"`
}

func (s *timerStimulus) UnmarshalJSON(text []byte) error {
	if strings.HasPrefix(string(text), `"`) {
		return nil
	}
	type plain timerStimulus
	return json.Unmarshal(text, (*plain)(s))
}

// TestTimerPayloadsAsRecorded takes the status that each recorded request shows and encodes the request anew.
func TestTimerPayloadsAsRecorded(t *testing.T) {
	t.Parallel()
	compared := 0
	for _, c := range recordings[timerRecording](t, "timer") {
		for _, r := range c.Requests {
			compared++
			local := time.UTC
			if strings.HasPrefix(c.Case, "B4_TZ") {
				local = location(t, "Europe/Warsaw")
			}
			f, _ := loadOne(t, strings.TrimPrefix(r.Path, "/"), c.Function, "")
			doc, err := netjson.Parse(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			shown, pastDue, input := shownTimer(doc, f.trigger().name)
			text := "null"
			if f.timer.monitored {
				status, err := schedule.ParseStatus([]byte(shown), local)
				if err != nil || status == nil {
					t.Fatalf("%s: %v", c.Case, err)
				}
				text = status.Text(local)
			}
			got := timerPayload(f, text, pastDue, input, time.Now()).encode(netjson.Value{})
			if got, want := settle(string(got)), settle(r.Body); got != want {
				t.Errorf("%s: payload differs\n got %s\nwant %s", c.Case, got, want)
			}
		}
	}
	if compared == 0 {
		t.Error("no recorded timer request")
	}
}

func location(t *testing.T, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func shownTimer(doc netjson.Value, binding string) (status string, pastDue bool, input *string) {
	data, _ := doc.Get("Data")
	timer, _ := data.Get(binding)
	shown, _ := timer.Get("ScheduleStatus")
	late, _ := timer.Get("IsPastDue")
	metadata, _ := doc.Get("Metadata")
	if v, ok := metadata.Get(binding); ok {
		plain, _ := netjson.Parse(v.Text)
		input = &plain.Text
	}
	return netjson.Compact(shown, nil), late.Bool, input
}

// TestTimerStartAsRecorded gives the stored status of each recording to a starting listener.
func TestTimerStartAsRecorded(t *testing.T) {
	t.Parallel()
	compared := 0
	for _, c := range recordings[timerRecording](t, "timer") {
		if c.Stimulus.Before == nil || !strings.HasPrefix(c.Case, "B3_") {
			continue
		}
		compared++
		t.Run(c.Case, func(t *testing.T) {
			t.Parallel()
			f, _ := loadOne(t, "Past", c.Function, "")
			stored, err := schedule.ParseStatus([]byte(*c.Stimulus.Before), time.UTC)
			if err != nil {
				if len(c.Requests) > 0 || c.After != nil && afterText(t, c) != *c.Stimulus.Before {
					t.Fatalf("the real host read this status: %v", err)
				}
				return
			}
			now := time.Date(2026, 11, 21, 0, 25, 30, 0, time.UTC)
			start := f.timer.schedule.Start(stored, now, time.UTC)
			if got, want := start.PastDue > 0 && f.timer.monitored, len(c.Requests) > 0; got != want {
				t.Errorf("past due: got %t, the real host ran: %t", got, want)
			}
			if len(c.Requests) > 0 || !f.timer.monitored {
				return
			}
			write := start.Write
			if write == nil {
				if after := afterText(t, c); after != *c.Stimulus.Before {
					t.Errorf("the real host wrote %s", after)
				}
				return
			}
			want, err := schedule.ParseStatus([]byte(afterText(t, c)), time.UTC)
			if err != nil || want == nil {
				t.Fatal(err)
			}
			if write.LastUpdated.Equal(now) {
				write.LastUpdated = want.LastUpdated // the time of the start
			}
			if got := write.Text(time.UTC); got != afterText(t, c) {
				t.Errorf("status written: got %s, want %s", got, afterText(t, c))
			}
		})
	}
	if compared == 0 {
		t.Error("no recorded start")
	}
}

func afterText(t *testing.T, c timerRecording) string {
	t.Helper()
	for name, blob := range c.After {
		if !strings.Contains(name, "/timers/") {
			continue
		}
		var text string
		if json.Unmarshal(blob, &text) == nil {
			return text
		}
		var object struct{ Text string }
		if err := json.Unmarshal(blob, &object); err != nil {
			t.Fatal(err)
		}
		return object.Text
	}
	return ""
}
