package storagefault

import (
	"net/http"
	"net/url"
	"strings"
)

// Request is one request as the proxy saw it.
type Request struct {
	Service Service
	Op      string // the operation's name in Azure's reference: "Put Blob", "Put Message"; see operation
	Name    string // container/blob, container or queue, decoded
	Method  string
	Query   url.Values
	Header  http.Header
	Size    int64 // of the body, in bytes; -1 when it was not declared
	Status  int   // of the answer that the program got; 0 when it got none
	Faulted bool
}

func describe(service Service, base string, r *http.Request) Request {
	name := strings.Trim(strings.TrimPrefix(r.URL.Path, base), "/")
	return Request{
		Service: service, Op: operation(service, name, r), Name: name, Method: r.Method, Query: r.URL.Query(),
		Header: r.Header.Clone(), Size: r.ContentLength,
	}
}

// operation names a request as the reference of the two services does (Microsoft Learn, "Blob Storage REST API", "Queue
// Storage REST API"); for operations that Nightshift does not use, method and query.
func operation(service Service, name string, r *http.Request) string {
	q := r.URL.Query()
	comp := q.Get("comp")
	key := r.Method + " " + comp
	switch {
	case service == Queue:
		return queueOperation(name, key, r)
	case q.Get("restype") == "container":
		return known(map[string]string{"PUT ": "Create Container", "GET list": "List Blobs", "DELETE ": "Delete Container"}, key)
	case key == "PUT " && r.Header.Get("x-ms-copy-source") != "":
		return "Copy Blob"
	}
	return known(map[string]string{
		"PUT ": "Put Blob", "PUT block": "Put Block", "PUT blocklist": "Put Block List", "PUT lease": "Lease Blob",
		"GET ": "Get Blob", "GET blocklist": "Get Block List", "HEAD ": "Get Blob Properties", "DELETE ": "Delete Blob",
	}, key)
}

func queueOperation(name, key string, r *http.Request) string {
	_, rest, _ := strings.Cut(name, "/")
	switch {
	case rest == "messages" && r.URL.Query().Get("peekonly") == "true":
		return "Peek Messages"
	case rest == "messages":
		return known(map[string]string{"POST ": "Put Message", "GET ": "Get Messages", "DELETE ": "Clear Messages"}, key)
	case strings.HasPrefix(rest, "messages/"):
		return known(map[string]string{"PUT ": "Update Message", "DELETE ": "Delete Message"}, key)
	}
	return known(map[string]string{"PUT ": "Create Queue", "DELETE ": "Delete Queue", "GET metadata": "Get Queue Metadata"}, key)
}

func known(names map[string]string, key string) string {
	if name, ok := names[key]; ok {
		return name
	}
	return key
}
