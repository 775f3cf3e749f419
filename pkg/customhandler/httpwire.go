package customhandler

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// parseHTTP rebuilds the client's request from an HTTP function's payload: {Url, Method, Headers, Params, Body}.
func parseHTTP(ctx context.Context, p payload, b binding) (*http.Request, error) {
	value, err := p.input(b.Name)
	if err != nil {
		return nil, err
	}
	if kindOf(value) != '{' {
		return nil, fmt.Errorf("read invocation: binding %q is no HTTP request", b.Name)
	}
	text := func(name string) string {
		v, _ := member(value, name)
		if kindOf(v) != '"' {
			return ""
		}
		return string(unquote(v))
	}
	target, err := url.Parse(text("Url"))
	if err != nil {
		return nil, fmt.Errorf("read invocation: request address: %w", err)
	}
	header := http.Header{}
	if raw, ok := member(value, "Headers"); ok {
		for name, v := range members(raw) {
			addHeader(header, string(name), v)
		}
	}
	body := []byte(text("Body"))
	if base64Body(header.Get("Content-Type")) {
		if decoded, err := base64.StdEncoding.DecodeString(string(body)); err == nil {
			body = decoded
		}
	}
	r, err := http.NewRequestWithContext(ctx, text("Method"), target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("read invocation: %w", err)
	}
	r.Header = header
	if host := header.Get("Host"); host != "" {
		r.Host = host
		header.Del("Host")
	}
	header.Del("Transfer-Encoding") // the host drops the body of a chunked request
	r.RequestURI = target.RequestURI()
	if raw, ok := member(value, "Params"); ok {
		for name, v := range members(raw) {
			if kindOf(v) != 'n' {
				r.SetPathValue(string(name), looseText(v))
			}
		}
	}
	return r, nil
}

func addHeader(header http.Header, name string, value []byte) {
	switch kindOf(value) {
	case '[':
		for v := range elements(value) {
			header.Add(name, looseText(v))
		}
	case 'n', '{':
	default:
		header.Add(name, looseText(value))
	}
}

// base64Body tells for which content types the host encodes the body.
func base64Body(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = contentType
	}
	return strings.EqualFold(media, "application/octet-stream") || strings.HasPrefix(strings.ToLower(media), "multipart/")
}

// maxAnswer bounds what an HTTP function may answer, in bytes: the host copies it several times.
const maxAnswer = 16 << 20

// answer collects an HTTP function's response.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func newAnswer() *answer { return &answer{header: http.Header{}} }

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= 200 {
		a.status = status
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.body.Len()+len(b) > maxAnswer {
		return 0, fmt.Errorf("write answer: it is longer than %d bytes: %w", maxAnswer, io.ErrShortWrite)
	}
	return a.body.Write(b)
}

// encode renders the response as the host's output binding: scalars only, or the host answers 500.
func (a *answer) encode(s scrubber) (json.RawMessage, error) {
	if !utf8.Valid(a.body.Bytes()) {
		return nil, fmt.Errorf("the answer is not text: the host cannot carry bytes")
	}
	headers := map[string]string{}
	for name, values := range a.header {
		if name == "Content-Length" || len(values) == 0 {
			continue // the host counts for itself
		}
		headers[name] = s.text(strings.Join(values, ", "))
		if name == "Set-Cookie" {
			headers[name] = values[0] // cookies do not join, and the host takes one value a name
		}
	}
	body := a.body.String()
	if json.Valid(a.body.Bytes()) {
		body = string(s.json(a.body.Bytes()))
	} else {
		body = s.text(body)
	}
	return json.Marshal(struct {
		Status  int               `json:"statusCode"`
		Body    string            `json:"body"`
		Headers map[string]string `json:"headers,omitempty"`
	}{max(a.status, 200), body, headers})
}
