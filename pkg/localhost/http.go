package localhost

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/nightshift-hq/nightshift/pkg/localhost/internal/netjson"
)

// maxBody bounds a request to an HTTP function, as the host does by default.
const maxBody = 100 << 20

// ServeHTTP answers the app's routes, the admin API and the home page.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.ToLower(r.URL.Path)
	switch {
	case path == "/admin" || strings.HasPrefix(path, "/admin/"):
		a.serveAdmin(w, r)
		return
	case strings.HasPrefix(path, "/runtime/"):
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	for _, f := range a.routes {
		if f.disabled || !f.http.allows(r.Method) {
			continue
		}
		if params, ok := f.http.route.match(r.URL.EscapedPath()); ok {
			a.serveFunction(w, r, f, params)
			return
		}
	}
	if path == "/" && r.Method == http.MethodGet && !a.env.isTrue("AzureWebJobsDisableHomepage") {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!DOCTYPE html>\n<title>%[1]s</title>\n<p>The app %[1]s is up and running.</p>\n", a.name)
		return
	}
	w.WriteHeader(http.StatusNotFound)
}

func (a *app) serveFunction(w http.ResponseWriter, r *http.Request, f *function, params []netjson.Member) {
	if !a.enter() {
		http.Error(w, "Function host is not running.", http.StatusServiceUnavailable)
		return
	}
	defer a.busy.Done()
	who := a.keys.identify(r)
	if !a.keys.permits(who, f.http.authLevel) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body, err := readBody(r)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if f.forwards(a.config) {
		a.forward(w, r, f, body)
		return
	}
	req := httpRequest{r: r, headers: orderedHeaders(r), params: params, body: body, who: who}
	result := httpResult{status: http.StatusInternalServerError}
	reply, err := a.invoke(invocation{
		function: f, freshIDs: true, reason: "This function was programmatically called via the host APIs.",
		build: func() (payload, error) { return httpPayload(f, req, a.local, time.Now()), nil },
	})
	if err == nil {
		if result, err = reply.httpResult(f, a.local); err != nil {
			a.log.Error(err.Error(), "function", f.name)
		}
	}
	result.write(w, r.Method)
}

// readBody reads a request as the host does: without a Content-Length there is no body for the function.
func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength <= 0 {
		return nil, nil
	}
	if r.ContentLength > maxBody {
		return nil, errors.New("the request is too large")
	}
	return io.ReadAll(r.Body)
}

func (h httpResult) write(w http.ResponseWriter, method string) {
	header := w.Header()
	for _, pair := range h.headers {
		header.Add(clean(pair[0]), clean(pair[1]))
	}
	header["Content-Type"] = nil // net/http would guess one
	if h.contentType != "" {
		header.Set("Content-Type", clean(h.contentType))
	}
	if h.body == "" && h.status != http.StatusNoContent {
		header.Set("Content-Length", "0")
	}
	w.WriteHeader(h.status)
	if h.body != "" && method != http.MethodHead {
		w.(http.Flusher).Flush() // sends the headers now, and so the body in chunks, as the host does
		io.WriteString(w, h.body)
	}
}

// httpRequest is what an HTTP function learns of a request.
type httpRequest struct {
	r       *http.Request
	headers []header
	params  []netjson.Member
	body    []byte
	who     identity
}

type header struct {
	name   string
	values []string
}

func httpPayload(f *function, req httpRequest, local *time.Location, now time.Time) payload {
	b := f.trigger()
	query := parseQuery(req.r.URL.RawQuery)
	headers, lastHeaders := netjson.Obj(), netjson.Obj()
	for _, h := range req.headers {
		values := netjson.Value{Kind: netjson.Array}
		for _, v := range h.values {
			values.Items = append(values.Items, netjson.Str(v))
		}
		headers.Members = append(headers.Members, netjson.Member{Name: h.name, Value: values})
		lastHeaders.Members = append(lastHeaders.Members, netjson.Member{Name: h.name, Value: netjson.Str(strings.Join(h.values, ","))})
	}
	joined, last := query.objects()
	data := netjson.Obj(
		netjson.Member{Name: "Url", Value: netjson.Str("http://" + req.r.Host + req.r.RequestURI)},
		netjson.Member{Name: "Method", Value: netjson.Str(req.r.Method)},
		netjson.Member{Name: "Query", Value: joined},
		netjson.Member{Name: "Headers", Value: headers},
		netjson.Member{Name: "Params", Value: netjson.Obj(req.params...)},
		netjson.Member{Name: "Identities", Value: netjson.Value{Kind: netjson.Raw, Text: "[" + req.who.json() + "]"}},
	)
	p := payload{binding: b.name}
	if len(req.body) > 0 {
		text := decodeText(req.body)
		if doc, ok := jsonObject(text); ok {
			p.metadata.merge(doc, local)
		}
		if isBinaryType(req.r.Header.Get("Content-Type")) {
			text = base64.StdEncoding.EncodeToString(req.body)
		}
		data.Members = append(data.Members, netjson.Member{Name: "Body", Value: netjson.Str(text)})
	}
	p.data = data
	for _, q := range query {
		if !strings.EqualFold(q.name, "code") {
			p.metadata.set(q.name, doubled(q.values[len(q.values)-1]))
		}
	}
	for _, param := range req.params {
		if param.Value.Kind != netjson.Null {
			p.metadata.set(param.Name, doubled(param.Value.Text))
		}
	}
	p.metadata.set("Query", last)
	p.metadata.set("Headers", lastHeaders)
	p.metadata.setSystem(f.name, now)
	return p
}

// isBinaryType says which bodies the host sends as base64.
func isBinaryType(contentType string) bool {
	contentType = strings.ToLower(contentType)
	return strings.HasPrefix(contentType, "application/octet-stream") || strings.HasPrefix(contentType, "multipart/")
}

// query is a query string in order; names ignore case.
type query []header

func parseQuery(raw string) query {
	var q query
	for _, pair := range strings.Split(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescapeQuery(name), unescapeQuery(value)
		found := false
		for i := range q {
			if strings.EqualFold(q[i].name, name) {
				q[i].values = append(q[i].values, value)
				found = true
			}
		}
		if !found {
			q = append(q, header{name, []string{value}})
		}
	}
	return q
}

// unescapeQuery leaves alone what is not escaped well, as ASP.NET does.
func unescapeQuery(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return strings.ReplaceAll(s, "+", " ")
}

// objects are the query with repeated values joined, and with only the last of each.
func (q query) objects() (joined, last netjson.Value) {
	joined, last = netjson.Obj(), netjson.Obj()
	for _, h := range q {
		joined.Members = append(joined.Members, netjson.Member{Name: h.name, Value: netjson.Str(strings.Join(h.values, ","))})
		last.Members = append(last.Members, netjson.Member{Name: h.name, Value: netjson.Str(h.values[len(h.values)-1])})
	}
	return joined, last
}

// forward sends the request itself to the handler and its answer back.
func (a *app) forward(w http.ResponseWriter, r *http.Request, f *function, body []byte) {
	w.Header()["Content-Type"] = nil
	if r.ContentLength < 0 {
		a.log.Error("a chunked request cannot be forwarded; the real host answers 500 as well", "function", f.name)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	id, started := uuid.NewString(), time.Now()
	log := a.log.With("function", f.name, "invocation", id)
	log.Info(fmt.Sprintf("Executing 'Functions.%s' (forwarding %s %s)", f.name, r.Method, r.URL.Path))
	resp, err := a.exchange(f, func(h *process) (response, error) {
		return h.wire.send(a.hard, forwardedRequest(r, orderedHeaders(r), id, body))
	}, func(response) error { return nil })
	logEnd(log, f, started, err)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	for name, values := range resp.header {
		if !hopByHop(name) {
			w.Header()[name] = values
		}
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(resp.body)))
	if resp.status == http.StatusNoContent {
		w.Header().Del("Content-Length")
	}
	w.WriteHeader(resp.status)
	w.Write(resp.body)
}

// forwardedRequest keeps method, path, query and headers and adds the host's three.
func forwardedRequest(r *http.Request, headers []header, id string, body []byte) request {
	req := request{method: r.Method, target: forwardedTarget(r), body: body}
	var tail [][2]string
	agent := userAgent
	for _, h := range headers {
		value := clean(strings.Join(h.values, ", "))
		switch {
		case strings.EqualFold(h.name, "User-Agent"):
			agent = value + " " + userAgent
		case strings.EqualFold(h.name, "Content-Length"):
			tail = append([][2]string{{"Content-Length", strconv.Itoa(len(body))}}, tail...)
		case strings.EqualFold(h.name, "Content-Type"):
			if len(body) > 0 {
				tail = append(tail, [2]string{"Content-Type", value})
			}
		case !hopByHop(h.name):
			req.header = append(req.header, [2]string{h.name, value})
		}
	}
	req.header = append(req.header, [][2]string{
		{"X-Azure-Functions-HostVersion", hostVersion}, {"X-Azure-Functions-InvocationId", id}, {"User-Agent", agent},
	}...)
	req.header = append(req.header, tail...)
	return req
}

// forwardedTarget is the path and the query; repeated names are joined with commas.
func forwardedTarget(r *http.Request) string {
	repeated := false
	q := parseQuery(r.URL.RawQuery)
	for _, h := range q {
		repeated = repeated || len(h.values) > 1
	}
	if !repeated {
		return r.URL.RequestURI()
	}
	var pairs []string
	for _, h := range q {
		pairs = append(pairs, url.QueryEscape(h.name)+"="+url.QueryEscape(strings.Join(h.values, ",")))
	}
	return r.URL.EscapedPath() + "?" + strings.Join(pairs, "&")
}

func hopByHop(name string) bool {
	return containsFold([]string{"Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "Expect"}, name)
}
