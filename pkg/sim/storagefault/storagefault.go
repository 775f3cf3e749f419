// Package storagefault breaks storage requests on their way: a proxy on loopback between a program and the storage emulator.
//
// The program under test, in this process or in another, gets the proxy's ConnectionString instead of the emulator's. Requests
// pass unchanged (their signatures do not cover the host) until a Fault matches: then a request fails before it reaches the
// emulator, or fails although it was stored, or waits, or its answer breaks off. The proxy remembers every request.
//
// It does not know TLS, and it does not change bodies.
package storagefault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
)

// Service is one of the account's services.
type Service string

// The services behind the proxy.
const (
	Blob  Service = "blob"
	Queue Service = "queue"
)

// Proxy stands before one emulator.
type Proxy struct {
	connection string
	servers    []*http.Server
	upstream   *http.Transport
	stopped    context.Context
	stop       context.CancelFunc
	serving    sync.WaitGroup

	mu       sync.Mutex
	faults   []*Injected
	requests []Request
}

// Start runs a proxy before the account of a connection string that names its endpoints, as the emulator's does.
func Start(connection string) (*Proxy, error) {
	p := &Proxy{upstream: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}
	p.stopped, p.stop = context.WithCancel(context.Background())
	var parts []string
	for part := range strings.SplitSeq(connection, ";") {
		name, value, _ := strings.Cut(part, "=")
		service := map[string]Service{"BlobEndpoint": Blob, "QueueEndpoint": Queue}[name]
		if service == "" {
			parts = append(parts, part)
			continue
		}
		address, err := p.serve(service, value)
		if err != nil {
			p.Stop()
			return nil, fmt.Errorf("start a proxy for %s: %w", name, err)
		}
		parts = append(parts, name+"="+address)
	}
	if len(p.servers) == 0 {
		return nil, errors.New("start a storage proxy: the connection string names no BlobEndpoint or QueueEndpoint")
	}
	p.connection = strings.Join(parts, ";")
	return p, nil
}

// serve forwards one service and returns its new endpoint.
func (p *Proxy) serve(service Service, endpoint string) (string, error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	quiet := log.New(io.Discard, "", 0) // broken requests are the point
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
		},
		Transport:     roundTripper(func(r *http.Request) (*http.Response, error) { return p.roundTrip(service, target.Path, r) }),
		ErrorLog:      quiet,
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		FlushInterval: -1,
	}
	server := &http.Server{Handler: forward, ErrorLog: quiet}
	p.servers = append(p.servers, server)
	p.serving.Go(func() { _ = server.Serve(listener) })
	return "http://" + listener.Addr().String() + target.Path, nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// ConnectionString is what AzureWebJobsStorage must hold to go through the proxy.
func (p *Proxy) ConnectionString() string { return p.connection }

// Requests are all requests so far, in the order in which they were finished.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Request(nil), p.requests...)
}

// Stop ends the proxy; requests under way break. It may be called more than once.
func (p *Proxy) Stop() {
	p.stop()
	for _, s := range p.servers {
		s.Close()
	}
	p.serving.Wait()
	p.upstream.CloseIdleConnections()
}

func (p *Proxy) roundTrip(service Service, base string, out *http.Request) (*http.Response, error) {
	r := describe(service, base, out)
	fault := p.match(r)
	resp, err := p.apply(fault, out)
	if resp != nil {
		r.Status = resp.StatusCode
	}
	r.Faulted = fault != nil
	p.mu.Lock()
	p.requests = append(p.requests, r)
	p.mu.Unlock()
	return resp, err
}

// match finds the first fault that wants the request.
func (p *Proxy) match(r Request) *Injected {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.faults {
		if f.takes(r) {
			return f
		}
	}
	return nil
}

func (p *Proxy) apply(f *Injected, out *http.Request) (*http.Response, error) {
	if f == nil {
		return p.upstream.RoundTrip(out)
	}
	if !f.fault.Stored {
		return f.fault.Effect(p, out, func() (*http.Response, error) { return p.upstream.RoundTrip(out) })
	}
	resp, err := p.upstream.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	return f.fault.Effect(p, out, func() (*http.Response, error) { return resp, nil })
}
