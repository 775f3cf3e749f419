package netjson

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestText(t *testing.T) {
	t.Parallel()
	warsaw, err := time.LoadLocation("Europe/Warsaw")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		json  string
		local *time.Location
		want  string
	}{
		{`1.0`, nil, "1"}, {`1.50`, nil, "1.5"}, {`1e3`, nil, "1000"}, {`1e15`, nil, "1E+15"}, {`123456789012345678`, nil, "123456789012345678"},
		{`1e-5`, nil, "1E-05"}, {`0.0001`, nil, "0.0001"}, {`-0`, nil, "0"}, {`12345678901234567890`, nil, "12345678901234567890"},
		{`true`, nil, "True"}, {`null`, nil, ""}, {`{"a":[1,{}],"b":[]}`, nil, "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}"},
		{`"2026-09-01T02:00:00.123Z"`, time.UTC, "09/01/2026 02:00:00"},
		{`"2026-09-01T02:00:00+02:00"`, time.UTC, "09/01/2026 00:00:00"},
		{`"2026-09-01T02:00:00Z"`, warsaw, "09/01/2026 02:00:00"},
		{`"2026-09-01T02:00:00+00:00"`, warsaw, "09/01/2026 04:00:00"},
		{`"2026-09-01T02:00:00"`, time.UTC, "09/01/2026 02:00:00"},
		{`"2026-09-01"`, time.UTC, "2026-09-01"},
		{`"2026-09-01T02:00:00Z"`, nil, "2026-09-01T02:00:00Z"},
		{`"2026-13-01T02:00:00Z"`, time.UTC, "2026-13-01T02:00:00Z"},
	} {
		v, err := Parse(c.json)
		if err != nil {
			t.Fatalf("%s: %v", c.json, err)
		}
		if got := Text(v, c.local); got != c.want {
			t.Errorf("%s: got %q, want %q", c.json, got, c.want)
		}
	}
}

func TestCompact(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ json, want string }{
		{"{ \"a\" : 1.50 , // c\n 'b':[1,], c: null }", `{"a":1.5,"b":[1],"c":null}`},
		{`{"a":1,"b":2,"a":3}`, `{"a":3,"b":2}`},
		{`1e3`, `1000.0`},
		{`"<a&b>' \u2028 \u0085 \u007f \/ \ud83d\ude00"`, "\"<a&b>' \\u2028 \\u0085 \x7f / \U0001F600\""},
		{`"2026-09-01T02:00:00.1000000Z"`, `"2026-09-01T02:00:00.1Z"`},
		{`"2026-09-01T02:00:00+02:00"`, `"2026-09-01T00:00:00+00:00"`},
		{`"\ud800x"`, "\"\ufffdx\""},
	} {
		v, err := Parse(c.json)
		if err != nil {
			t.Fatalf("%s: %v", c.json, err)
		}
		if got := Compact(v, time.UTC); got != c.want {
			t.Errorf("%s: got %s, want %s", c.json, got, c.want)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ json, want string }{
		{"", "line 1, column 1: the text ends"},
		{"{\n\"a\" 1}", "line 2, column 5: a colon is expected"},
		{"{\"a\":1\n\"b\":2}", "line 2, column 1: a comma or } is expected"},
		{"[1 2]", "line 1, column 4: a comma or ]"},
		{`{"a":01}`, "a number like this"},
		{`{"a":"\x"}`, "an escape"},
		{`"abc`, "does not end"},
		{"/* x", "a comment that does not end"},
		{`{} {}`, "more text after the end"},
		{strings.Repeat("[", 100), "64 levels"},
	} {
		if _, err := Parse(c.json); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want something with %q", c.json, err, c.want)
		}
	}
}

// What encoding/json accepts is accepted here, and what is written is JSON to both and stays the same when read again.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2.5,"x",null,true]}`, "{ a: 'b', } // c", `"\ud83d\ude00"`, `-0.0`, `1E400`, `{"d":"2026-09-01T02:00:00+02:00"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := Parse(text)
		if err != nil {
			return
		}
		for _, written := range []string{Compact(v, time.UTC), Indented(v, time.UTC)} {
			if !json.Valid([]byte(written)) {
				t.Errorf("%q was written as %q", text, written)
			}
			again, err := Parse(written)
			if err != nil || Compact(again, time.UTC) != Compact(v, time.UTC) {
				t.Errorf("%q was written as %q, which is read as %q (%v)", text, written, Compact(again, time.UTC), err)
			}
		}
	})
}
