package storage

import (
	"io"
	"net/http"
	"sync"
)

// attempts gives every try of a request a body of its own. net/http may go on reading the body of a try that has failed, while
// the SDK rewinds the same body for the next one: the next try would lose the bytes that the old one takes.
type attempts struct{ next http.RoundTripper }

func (a attempts) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return a.next.RoundTrip(req)
	}
	body := &attempt{inner: req.Body}
	own := req.WithContext(req.Context())
	own.Body, own.GetBody = body, nil
	resp, err := a.next.RoundTrip(own)
	if err != nil || resp.StatusCode >= http.StatusBadRequest {
		body.cut()
	}
	return resp, err
}

// attempt reads a request's body until it is cut off.
type attempt struct {
	mu    sync.Mutex
	inner io.ReadCloser
	over  bool
}

func (a *attempt) Read(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return 0, io.ErrUnexpectedEOF
	}
	return a.inner.Read(p)
}

// Close leaves the body to the SDK, which closes it after the last try.
func (a *attempt) Close() error { return nil }

func (a *attempt) cut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
}
