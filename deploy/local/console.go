package main

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"slices"
	"sync"
)

// console takes what the host prints. All of it goes on to a file; how runs ended is picked out.
type console struct {
	file io.Writer

	mu      sync.Mutex
	partial []byte
	ended   map[string][]bool // by function: whether each finished run succeeded
	errors  []string          // the last few
	news    chan struct{}     // closed, and replaced, when a run has ended
}

func newConsole(file io.Writer) *console {
	return &console{file: file, ended: map[string][]bool{}, news: make(chan struct{})}
}

// executed is the line with which the Functions host ends each run.
var executed = regexp.MustCompile(`Executed 'Functions\.([A-Za-z0-9_-]+)' \((Succeeded|Failed)`)

const keptErrors = 5

// isError recognises an error record of a handler (pkg/customhandler) in a line of the host.
func isError(line []byte) bool { return bytes.Contains(line, []byte(`"level":"error"`)) }

// lastErrors are the newest error records, oldest first.
func (c *console) lastErrors() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.errors)
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
		if isError(line) {
			c.errors = append(c.errors[max(0, len(c.errors)+1-keptErrors):], string(line))
		}
		if match := executed.FindSubmatch(line); match != nil {
			function := string(match[1])
			c.ended[function] = append(c.ended[function], string(match[2]) == "Succeeded")
			close(c.news)
			c.news = make(chan struct{})
		}
		c.partial = rest
	}
	return c.file.Write(p)
}

// runs counts the finished runs of a function.
func (c *console) runs(function string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ended[function])
}

// awaitRun waits until a function has finished more runs than before, and reports whether the last one succeeded.
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
