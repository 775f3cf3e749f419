package customhandler

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"
	"time"
)

func benchHandler(b *testing.B) *Handler {
	b.Helper()
	root := fstest.MapFS{
		"host.json":            {Data: []byte(`{"functionTimeout":"00:10:00"}`)},
		"work/function.json":   {Data: []byte(`{"bindings":[{"type":"queueTrigger","name":"m","queueName":"q","dataType":"binary"}]}`)},
		"tick/function.json":   {Data: []byte(`{"bindings":[{"type":"timerTrigger","name":"t","schedule":"0 0 2 * * *"}]}`)},
		"invoke/function.json": {Data: []byte(`{"bindings":[{"type":"httpTrigger","name":"req"}]}`)},
		"check/function.json":  {Data: []byte(`{"bindings":[{"type":"httpTrigger","name":"req"}]}`)},
	}
	app := App{Name: "bench", Functions: []Function{
		QueueFunc("work", func(context.Context, Message[order]) error { return nil }),
		TimerFunc("tick", func(context.Context, Timer) error { return nil }),
	}}
	h, err := New(app, root, nil, io.Discard, io.Discard)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(h.Close)
	return h
}

// benchPayload is what the host sends for a message that lists n files.
func benchPayload(b *testing.B, n int) []byte {
	b.Helper()
	o := order{Path: "/hr"}
	for i := range n {
		o.Items = append(o.Items, item{Name: fmt.Sprintf("employees-2026-09-%04d.csv", i)})
	}
	body, err := Encode(o)
	if err != nil {
		b.Fatal(err)
	}
	return fmt.Appendf(nil, `{"Data":{"m":%q},"Metadata":{"DequeueCount":"1","ExpirationTime":"2026-11-28T00:21:53+00:00",`+
		`"Id":"\"84c57983-2e0b-4637-a994-4899cfde9186\"","InsertionTime":"2026-11-21T00:21:53+00:00","NextVisibleTime":"2026-11-21T00:31:55+00:00",`+
		`"PopReceipt":"\"MjFOb3YyMDI2MDA6MjE6NTVlZTgz\"","sys":{"MethodName":"work","UtcNow":"2026-11-21T00:21:55.2824418Z",`+
		`"RandGuid":"fa59a5aa-691e-4b1f-95d4-0a18dfea810f"}}}`, base64.StdEncoding.EncodeToString(body))
}

// bareServer does with net/http and encoding/json alone what every handler must: read the request, decode the message, answer.
func bareServer(b *testing.B) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			b.Error(err)
		}
		var invocation struct {
			Data     map[string]json.RawMessage
			Metadata map[string]json.RawMessage
		}
		if err := json.Unmarshal(body, &invocation); err != nil {
			b.Error(err)
		}
		if raw, ok := invocation.Data["m"]; ok {
			var message []byte
			var o order
			if err := errors.Join(json.Unmarshal(raw, &message), json.Unmarshal(message, &o)); err != nil {
				b.Error(err)
			}
		}
		writeReply(w, http.StatusOK, emptyReply)
	})
}

func benchPost(b *testing.B, client *http.Client, url string, payload []byte) {
	r, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(payload))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("X-Azure-Functions-InvocationId", "31da1077-34c1-4f1d-865b-1bc4aeb2b4dc")
	answer, err := client.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		b.Fatal(answer.StatusCode, err)
	}
	answer.Body.Close()
}

// BenchmarkInvocation is the time of an invocation over the wire. Its ratio is that time divided by the time of the same
// exchange with a bare server, taken in turns so that both meet the same load on the machine.
func BenchmarkInvocation(b *testing.B) {
	timer := []byte(`{"Data":{"t":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}},"Metadata":{}}`)
	for _, row := range []struct {
		name, function string
		payload        []byte
	}{
		{"timer", "tick", timer},
		{"message of 1 file", "work", benchPayload(b, 1)},
		{"message of 20 files", "work", benchPayload(b, 20)},
	} {
		b.Run(row.name, func(b *testing.B) {
			bare, ours := httptest.NewServer(bareServer(b)), httptest.NewServer(benchHandler(b))
			defer bare.Close()
			defer ours.Close()
			var bareTime, ourTime time.Duration
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				benchPost(b, bare.Client(), bare.URL+"/"+row.function, row.payload)
				middle := time.Now()
				benchPost(b, ours.Client(), ours.URL+"/"+row.function, row.payload)
				bareTime, ourTime = bareTime+middle.Sub(start), ourTime+time.Since(middle)
			}
			b.ReportMetric(float64(ourTime)/float64(b.N), "ns/op") // of ours alone
			b.ReportMetric(float64(ourTime)/float64(bareTime), "ratio")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{1, 20, 500} {
		b.Run(fmt.Sprintf("%d files", n), func(b *testing.B) {
			payload := benchPayload(b, n)
			s := orderShape(b)
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				p, err := parsePayload(payload)
				if err != nil {
					b.Fatal(err)
				}
				item, err := parseQueue(p, binding{Name: "m", DataType: "binary"})
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := decodeMessage[order](item.body, s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLogLine(b *testing.B) {
	log := newConsole(io.Discard, io.Discard).logger("bench")
	b.ReportAllocs()
	for b.Loop() {
		log.Error("file not stored", "path", "/hr/employees.csv", "bytes", 1234)
	}
}
