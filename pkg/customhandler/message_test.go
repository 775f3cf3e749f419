package customhandler

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

type order struct {
	Path  string            `json:"path"`
	Size  int64             `json:"size,omitempty"`
	Seen  time.Time         `json:"seen,omitzero"`
	Items []item            `json:"items,omitempty"`
	Notes map[string]string `json:"notes,omitempty"`
	Any   any               `json:"any,omitempty"`
	audit
}

type item struct {
	Name string `json:"name"`
	Next *item  `json:"next,omitempty"`
}

type audit struct {
	By string `json:"by,omitempty"`
}

func (order) MessageVersion() int { return 3 }

func orderShape(t testing.TB) *shape {
	t.Helper()
	s, err := messageShape[order]()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMessageRoundTrip(t *testing.T) {
	t.Parallel()
	for _, want := range []order{
		{},
		{Path: "/hr/Zażółć <&> 😀.csv", Size: 1 << 60, Seen: time.Date(2026, 9, 1, 2, 0, 0, 1, time.UTC)},
		{Items: []item{{Name: "a", Next: &item{Name: "b"}}}, Notes: map[string]string{"Path": "x", "path": "y"}, audit: audit{By: "me"}},
	} {
		body, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, book, err := decodeMessage[order](body, orderShape(t))
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if !reflect.DeepEqual(got, want) || !book.empty() {
			t.Errorf("%s: got %+v and %+v", body, got, book)
		}
	}
}

func TestMessagesAreReadStrictly(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ body, problem string }{
		"empty":                   {``, `it is empty`},
		"no JSON":                 {`hello`, `it is not JSON`},
		"two values":              {`{"version":3,"path":"a"}{}`, `it is not JSON`},
		"cut":                     {`{"version":3,"path":"a"`, `it is not JSON`},
		"array":                   {`[1]`, `it is not a JSON object`},
		"null":                    {`null`, `it is not a JSON object`},
		"no version":              {`{"path":"a"}`, `field "version" is missing, want 3`},
		"older version":           {`{"version":2,"path":"a"}`, `field "version" is 2, this release of the app reads 3`},
		"newer version":           {`{"version":4,"path":"a"}`, `field "version" is 4`},
		"version as text":         {`{"version":"3","path":"a"}`, `field "version" is "3"`},
		"unknown field":           {`{"version":3,"paht":"a"}`, `field "paht" is unknown`},
		"other case":              {`{"version":3,"Path":"a"}`, `field "Path" is unknown (it is spelled "path")`},
		"twice":                   {`{"version":3,"path":"a","path":"b"}`, `field "path" appears twice`},
		"twice, escaped":          {`{"version":3,"path":"a","p\u0061th":"b"}`, `field "path" appears twice`},
		"unknown inside":          {`{"version":3,"path":"a","items":[{"name":"x"},{"nmae":"x"}]}`, `field "items[1].nmae" is unknown`},
		"other case deep inside":  {`{"version":3,"path":"a","items":[{"name":"x","next":{"Name":"y"}}]}`, `field "items[0].next.Name" is unknown`},
		"twice in a map":          {`{"version":3,"path":"a","notes":{"a":"1","a":"2"}}`, `field "notes.a" appears twice`},
		"twice in a free value":   {`{"version":3,"path":"a","any":{"a":1,"a":2}}`, `field "any.a" appears twice`},
		"wrong type":              {`{"version":3,"path":7}`, `field "path" holds a number, want string`},
		"too big a number":        {`{"version":3,"path":"a","size":99999999999999999999}`, `field "size" holds a number`},
		"delivery is no object":   {`{"version":3,"path":"a","delivery":7}`, `field "delivery"`},
		"delivery in other case":  {`{"version":3,"path":"a","Delivery":{}}`, `field "Delivery" is unknown`},
		"unknown in the delivery": {`{"version":3,"path":"a","delivery":{"lots":1}}`, `field "delivery.lots" is unknown`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := decodeMessage[order]([]byte(row.body), orderShape(t))
			if err == nil || !strings.Contains(err.Error(), row.problem) {
				t.Errorf("got error %v, want one with %q", err, row.problem)
			}
		})
	}
}

type reserved struct {
	Delivery string
}

func (reserved) MessageVersion() int { return 1 }

type notObject int

func (notObject) MessageVersion() int { return 1 }

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	if _, err := Encode(reserved{}); err == nil || !strings.Contains(err.Error(), `"Delivery" is reserved`) {
		t.Errorf("reserved name: %v", err)
	}
	if f := QueueFunc[reserved]("r", nil); f.problem == nil {
		t.Error("a handler for a type with a reserved name was registered without a problem")
	}
	if _, err := Encode(notObject(7)); err == nil || !strings.Contains(err.Error(), "not a JSON object") {
		t.Errorf("number: %v", err)
	}
	if _, err := Encode(order{Path: strings.Repeat("x", MaxMessage)}); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("too long: %v", err)
	}
	if _, err := Encode(order{Any: make(chan int)}); err == nil {
		t.Error("a channel was encoded")
	}
}

// A message at its limit must still fit into the queue with everything that is noted in it.
func TestBookkeepingFits(t *testing.T) {
	t.Parallel()
	frame, err := Encode(order{})
	if err != nil {
		t.Fatal(err)
	}
	body, err := Encode(order{Path: strings.Repeat("x", MaxMessage-len(frame))})
	if err != nil {
		t.Fatal(err)
	}
	full := joinDelivery(body, bookkeeping{Failures: 1 << 31, Lost: 1 << 31, PutOff: 1 << 31, Requeued: 1 << 31, Released: &Release{At: time.Now(), Reason: clip(strings.Repeat("\x01", 400), maxReason)}})
	if len(full) > 48<<10 {
		t.Errorf("%d bytes do not fit", len(full))
	}
}

func TestBookkeepingLeavesTheBodyAlone(t *testing.T) {
	t.Parallel()
	book := bookkeeping{Failures: 2, Lost: 1, Released: &Release{At: time.Date(2026, 9, 1, 2, 0, 0, 0, time.UTC), Reason: "it shrank"}}
	for _, body := range []string{`{}`, ` { } `, `{"version":3,"path":"a"}`, "{\n  \"path\": \"a}\\\"\",\n  \"b\": [1, {}]\n}\n"} {
		noted := joinDelivery([]byte(body), book)
		if !json.Valid(noted) || !bytes.Contains(noted, []byte(`"lost":1`)) {
			t.Errorf("%s became %s", body, noted)
		}
		bare, got := splitDelivery(noted)
		if string(bare) != body || !reflect.DeepEqual(got, book) {
			t.Errorf("%s came back as %s with %+v", body, bare, got)
		}
		if messageKey(noted) != messageKey([]byte(body)) {
			t.Errorf("%s: bookkeeping changes the key", body)
		}
		if again, _ := splitDelivery(joinDelivery(bare, bookkeeping{})); string(again) != body {
			t.Errorf("%s: without bookkeeping it is %s", body, again)
		}
	}
	for _, body := range []string{``, `hello`, `[1]`, `{"delivery":7}`, `{"delivery":{"lots":"x","failures":"y"}}`, "\xff\xfe"} {
		if bare, got := splitDelivery([]byte(body)); string(bare) != body || !got.empty() {
			t.Errorf("%q was split into %q and %+v", body, bare, got)
		}
	}
	if got := joinDelivery([]byte("hello"), book); string(got) != "hello" {
		t.Errorf("text became %q", got)
	}
}

func TestWithoutMember(t *testing.T) {
	t.Parallel()
	for _, row := range [][2]string{
		{`{"a":1}`, `{}`},
		{`{"a":1,"b":2}`, `{"b":2}`},
		{`{"b":2,"a":1}`, `{"b":2}`},
		{`{"b":2 , "a" : 1 , "c":3}`, `{"b":2 , "c":3}`},
		{`{"b":{"a":1}}`, `{"b":{"a":1}}`},
		{`[]`, `[]`},
	} {
		if got := without([]byte(row[0]), "a"); string(got) != row[1] {
			t.Errorf("%s became %s, want %s", row[0], got, row[1])
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"version":3,"path":"a","items":[{"name":"x","next":null}],"delivery":{"failures":1}}`))
	f.Add([]byte(`{"version":3,"p\u0061th":"\ud800"}`))
	f.Add([]byte("{\"version\":3,\"path\":\"\xff\"}"))
	s := orderShape(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		_ = messageKey(body)
		bare, book := splitDelivery(body)
		if again, got := splitDelivery(joinDelivery(bare, book)); json.Valid(body) && !book.empty() &&
			(!bytes.Equal(again, bare) || !reflect.DeepEqual(got, book)) {
			t.Errorf("%q: %q with %+v became %q with %+v", body, bare, book, again, got)
		}
		if _, _, err := decodeMessage[order](body, s); err == nil {
			var strict map[string]json.RawMessage
			if err := json.Unmarshal(body, &strict); err != nil {
				t.Errorf("%q was taken for a message: %v", body, err)
			}
		}
	})
}

func FuzzPayload(f *testing.F) {
	for _, kind := range []string{"timer", "queue", "http"} {
		for _, r := range recordings(f, kind) {
			f.Add([]byte(r.Request.Body))
		}
	}
	f.Add([]byte(`{"Data":{"m":"\"\\ud800\""},"Metadata":{"Id":"\""}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := parsePayload(body)
		if err != nil {
			return
		}
		for _, b := range []binding{{}, {DataType: "binary"}} {
			if item, err := parseQueue(p, b); err == nil && item.dequeueCount < 0 {
				t.Errorf("%q: delivery %d", body, item.dequeueCount)
			}
			_, _ = parseTimer(p, b)
			if r, err := parseHTTP(t.Context(), p, b); err == nil && r.Method == "" {
				t.Errorf("%q: request without a method", body)
			}
		}
	})
}

func FuzzInvokeRequest(f *testing.F) {
	f.Add([]byte(`{"function":"work","input":{"a":1},"dryRun":true,"waitSeconds":3}`))
	f.Add([]byte(`{"release":"abc"}`))
	f.Add([]byte(`{"requeue":"all"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		req, err := readInvoke(bytes.NewReader(body))
		if err == nil && req.Function == "" && req.Release == "" && req.Discard == "" && req.Requeue == "" {
			t.Errorf("%q asks for nothing and was taken", body)
		}
	})
}

func FuzzHideWarn(f *testing.F) {
	f.Add("this is a Warning: wARNwarn")
	f.Add(`\warn`)
	f.Fuzz(func(t *testing.T, text string) {
		line := []byte(jsonLine(t, text))
		hidden := hideWarn(line)
		if indexFold(hidden, "warn") >= 0 || bytes.Contains(bytes.ToLower(hidden), []byte("warn")) {
			t.Errorf("%q still warns", hidden)
		}
		var before, after string
		if json.Unmarshal(line, &before) != nil || json.Unmarshal(hidden, &after) != nil || before != after {
			t.Errorf("%q became %q", line, hidden)
		}
	})
}

func jsonLine(t *testing.T, text string) string {
	t.Helper()
	raw, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
