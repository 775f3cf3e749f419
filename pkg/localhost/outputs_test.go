package localhost

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

type outputRecording struct {
	Case     string          `json:"case"`
	Function *functionJSON   `json:"function_json"`
	Host     hostExcerpt     `json:"host_json_excerpt"`
	Reply    json.RawMessage `json:"handler_reply"`
	Response clientResponse  `json:"client_response"`
	Stored   json.RawMessage `json:"queue_after"`
}

// TestOutputsAsRecorded judges each recorded reply and compares what would be stored and answered.
func TestOutputsAsRecorded(t *testing.T) {
	t.Parallel()
	compared := 0
	for _, c := range recordings[outputRecording](t, "outputs") {
		var reply struct{ JSON json.RawMessage }
		var stored []storedMessage
		if json.Unmarshal(c.Reply, &reply) != nil || reply.JSON == nil || json.Unmarshal(c.Stored, &stored) != nil {
			continue // the reply, or what was stored, is recorded in words only
		}
		compared++
		t.Run(c.Case, func(t *testing.T) {
			t.Parallel()
			f, config := loadOne(t, "H", c.Function, hostJSONWith(string(c.Host.Queues)))
			r, err := parseReply(200, "application/json", reply.JSON)
			if err != nil {
				t.Fatal(err)
			}
			texts, err := storedTexts(f, config, r)
			if (err != nil) != (c.Response.status() == 500) {
				t.Fatalf("the real host answered %d; here storing says: %v", c.Response.status(), err)
			}
			if err != nil {
				return
			}
			var want []string
			for _, m := range stored {
				want = append(want, m.MessageText)
			}
			if !slices.Equal(texts, want) {
				t.Errorf("stored: got %q, want %q", texts, want)
			}
			result, err := r.httpResult(f, time.UTC)
			if err != nil || result.status != c.Response.status() || result.body != c.Response.Body && !strings.Contains(c.Response.Body, "...(") {
				t.Errorf("response: got %d %q (%v), want %d %q", result.status, result.body, err, c.Response.status(), c.Response.Body)
			}
		})
	}
	if compared == 0 {
		t.Error("no recorded output")
	}
}

// storedTexts are the raw message texts of a reply's outputs.
func storedTexts(f *function, config hostConfig, r reply) (texts []string, err error) {
	for _, b := range f.bindings {
		v, ok := r.output(b.name)
		if !b.is("queue", "out") || !ok {
			continue
		}
		bodies, err := outputMessages(b, v, time.UTC)
		if err != nil {
			return nil, err
		}
		for _, body := range bodies {
			text, err := config.queues.messageText(body)
			if err != nil {
				return nil, err
			}
			texts = append(texts, text)
		}
	}
	return texts, nil
}
