//go:build unix

package localhost

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2"
)

type outcomeRecording struct {
	Case       string            `json:"case"`
	Function   *functionJSON     `json:"function_json"`
	Host       hostExcerpt       `json:"host_json_excerpt"`
	Stimulus   outcomeStimulus   `json:"stimulus"`
	Reply      json.RawMessage   `json:"handler_reply"`
	Deliveries []json.RawMessage `json:"deliveries"`
	Poison     json.RawMessage   `json:"poison_queue_after"`
	After      []json.RawMessage `json:"queue_after"`
}

type outcomeStimulus struct {
	Texts   []string `json:"stored_texts"`
	Existed *bool    `json:"queue_existed_when_host_started"`
}

func (s *outcomeStimulus) UnmarshalJSON(text []byte) error {
	if strings.HasPrefix(string(text), `"`) {
		return nil
	}
	type plain outcomeStimulus
	return json.Unmarshal(text, (*plain)(s))
}

// TestQueueOutcomesAsRecorded puts the recorded messages on a queue and counts deliveries and what lands in poison. Waits
// for a failed message are cut to a second.
func TestQueueOutcomesAsRecorded(t *testing.T) {
	t.Parallel()
	server := sharedStorage(t)
	cases := recordings[outcomeRecording](t, "queue-outcomes")
	t.Run("cases", func(t *testing.T) {
		for _, c := range cases {
			var poison []storedMessage
			if c.Function == nil || json.Unmarshal(c.Poison, &poison) != nil {
				continue // recorded in words, or the queue was absent: see the tests below
			}
			t.Run(c.Case, func(t *testing.T) {
				t.Parallel()
				var options map[string]any
				if err := json.Unmarshal(c.Host.Queues, &options); err != nil {
					t.Fatal(err)
				}
				if options["visibilityTimeout"] != nil {
					options["visibilityTimeout"] = "00:00:01"
				}
				host := map[string]any{"extensions": map[string]any{"queues": options}}
				a := newTestApp(t, host, map[string]any{"replies": map[string]any{"Q": c.Reply}}, map[string]any{"Q": c.Function})
				queues := a.useStorage(server)
				name := c.Function.Bindings[0]["queueName"].(string)
				putText(t, queues, name, c.Stimulus.Texts...)
				a.start()
				eventually(t, "the end of the messages", func() bool { return queueLength(t, queues, name) == 0 })
				if got := len(a.calls("/Q")); got != len(c.Deliveries) {
					t.Errorf("deliveries: got %d, want %d", got, len(c.Deliveries))
				}
				var want []string
				for _, m := range poison {
					want = append(want, m.MessageText)
				}
				slices.Sort(want)
				if got := peekTexts(t, queues, name+"-poison"); !slices.Equal(got, want) {
					t.Errorf("poison: got %q, want %q", got, want)
				}
			})
		}
	})
}

// peekTexts are the raw texts on a queue, sorted.
func peekTexts(t *testing.T, queues *azqueue.ServiceClient, name string) []string {
	t.Helper()
	if queueLength(t, queues, name) == 0 {
		return nil
	}
	resp, err := queues.NewQueueClient(name).PeekMessages(context.Background(), &azqueue.PeekMessagesOptions{NumberOfMessages: to.Ptr(int32(32))})
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, m := range resp.Messages {
		texts = append(texts, *m.MessageText)
	}
	slices.Sort(texts)
	return texts
}

// A queue that does not exist is waited for, and its poison queue is made when it is needed.
func TestQueueThatComesLater(t *testing.T) {
	t.Parallel()
	host := map[string]any{"extensions": map[string]any{"queues": map[string]any{"maxDequeueCount": 1}}}
	a := newTestApp(t, host, map[string]any{"replies": map[string]any{"Q": map[string]any{"status": 500}}}, map[string]any{"Q": queueFunction})
	queues := a.withStorage()
	a.start()
	putText(t, queues, "work", "eyJrIjoxfQ==")
	eventually(t, "the poison queue", func() bool { return queueLength(t, queues, "work-poison") == 1 })
	if got := len(a.calls("/Q")); got != 1 {
		t.Errorf("deliveries: got %d, want 1", got)
	}
}

// A message that comes back although it has used up its tries, because hosts were killed, goes to poison without a call.
func TestExhaustedMessageIsNotInvoked(t *testing.T) {
	t.Parallel()
	host := map[string]any{"extensions": map[string]any{"queues": map[string]any{"maxDequeueCount": 2}}}
	a := newTestApp(t, host, map[string]any{}, map[string]any{"Q": queueFunction})
	queues := a.withStorage()
	putText(t, queues, "work", "eyJrIjoxfQ==")
	client := queues.NewQueueClient("work")
	for range 2 {
		resp, err := client.DequeueMessages(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		m := resp.Messages[0]
		if _, err := client.UpdateMessage(t.Context(), *m.MessageID, *m.PopReceipt, *m.MessageText, &azqueue.UpdateMessageOptions{VisibilityTimeout: to.Ptr(int32(0))}); err != nil {
			t.Fatal(err)
		}
	}
	a.start()
	eventually(t, "the poison queue", func() bool { return queueLength(t, queues, "work-poison") == 1 })
	if got := len(a.calls("/Q")); got != 0 {
		t.Errorf("deliveries: got %d, want none", got)
	}
}

// The message of a long invocation stays hidden: here for many times the time that it is hidden at first.
func TestLongInvocationKeepsItsMessage(t *testing.T) {
	t.Parallel()
	a := newTestApp(t, map[string]any{}, map[string]any{"replies": map[string]any{"Q": map[string]any{"delay": 5}}}, map[string]any{"Q": queueFunction})
	queues := a.withStorage()
	a.opts.HiddenFor = 2 * 1e9
	putText(t, queues, "work", "eyJrIjoxfQ==")
	a.start()
	eventually(t, "the end of the message", func() bool { return queueLength(t, queues, "work") == 0 })
	if got := len(a.calls("/Q")); got != 1 {
		t.Errorf("deliveries: got %d, want 1", got)
	}
}

// batchSize and newBatchThreshold together are the most that run at once.
func TestQueueConcurrency(t *testing.T) {
	t.Parallel()
	host := map[string]any{"extensions": map[string]any{"queues": map[string]any{"batchSize": 3, "newBatchThreshold": 1}}}
	a := newTestApp(t, host, map[string]any{"replies": map[string]any{"Q": map[string]any{"action": "hang"}}}, map[string]any{"Q": queueFunction})
	queues := a.withStorage()
	putText(t, queues, "work", slices.Repeat([]string{"eyJrIjoxfQ=="}, 8)...)
	a.start()
	eventually(t, "a full batch", func() bool { return len(a.calls("/Q")) == 3 })
	if got := a.host.apps[0].running.Load(); got != 3 {
		t.Errorf("running: got %d, want 3", got)
	}
}

// A function's output wakes the function that waits for it, and the message arrives as the handler meant it.
func TestQueueOutputTriggersTheNextFunction(t *testing.T) {
	t.Parallel()
	producer := `{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","authLevel":"anonymous"},{"type":"http","direction":"out","name":"res"},{"type":"queue","direction":"out","name":"next","queueName":"work"}]}`
	a := newTestApp(t, map[string]any{}, map[string]any{"replies": map[string]any{"H": map[string]any{"json": map[string]any{"Outputs": map[string]any{
		"res": map[string]any{"body": "ok"}, "next": []string{"one", "two"}}}}}}, map[string]any{"H": producer, "Q": queueFunction})
	a.withStorage()
	a.start()
	if got := a.do("GET", "/api/H", nil, ""); got.body != "ok" {
		t.Errorf("got %d %q", got.status, got.body)
	}
	eventually(t, "both messages", func() bool { return len(a.calls("/Q")) == 2 })
}
