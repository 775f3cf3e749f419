package winrm

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const testNonce = "00112233445566778899aabbccddeeff"

func frameLine(nonce, json string) string {
	return "##" + nonce + ":" + base64.StdEncoding.EncodeToString([]byte(json)) + "\r\n"
}

// read feeds output to a reader in pieces of n bytes.
func read(t *testing.T, output string, n int) (*frames, []Event, error) {
	t.Helper()
	var events []Event
	f := newFrames(testNonce, func(s string) string { return s }, func(e Event) { events = append(events, e) })
	for len(output) > 0 {
		n := min(n, len(output))
		if _, err := f.Write([]byte(output[:n])); err != nil {
			return f, events, err
		}
		output = output[n:]
	}
	return f, events, f.end()
}

func TestFrames(t *testing.T) {
	t.Parallel()
	progress := frameLine(testNonce, `{"type":"progress","step":"export","message":"ma 3","done":3,"total":12.0}`)
	result := frameLine(testNonce, `{"type":"result","result":{"files":2}}`)
	event := Event{Type: "progress", Step: "export", Message: "ma 3", Done: 3, Total: 12}
	printed := func(text string) Event { return Event{Type: "log", Level: "output", Message: text} }
	for name, test := range map[string]struct {
		output string
		events []Event
		result string
		failed string
		err    string
	}{
		"a result":                           {output: result, result: `{"files":2}`},
		"progress, then a result":            {output: progress + result, events: []Event{event}, result: `{"files":2}`},
		"the last line is not ended":         {output: strings.TrimSpace(result), result: `{"files":2}`},
		"noise between":                      {output: "hello\r\n" + progress + "\n\nbye\n" + result, events: []Event{printed("hello"), event, printed("bye")}, result: `{"files":2}`},
		"noise without a line end before":    {output: "hello" + result, events: []Event{printed("hello")}, result: `{"files":2}`},
		"a frame of somebody else":           {output: frameLine(strings.Repeat("f", 32), `{"type":"result","result":1}`), events: []Event{printed("##ffffffffffffffffffffffffffffffff:eyJ0eXBlIjoicmVzdWx0IiwicmVzdWx0IjoxfQ==")}},
		"no nonce is known yet: an error":    {output: frameLine("", `{"type":"error","message":"gzip"}`), failed: "gzip"},
		"no nonce is no way to a result":     {output: frameLine("", `{"type":"result","result":1}`), events: []Event{printed("##:eyJ0eXBlIjoicmVzdWx0IiwicmVzdWx0IjoxfQ==")}},
		"cut off in the middle":              {output: result[:len(result)-12], err: "damaged"},
		"not base64":                         {output: "##" + testNonce + ":%%%\n", err: "damaged"},
		"not JSON":                           {output: frameLine(testNonce, `{"type":`), err: "damaged"},
		"a type of a later version":          {output: frameLine(testNonce, `{"type":"metric"}`) + result, result: `{"files":2}`},
		"an error":                           {output: frameLine(testNonce, `{"type":"error","message":"full"}`), failed: "full"},
		"more than one object returned":      {output: frameLine(testNonce, `{"type":"result","result":1,"extra":2}`), result: "1", events: []Event{{Type: "log", Level: "warning", Message: "the script returned 3 objects; the last one counts"}}},
		"a null result is one":               {output: frameLine(testNonce, `{"type":"result","result":null}`), result: "null"},
		"a log line":                         {output: frameLine(testNonce, `{"type":"log","level":"warning","message":"\u00e9"}`), events: []Event{{Type: "log", Level: "warning", Message: "é"}}},
		"bytes that are no UTF-8 are passed": {output: "caf\xe9\n", events: []Event{printed("caf\uFFFD")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, n := range []int{1, 2, 3, 7, 1 << 20} {
				f, events, err := read(t, test.output, n)
				if test.err != "" {
					if err == nil || !strings.Contains(err.Error(), test.err) {
						t.Fatalf("in pieces of %d: error %v, want %q", n, err, test.err)
					}
					continue
				}
				failed := ""
				if f.failure != nil {
					failed = f.failure.Message
				}
				if err != nil || string(f.result) != test.result || failed != test.failed || !reflect.DeepEqual(events, test.events) {
					t.Errorf("in pieces of %d: result %q, failure %q, events %v, error %v", n, f.result, failed, events, err)
				}
			}
		})
	}
}

func TestNoiseIsBounded(t *testing.T) {
	t.Parallel()
	f, events, err := read(t, strings.Repeat("x\n", 3*noiseLines)+strings.Repeat("y", 10*noiseColumns)+"\nlast\n", 1000)
	if err != nil || len(events) != noiseLines {
		t.Errorf("%d events, error %v", len(events), err)
	}
	if text := f.tail.String(); !strings.HasSuffix(text, "\nlast") || len(text) > 2*tailLines*tailColumns {
		t.Errorf("the tail is %q", text)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add("noise"+frameLine(testNonce, `{"type":"result","result":1}`), 3)
	f.Add(frameLine("", `{"type":"error","message":"x"}`), 1)
	f.Add(frameLine(testNonce, `{"type":"progress","done":1e300}`)+"##", 5)
	f.Fuzz(func(t *testing.T, output string, n int) {
		whole, events, err := read(t, output, len(output)+1)
		pieces, same, errPieces := read(t, output, 1+abs(n)%64)
		if (err == nil) != (errPieces == nil) || string(whole.result) != string(pieces.result) {
			t.Errorf("in pieces %q, %v; whole %q, %v", pieces.result, errPieces, whole.result, err)
		}
		if err == nil && fmt.Sprint(events) != fmt.Sprint(same) {
			t.Errorf("in pieces %v, whole %v", same, events)
		}
	})
}

func abs(n int) int {
	if n < 0 {
		return -(n + 1)
	}
	return n
}
