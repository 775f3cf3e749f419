package storagefault

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Fault says which requests break, and how.
type Fault struct {
	Match  func(Request) bool // nil matches every request
	Skip   int                // so many matching requests pass first
	Times  int                // so many are broken; 0 means all
	Stored bool               // the emulator gets the request, and answers, before the effect
	Effect Effect             // what the program sees
}

// Op matches requests by their operation's name, such as "Put Blob".
func Op(names ...string) func(Request) bool {
	return func(r Request) bool {
		for _, name := range names {
			if r.Op == name {
				return true
			}
		}
		return false
	}
}

// On matches requests of an operation on one container/blob, or on names that start so if it ends with "*".
func On(op, name string) func(Request) bool {
	return func(r Request) bool {
		if prefix, ok := strings.CutSuffix(name, "*"); ok {
			return r.Op == op && strings.HasPrefix(r.Name, prefix)
		}
		return r.Op == op && r.Name == name
	}
}

// Write matches every request that changes something.
func Write(r Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }

// Effect makes the answer to a broken request; forward gives the emulator's.
type Effect func(p *Proxy, r *http.Request, forward func() (*http.Response, error)) (*http.Response, error)

// Status answers with a status and a service error code, as the services do: 503 "ServerBusy", 500 "InternalError" (what the
// emulator says when its disk is full), 409 "BlobAlreadyExists".
func Status(status int, code string) Effect {
	return func(_ *Proxy, r *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
		// The rest of the request is read, so that the connection lives on.
		if r.Body != nil {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return nil, err
			}
		}
		body := fmt.Sprintf(`<?xml version="1.0" encoding="utf-8"?><Error><Code>%s</Code><Message>injected</Message></Error>`, code)
		header := http.Header{"Content-Type": {"application/xml"}}
		header.Set("x-ms-error-code", code)
		return &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: header, Request: r,
			ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}

var errCut = errors.New("connection cut by the storage proxy")

// Reset cuts the connection without an answer.
func Reset() Effect {
	return func(*Proxy, *http.Request, func() (*http.Response, error)) (*http.Response, error) {
		return nil, errCut
	}
}

// Hang gives no answer until the program gives up or the proxy stops.
func Hang() Effect {
	return func(p *Proxy, r *http.Request, _ func() (*http.Response, error)) (*http.Response, error) {
		select {
		case <-r.Context().Done():
		case <-p.stopped.Done():
		}
		return nil, errCut
	}
}

// Wait lets the request go on when the channel closes.
func Wait(gate <-chan struct{}) Effect {
	return func(p *Proxy, r *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		select {
		case <-gate:
			return forward()
		case <-r.Context().Done():
		case <-p.stopped.Done():
		}
		return nil, errCut
	}
}

// Truncate passes the first n bytes of the answer's body and cuts the connection.
func Truncate(n int64) Effect {
	return func(_ *Proxy, _ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		resp, err := forward()
		if err == nil {
			resp.Body = &truncated{ReadCloser: resp.Body, left: n}
		}
		return resp, err
	}
}

// Stall passes the first n bytes of the answer's body and then nothing, until the program gives up or the proxy stops.
func Stall(n int64) Effect {
	return func(p *Proxy, r *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		resp, err := forward()
		if err == nil {
			resp.Body = &truncated{ReadCloser: resp.Body, left: n, wait: func() {
				select {
				case <-r.Context().Done():
				case <-p.stopped.Done():
				}
			}}
		}
		return resp, err
	}
}

// truncated gives the first bytes of a body, waits if it is told to, and fails.
type truncated struct {
	io.ReadCloser
	left int64
	wait func()
}

func (t *truncated) Read(p []byte) (int, error) {
	if t.left == 0 {
		if t.wait != nil {
			t.wait()
		}
		return 0, errCut
	}
	n, err := t.ReadCloser.Read(p[:min(int64(len(p)), t.left)])
	t.left -= int64(n)
	return n, err
}

// Injected is a fault in force.
type Injected struct {
	fault Fault
	proxy *Proxy
	first chan struct{}
	once  sync.Once
	seen  int
	hits  int
}

// Inject puts a fault in force, behind those that are already.
func (p *Proxy) Inject(f Fault) *Injected {
	i := &Injected{fault: f, proxy: p, first: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, i)
	return i
}

// takes tells whether the fault breaks this request, and counts; the proxy's lock is held.
func (i *Injected) takes(r Request) bool {
	if i.fault.Match != nil && !i.fault.Match(r) {
		return false
	}
	i.seen++
	if i.seen <= i.fault.Skip || (i.fault.Times > 0 && i.hits == i.fault.Times) {
		return false
	}
	i.hits++
	i.once.Do(func() { close(i.first) })
	return true
}

// Hits is how many requests were broken so far.
func (i *Injected) Hits() int {
	i.proxy.mu.Lock()
	defer i.proxy.mu.Unlock()
	return i.hits
}

// Hit closes when the first request is about to break.
func (i *Injected) Hit() <-chan struct{} { return i.first }

// Remove ends the fault.
func (i *Injected) Remove() {
	i.proxy.mu.Lock()
	defer i.proxy.mu.Unlock()
	for n, f := range i.proxy.faults {
		if f == i {
			i.proxy.faults = append(i.proxy.faults[:n:n], i.proxy.faults[n+1:]...)
			return
		}
	}
}
