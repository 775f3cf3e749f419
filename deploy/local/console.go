package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// console takes what the host prints. All of it goes on to a file; how runs ended is picked out.
type console struct {
	file io.Writer

	mu      sync.Mutex
	partial []byte
	byHand  map[string]bool   // ids of the runs started through the admin API that have not ended
	ended   map[string][]bool // by function: whether each run that ended, of those, succeeded
	errors  []string          // the last few
	news    chan struct{}     // closed, and replaced, when a run has ended or an error was told
}

func newConsole(file io.Writer) *console {
	return &console{file: file, byHand: map[string]bool{}, ended: map[string][]bool{}, news: make(chan struct{})}
}

// The lines between which the host runs a function. Its timer may fire on its own schedule meanwhile: only runs by hand
// count. The id can be missing from the line of a failure whose reason has several lines.
var (
	executing = regexp.MustCompile(`Executing 'Functions\.[A-Za-z0-9_-]+' \(.*programmatically called.*invocation=([0-9a-f-]+)`)
	executed  = regexp.MustCompile(`Executed 'Functions\.([A-Za-z0-9_-]+)' \((Succeeded|Failed)(?:.*invocation=([0-9a-f-]+))?`)
)

const keptErrors = 5

// errorLimit bounds the wait for the reason of a run that has failed: the handler's own words come over another pipe than
// the host's, and may be later.
const errorLimit = 5 * time.Second

// errorOf finds what an error record of a handler (pkg/customhandler) says, in a line of the host.
func errorOf(line []byte) (text string, found bool) {
	_, record, found := bytes.Cut(line, []byte("{"))
	if !found {
		return "", false
	}
	var r struct{ Level, Msg, Error string }
	if json.Unmarshal(append([]byte("{"), record...), &r) != nil || r.Level != "error" {
		return "", false
	}
	return strings.TrimSuffix(r.Msg+": "+r.Error, ": "), true
}

// lastErrors are the newest errors that handlers have told, oldest first. It waits a moment for the first.
func (c *console) lastErrors(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, errorLimit)
	defer cancel()
	for {
		c.mu.Lock()
		errors, news := slices.Clone(c.errors), c.news
		c.mu.Unlock()
		if len(errors) > 0 {
			return errors
		}
		select {
		case <-news:
		case <-ctx.Done():
			return []string{"the app told no reason"}
		}
	}
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.partial = append(c.partial, p...)
	for {
		line, rest, found := bytes.Cut(c.partial, []byte("\n"))
		if !found {
			break
		}
		if text, found := errorOf(line); found {
			c.errors = append(c.errors[max(0, len(c.errors)+1-keptErrors):], text)
			c.announce()
		}
		if match := executing.FindSubmatch(line); match != nil {
			c.byHand[string(match[1])] = true
		}
		if match := executed.FindSubmatch(line); match != nil {
			c.end(string(match[1]), string(match[2]) == "Succeeded", string(match[3]))
		}
		c.partial = rest
	}
	return c.file.Write(p)
}

func (c *console) end(function string, succeeded bool, id string) {
	if id != "" && !c.byHand[id] {
		return
	}
	delete(c.byHand, id)
	c.ended[function] = append(c.ended[function], succeeded)
	c.announce()
}

func (c *console) announce() {
	close(c.news)
	c.news = make(chan struct{})
}

// runs counts the finished runs by hand of a function.
func (c *console) runs(function string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ended[function])
}

// awaitRun waits until a function has finished more runs by hand than before, and reports whether the last one succeeded.
func (c *console) awaitRun(ctx context.Context, function string, before int) (succeeded bool, err error) {
	for {
		c.mu.Lock()
		ended, news := c.ended[function], c.news
		c.mu.Unlock()
		if len(ended) > before {
			return ended[len(ended)-1], nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}
