package localhost

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/localhost/internal/netjson"
)

// reply is a handler's answer to an invocation.
type reply struct {
	outputs *netjson.Value // nil when absent or null
	logs    []string
	result  netjson.Value // ReturnValue
}

// errNoResult is an answer that completes nothing: the real host then waits until functionTimeout.
var errNoResult = errors.New("the handler answered without a result, so the host waits until functionTimeout; answer 200 with Content-Type application/json and at least {}")

// parseReply judges an answer as the host does. Logs, Outputs and body of a failed invocation are lost.
func parseReply(status int, contentType string, body []byte) (reply, error) {
	if status < 200 || status > 299 {
		return reply{}, fmt.Errorf("the handler answered %d %s", status, http.StatusText(status))
	}
	if len(body) == 0 {
		return reply{}, errNoResult
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil && media == "" || media != "application/json" && media != "text/json" {
		return reply{}, fmt.Errorf("the handler answered with Content-Type %q instead of application/json", contentType)
	}
	text := decodeText(body)
	if trimmed := strings.TrimSpace(text); trimmed == "" || trimmed == "null" {
		return reply{}, errNoResult
	}
	doc, err := netjson.Parse(text)
	if err != nil {
		return reply{}, fmt.Errorf("the handler's answer is not JSON: %w", err)
	}
	if doc.Kind != netjson.Object {
		return reply{}, fmt.Errorf("the handler's answer must be a JSON object, got %s", doc.Kind)
	}
	return newReply(doc)
}

func newReply(doc netjson.Value) (r reply, err error) {
	if outputs, _ := doc.Get("Outputs"); outputs.Kind == netjson.Object {
		r.outputs = &outputs
	} else if outputs.Kind != netjson.Null {
		return reply{}, fmt.Errorf("the handler's answer: Outputs must be an object, got %s", outputs.Kind)
	}
	logs, _ := doc.Get("Logs")
	if logs.Kind != netjson.Array && logs.Kind != netjson.Null {
		return reply{}, fmt.Errorf("the handler's answer: Logs must be an array of strings, got %s", logs.Kind)
	}
	for i, line := range logs.Items {
		if line.Kind == netjson.Object || line.Kind == netjson.Array {
			return reply{}, fmt.Errorf("the handler's answer: Logs[%d] must be a string, got %s", i, line.Kind)
		}
		r.logs = append(r.logs, netjson.Text(line, nil))
	}
	r.result, _ = doc.Get("ReturnValue")
	return r, nil
}

// output finds an output binding's value; the binding's name must match in case.
func (r reply) output(name string) (netjson.Value, bool) {
	if name == "$return" {
		return r.result, r.result.Kind != netjson.Null
	}
	if r.outputs != nil {
		for _, m := range r.outputs.Members {
			if m.Name == name {
				return m.Value, true
			}
		}
	}
	return netjson.Value{}, false
}

// httpResult is what the caller of an HTTP function gets.
type httpResult struct {
	status      int
	contentType string
	headers     [][2]string
	body        string
	noContent   bool // status 204 without any body header
}

var errResponseShape = errors.New("the http output must be an object like {\"statusCode\":200,\"body\":\"…\"}")

// httpResult makes the response of an HTTP function. The error fails the invocation; headers set before it stay.
func (r reply) httpResult(f *function, local *time.Location) (httpResult, error) {
	const text = "text/plain; charset=utf-8"
	out, hasOut := f.httpOut()
	switch {
	case !hasOut || r.outputs == nil:
		return r.returnResult(), nil
	case out.name == "$return" && r.result.Kind == netjson.Null:
		return httpResult{status: http.StatusNoContent, noContent: true}, nil
	}
	v, ok := r.output(out.name)
	if !ok {
		return httpResult{status: http.StatusOK, contentType: text, body: "{}"}, nil
	}
	if v.Kind != netjson.Object {
		if out.name == "$return" {
			return r.returnResult(), nil
		}
		return httpResult{status: http.StatusInternalServerError}, errResponseShape
	}
	return shapedResult(v, local)
}

func shapedResult(v netjson.Value, local *time.Location) (httpResult, error) {
	result := httpResult{status: http.StatusOK, contentType: "text/plain; charset=utf-8"}
	if code, ok := v.Get("statusCode"); ok {
		if n, err := strconv.Atoi(netjson.Text(code, nil)); err == nil && n >= 100 && n <= 999 {
			result.status = n
		}
	}
	headers, _ := v.Get("headers")
	for _, h := range headers.Members {
		switch {
		case h.Value.Kind == netjson.Array || h.Value.Kind == netjson.Object:
			result.status, result.contentType = http.StatusInternalServerError, ""
			return result, fmt.Errorf("the response header %q must be a string, got %s", h.Name, h.Value.Kind)
		case h.Value.Kind == netjson.Null:
		case strings.EqualFold(h.Name, "Content-Type"):
			result.contentType = withCharset(netjson.Text(h.Value, nil))
		default:
			result.headers = append(result.headers, [2]string{h.Name, netjson.Text(h.Value, nil)})
		}
	}
	body, _ := v.Get("body")
	if body.Kind == netjson.String {
		result.body = body.Text
	} else {
		result.body = netjson.Text(body, local)
	}
	return result, nil
}

// withCharset says what the host writes: every body is UTF-8.
func withCharset(contentType string) string {
	if strings.Contains(strings.ToLower(contentType), "charset") {
		return contentType
	}
	return contentType + "; charset=utf-8"
}

// returnResult is the response when no http output says otherwise: ReturnValue, or 204.
func (r reply) returnResult() httpResult {
	v := r.result
	result := httpResult{status: http.StatusOK, contentType: "application/json; charset=utf-8"}
	switch v.Kind {
	case netjson.Null:
		return httpResult{status: http.StatusNoContent, noContent: true}
	case netjson.String:
		if _, isBinary := decodeBase64(v.Text); isBinary {
			result.body = netjson.Quote(strings.TrimSpace(v.Text))
			return result
		}
		if len(v.Text) > 0 && netjson.Text(v, time.UTC) != v.Text {
			result.body = netjson.Compact(v, time.UTC)
			return result
		}
		result.contentType, result.body = "text/plain; charset=utf-8", v.Text
	default:
		result.body = netjson.Compact(v, time.UTC)
	}
	return result
}
