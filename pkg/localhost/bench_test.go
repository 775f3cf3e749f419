package localhost

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/localhost/internal/netjson"
)

const benchMessage = `{"version":1,"job":"ftp","files":[{"path":"/hr/staff.csv","size":123456,"modified":"2026-09-01T02:00:00Z"}],"target":"in"}`

func benchFunction(dataType string) *function {
	return &function{name: "F", bindings: []binding{{kind: "queueTrigger", direction: "in", name: "msg", dataType: dataType}}}
}

// What the host adds to a call of the handler: payload, request, answer. BenchmarkBareCall is the same without the host.
func BenchmarkInvocation(b *testing.B) {
	server := benchServer(b)
	w := &wire{address: strings.TrimPrefix(server.URL, "http://")}
	defer w.close()
	f := benchFunction("binary")
	b.ReportAllocs()
	for b.Loop() {
		p, err := queuePayload(f, queueMessage{id: "id", popReceipt: "receipt", body: []byte(benchMessage)}, false, time.UTC, time.Now())
		if err != nil {
			b.Fatal(err)
		}
		resp, err := w.follow(b.Context(), invocationRequest(w.address, f.name, "id", p.encode(netjson.Value{})))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := parseReply(resp.status, resp.header.Get("Content-Type"), resp.body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBareCall(b *testing.B) {
	server := benchServer(b)
	client := server.Client()
	b.ReportAllocs()
	for b.Loop() {
		resp, err := client.Post(server.URL+"/F", "application/json", bytes.NewReader([]byte(benchMessage)))
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

func benchServer(b *testing.B) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"Outputs":{},"Logs":[],"ReturnValue":null}`)
	}))
	b.Cleanup(server.Close)
	return server
}

func BenchmarkQueuePayload(b *testing.B) {
	for _, dataType := range []string{"binary", "string"} {
		b.Run(dataType, func(b *testing.B) {
			f := benchFunction(dataType)
			b.ReportAllocs()
			for b.Loop() {
				p, err := queuePayload(f, queueMessage{id: "id", popReceipt: "receipt", body: []byte(benchMessage)}, false, time.UTC, time.Now())
				if err != nil {
					b.Fatal(err)
				}
				p.encode(netjson.Value{})
			}
		})
	}
}
