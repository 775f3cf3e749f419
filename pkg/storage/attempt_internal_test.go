package storage

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"
)

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// TestAFailedTryTakesNothingFromTheNext keeps reading the body of a try after it has failed, as net/http may.
func TestAFailedTryTakesNothingFromTheNext(t *testing.T) {
	t.Parallel()
	lost := errors.New("connection lost")
	for name, answer := range map[string]func() (*http.Response, error){
		"no answer":   func() (*http.Response, error) { return nil, lost },
		"an early no": func() (*http.Response, error) { return &http.Response{StatusCode: 503, Body: http.NoBody}, nil },
	} {
		content := bytes.NewReader(make([]byte, 1<<20))
		ended := make(chan struct{})
		first := attempts{transport(func(r *http.Request) (*http.Response, error) {
			go func() {
				defer close(ended)
				for {
					if _, err := r.Body.Read(make([]byte, 10)); err != nil {
						return
					}
				}
			}()
			return answer()
		})}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://storage", content)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := first.RoundTrip(req); err != nil && !errors.Is(err, lost) {
			t.Fatal(err)
		}
		if _, err := content.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		if left, err := io.ReadAll(content); err != nil || len(left) != 1<<20 {
			t.Errorf("%s: the next try gets %d bytes, %v", name, len(left), err)
		}
		<-ended
	}
}
