package localhost

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/localhost/internal/netjson"
)

// Whatever a host.json and a function.json hold, loading them ends in an app or in an error, and a function has either a
// trigger or a problem.
func FuzzLoadApp(f *testing.F) {
	const host = `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"handler"}}}`
	f.Add(host, queueFunction)
	f.Add(host, httpFunction)
	f.Add(host, timerFunction("0 0 2 * * *"))
	f.Add(`{"version":"2.0","functionTimeout":"-1","customHandler":{"description":{"defaultExecutablePath":"%X%","arguments":["a b","\"c"]}}}`, `{"bindings":[{"type":"httpTrigger","name":"r","route":"{a:int?}/{*b}"}]}`)
	f.Fuzz(func(t *testing.T, hostJSON, functionJSON string) {
		root := t.TempDir()
		if err := os.Mkdir(filepath.Join(root, "F"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"host.json": hostJSON, "F/function.json": functionJSON} {
			if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		o := Options{Environ: []string{"AzureWebJobsStorage=UseDevelopmentStorage=true"}}
		o.setDefaults()
		a, err := loadApp(root, &o)
		if err != nil {
			return
		}
		defer a.stop()
		for _, fn := range a.functions {
			if runs := fn.timer != nil || fn.queue != nil || fn.http != nil; runs != (fn.problem == nil) {
				t.Errorf("runs: %t, problem: %v", runs, fn.problem)
			}
		}
	})
}

// A template that is accepted matches without failing, and what it matches fills its parameters.
func FuzzRoute(f *testing.F) {
	for _, seed := range [][2]string{
		{"api/orders/{id:int?}", "/api/orders/5"}, {"{*rest}", "/a/b"}, {"f-{name}.txt", "/f-x.txt"},
		{"{a:length(1,2)}/{b:regex(^x$)=x}", "/ab/%78"}, {"{a:range(1,5)}", "/7"}, {"", "/"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, template, path string) {
		r, err := parseRoute(template)
		if err != nil {
			return
		}
		params, ok := r.match(path)
		if !ok {
			return
		}
		want := 0
		for _, s := range r.segments {
			if s.param != "" {
				want++
			}
		}
		if len(params) != want {
			t.Errorf("template %q matches %q with %d parameters, has %d", template, path, len(params), want)
		}
	})
}

// An answer of any shape is judged, and what follows from it can be made.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{`{}`, `null`, `{"Outputs":{"res":{"statusCode":"201","body":{"a":[1,null,true]},"headers":{"X":1}},"q":["a",{"b":1.50}]},"Logs":["x"],"ReturnValue":"aGk="}`, `{"outputs":{"q":"{'a':1,}"}}`} {
		f.Add(200, "application/json", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		r, err := parseReply(status, contentType, body)
		if err != nil {
			return
		}
		fn := &function{name: "F", bindings: []binding{{kind: "http", direction: "out", name: "res"}, {kind: "queue", direction: "out", name: "q"}}}
		result, err := r.httpResult(fn, time.UTC)
		if err == nil && (result.status < 100 || result.status > 999) {
			t.Errorf("status %d", result.status)
		}
		if v, ok := r.output("q"); ok {
			bodies, err := outputMessages(fn.bindings[1], v, time.UTC)
			for _, b := range bodies {
				if text, err := (queueOptions{}).messageText(b); err != nil || len(b) > 0 && text == "" {
					t.Errorf("message %q: %q, %v", b, text, err)
				}
			}
			_ = err
		}
	})
}

// A queue's message of any bytes becomes a payload that is JSON, or is refused as no UTF-8.
func FuzzQueuePayload(f *testing.F) {
	for _, seed := range []string{`{"id":1,"sys":{"a":"2026-09-01T02:00:00+02:00"},"x":1e400}`, `{'a':1,/**/}`, "\x00\xff", `{"trigger":1,"mytrigger":2}`} {
		f.Add([]byte(seed))
	}
	fn := &function{name: "F", bindings: []binding{{kind: "queueTrigger", direction: "in", name: "msg"}}}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := queuePayload(fn, queueMessage{body: body}, false, time.UTC, time.Now())
		if err != nil {
			return
		}
		doc, err := netjson.Parse(string(p.encode(netjson.Value{})))
		if err != nil {
			t.Fatalf("payload of %q: %v", body, err)
		}
		data, _ := doc.Get("Data")
		msg, _ := data.Get("msg")
		inner, err := netjson.Parse(msg.Text)
		if err != nil || inner.Text != string(body) {
			t.Errorf("data of %q: %q, %v", body, msg.Text, err)
		}
	})
}
