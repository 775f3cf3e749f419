package localhost

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"
)

// Functions see the headers of a request in the order in which the real host's web server keeps them, and net/http
// forgets both order and case. So the connection remembers the head of the request that is being served.

// headListener hands out connections that remember heads.
type headListener struct{ net.Listener }

func (l headListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &headConn{Conn: c}, nil
}

// headConn keeps what was read until the end of a request's head.
type headConn struct {
	net.Conn
	mu       sync.Mutex
	head     []byte
	complete bool
}

const maxHead = 1 << 20

func (c *headConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.complete && len(c.head) < maxHead {
		c.head = append(c.head, b[:n]...)
		if i := bytes.Index(c.head, []byte("\r\n\r\n")); i >= 0 {
			c.head, c.complete = c.head[:i], true
		}
	}
	return n, err
}

// next forgets the head: the one of the next request on the connection follows.
func (c *headConn) next() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head, c.complete = nil, false
}

type headKey struct{}

func rememberConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, headKey{}, c)
}

// withHeads makes each request's head the current one of its connection.
func withHeads(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		if c, ok := r.Context().Value(headKey{}).(*headConn); ok {
			if r.Header.Get("Expect") == "" {
				// What is left of the body must not be taken for the next head. The server reads on as far by itself.
				io.CopyN(io.Discard, r.Body, 256<<10)
			}
			c.next()
		}
	})
}

// knownHeaders are those that Kestrel (.NET 8) keeps in fields of its own, in its order; others follow as they came.
var knownHeaders = []string{
	"Accept", "Connection", "Host", "User-Agent", "Accept-Charset", "Accept-Encoding", "Accept-Language",
	"Access-Control-Request-Headers", "Access-Control-Request-Method", "Alt-Used", "Authorization", "baggage",
	"Cache-Control", "Content-Type", "Cookie", "Correlation-Context", "Date", "Expect", "From", "grpc-accept-encoding",
	"grpc-encoding", "grpc-timeout", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since",
	"Keep-Alive", "Max-Forwards", "Origin", "Pragma", "Proxy-Authorization", "Proxy-Connection", "Range", "Referer",
	"Request-Id", "TE", "traceparent", "tracestate", "Transfer-Encoding", "Translate", "Upgrade",
	"Upgrade-Insecure-Requests", "Via", "Warning", "Content-Length",
}

// orderedHeaders are a request's headers in the web server's order.
func orderedHeaders(r *http.Request) []header {
	raw := rawHeaders(r)
	var ordered []header
	for _, name := range knownHeaders {
		for i, h := range raw {
			if strings.EqualFold(h.name, name) {
				ordered = append(ordered, header{name, h.values})
				raw = slices.Delete(raw, i, i+1)
				break
			}
		}
	}
	return append(ordered, raw...)
}

// rawHeaders are a request's headers as they came; sorted when the connection does not know them.
func rawHeaders(r *http.Request) []header {
	if c, ok := r.Context().Value(headKey{}).(*headConn); ok {
		c.mu.Lock()
		head := string(c.head)
		c.mu.Unlock()
		lines := strings.Split(head, "\r\n")
		if strings.HasPrefix(lines[0], r.Method+" "+r.RequestURI+" ") {
			return parseHead(lines[1:])
		}
	}
	headers := []header{{"Host", []string{r.Host}}}
	for name, values := range r.Header {
		headers = append(headers, header{name, values})
	}
	slices.SortFunc(headers[1:], func(a, b header) int { return strings.Compare(a.name, b.name) })
	return headers
}

func parseHead(lines []string) []header {
	var headers []header
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		value = textproto.TrimString(value)
		i := slices.IndexFunc(headers, func(h header) bool { return strings.EqualFold(h.name, name) })
		if i < 0 {
			headers = append(headers, header{name, []string{value}})
		} else {
			headers[i].values = append(headers[i].values, value)
		}
	}
	return headers
}
