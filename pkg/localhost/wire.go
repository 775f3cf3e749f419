package localhost

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// What the recorded host says of itself; handlers may look at it.
const (
	hostVersion = "4.1037.0.0"
	userAgent   = "Azure-Functions-Host/" + hostVersion
)

// maxReply bounds a handler's answer.
const maxReply = 100 << 20

// request is one HTTP/1.1 request to the handler, with its headers in order. net/http's client would send its own order
// and headers; handlers are to meet the bytes that they will meet in Azure.
type request struct {
	method, target string
	header         [][2]string
	body           []byte
	chunked        bool
}

// response is an answer, read to its end.
type response struct {
	status int
	header http.Header
	body   []byte
}

// invocationRequest is the request of every trigger that is not forwarded.
func invocationRequest(host, function, id string, body []byte) request {
	return request{
		method: http.MethodPost,
		target: "/" + function,
		header: [][2]string{
			{"Host", host},
			{"X-Azure-Functions-HostVersion", hostVersion},
			{"X-Azure-Functions-InvocationId", id},
			{"User-Agent", userAgent},
			{"Transfer-Encoding", "chunked"},
			{"Content-Type", "application/json; charset=utf-8"},
		},
		body:    body,
		chunked: true,
	}
}

// probeRequest asks whether the handler listens.
func probeRequest(host string) request {
	return request{method: http.MethodGet, target: "/", header: [][2]string{{"Host", host}}}
}

func (r request) write(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", r.method, r.target)
	for _, h := range r.header {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	switch {
	case r.chunked && len(r.body) > 0:
		fmt.Fprintf(&b, "%X\r\n", len(r.body))
		b.Write(r.body)
		b.WriteString("\r\n0\r\n\r\n")
	case r.chunked:
		b.WriteString("0\r\n\r\n")
	default:
		b.Write(r.body)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// wire keeps connections to one handler process for reuse.
type wire struct {
	address string
	mu      sync.Mutex
	idle    []*handlerConn
	closed  bool
}

type handlerConn struct {
	net.Conn
	r       *bufio.Reader
	watched chan error // of an idle connection: how its watch ended
}

// get reuses a connection that the handler still holds open, or dials.
func (w *wire) get(ctx context.Context) (*handlerConn, error) {
	for {
		w.mu.Lock()
		n := len(w.idle)
		if n == 0 {
			w.mu.Unlock()
			break
		}
		c := w.idle[n-1]
		w.idle = w.idle[:n-1]
		w.mu.Unlock()
		if c.alive() {
			return c, nil
		}
		c.Close()
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", w.address)
	if err != nil {
		return nil, err
	}
	return &handlerConn{Conn: conn, r: bufio.NewReader(conn)}, nil
}

// watch looks, while nothing is asked, for what the other side does: it should do nothing.
func (c *handlerConn) watch() {
	c.watched = make(chan error, 1)
	go func() {
		_, err := c.r.Peek(1)
		c.watched <- err
	}()
}

// alive ends the watch and says whether the other side has neither closed the connection nor sent something unasked.
func (c *handlerConn) alive() bool {
	c.SetReadDeadline(time.Unix(1, 0))
	err := <-c.watched
	c.SetReadDeadline(time.Time{})
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func (w *wire) put(c *handlerConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.idle) >= 64 {
		c.Close()
		return
	}
	c.watch()
	w.idle = append(w.idle, c)
}

func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, c := range w.idle {
		c.Close()
	}
	w.idle = nil
}

// send sends a request and reads the answer; when ctx ends first the connection is cut.
func (w *wire) send(ctx context.Context, r request) (response, error) {
	c, err := w.get(ctx)
	if err != nil {
		return response{}, ended(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { c.Close() })
	resp, keep, err := c.roundTrip(r)
	if !stop() || err != nil || !keep {
		c.Close()
		return resp, ended(ctx, err)
	}
	w.put(c)
	return resp, nil
}

// ended prefers the reason why ctx ended to the broken connection that followed from it.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (c *handlerConn) roundTrip(r request) (_ response, keep bool, err error) {
	if err := r.write(c); err != nil {
		return response{}, false, fmt.Errorf("send the request: %w", err)
	}
	answer, err := http.ReadResponse(c.r, &http.Request{Method: r.method})
	for err == nil && answer.StatusCode >= 100 && answer.StatusCode < 200 {
		answer, err = http.ReadResponse(c.r, &http.Request{Method: r.method})
	}
	if err != nil {
		return response{}, false, fmt.Errorf("the handler ended the connection without an answer: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxReply+1))
	answer.Body.Close()
	if err != nil {
		return response{}, false, fmt.Errorf("the handler cut its answer short: %w", err)
	}
	if len(body) > maxReply {
		return response{}, false, fmt.Errorf("the handler's answer is longer than %d bytes", maxReply)
	}
	return response{answer.StatusCode, answer.Header, body}, !answer.Close, nil
}

// follow sends a request and then wherever the answer redirects, as the host does for invocations.
func (w *wire) follow(ctx context.Context, r request) (response, error) {
	for range 50 {
		resp, err := w.send(ctx, r)
		location := resp.header.Get("Location")
		if err != nil || location == "" || !isRedirect(resp.status) {
			return resp, err
		}
		to, err := url.Parse(location)
		if err != nil || to.Host != "" && to.Host != w.address || to.Scheme != "" && to.Scheme != "http" {
			return response{}, fmt.Errorf("the handler redirects to %q, which is not itself", location)
		}
		r.target = (&url.URL{Path: r.target}).ResolveReference(to).RequestURI()
		if resp.status < 307 {
			r = r.asGet()
		}
	}
	return response{}, errors.New("the handler redirects for ever")
}

func isRedirect(status int) bool {
	switch status {
	case 300, 301, 302, 303, 307, 308:
		return true
	}
	return false
}

func (r request) asGet() request {
	header := r.header
	r.method, r.body, r.chunked, r.header = http.MethodGet, nil, false, nil
	for _, h := range header {
		if h[0] != "Transfer-Encoding" && h[0] != "Content-Type" && h[0] != "Content-Length" {
			r.header = append(r.header, h)
		}
	}
	return r
}

// clean keeps line ends out of a header.
func clean(text string) string {
	return strings.Map(func(c rune) rune {
		if c == '\r' || c == '\n' || c == 0 {
			return -1
		}
		return c
	}, text)
}
