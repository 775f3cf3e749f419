package customhandler

import (
	"io"
	"net/http"
	"reflect"
	"testing"
)

func TestHTTPRequestAdapter(t *testing.T) {
	t.Parallel()
	p, err := parsePayload([]byte(`{"Data":{"req":{"Url":"https://app.example:443/api/items/b%20c/7?x=1&x=2","Method":"POST",
		"Query":{"x":"1,2"},"Headers":{"Host":["app.example"],"Content-Type":["application/octet-stream"],"X-Multi":["v1, v2"],"X-Two":["a","b"]},
		"Params":{"category":"b c","id":null},"Body":"//4AYWJj"}},"Metadata":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	r, err := parseHTTP(t.Context(), p, binding{Name: "req"})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case r.Method != http.MethodPost, r.URL.Path != "/api/items/b c/7", r.Host != "app.example":
		t.Errorf("request is %s %s for %s", r.Method, r.URL.Path, r.Host)
	case !reflect.DeepEqual(r.URL.Query()["x"], []string{"1", "2"}):
		t.Errorf("query is %v", r.URL.Query())
	case string(body) != "\xff\xfe\x00abc" || r.ContentLength != 6:
		t.Errorf("body is %q, %d bytes", body, r.ContentLength)
	case r.PathValue("category") != "b c" || r.PathValue("id") != "":
		t.Errorf("parameters are %q and %q", r.PathValue("category"), r.PathValue("id"))
	case len(r.Header["X-Two"]) != 2 || r.Header.Get("X-Multi") != "v1, v2" || r.Header.Get("Host") != "":
		t.Errorf("headers are %v", r.Header)
	}
}

func TestHTTPAnswers(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"nothing written": {func(http.ResponseWriter, *http.Request) {}, `{"statusCode":200,"body":""}`},
		"text": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(418)
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "short and <stout> sig=abc")
		}, `{"statusCode":418,"body":"short and \u003cstout\u003e sig=[redacted]","headers":{"Content-Type":"text/plain"}}`},
		"repeated headers become one": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["X-Two"] = []string{"a", "b"}
			w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
			w.Header().Set("Content-Length", "7")
		}, `{"statusCode":200,"body":"","headers":{"Set-Cookie":"a=1","X-Two":"a, b"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAnswer()
			row.handler(a, nil)
			got, err := a.encode(scrubber{})
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
	a := newAnswer()
	if _, err := a.Write([]byte{0xff, 0xfe}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.encode(scrubber{}); err == nil {
		t.Error("bytes that are no text were answered")
	}
	if _, err := newAnswer().Write(make([]byte, maxAnswer+1)); err == nil {
		t.Error("an endless answer was taken")
	}
}
