package simwinrm

import (
	"context"
	"io"
	"sync"
	"time"
)

// chunk is a piece of output, as the command wrote it.
type chunk struct {
	stream string // stdout or stderr
	data   []byte
}

// maxUnread is the output that a command may be ahead of its reader, as a pipe makes it wait on Windows.
const maxUnread = 1 << 20

const exitInterrupted = 0xC000013A // STATUS_CONTROL_C_EXIT

// command is one process in a shell, with what it has written and nobody has fetched.
type command struct {
	id    string
	stdin *input
	kill  context.CancelFunc

	mu         sync.Mutex
	changed    chan struct{} // closed at each change, then replaced
	output     []chunk
	unread     int
	exit       *uint32
	terminated bool
	reading    bool
	cutAfter   int64 // a fault: die after so many bytes of stdout; negative for never
	cutCode    uint32
	repeat     []chunk // a fault: what the next Receive delivers again
}

func newCommand(kill context.CancelFunc) *command {
	return &command{id: newID(), stdin: newInput(), kill: kill, changed: make(chan struct{}), cutAfter: -1}
}

// notify wakes all who wait for a change; c.mu is held.
func (c *command) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// run executes the program to its end.
func (c *command) run(ctx context.Context, program Program, p *Process) {
	defer context.AfterFunc(ctx, func() { c.stdin.close(io.ErrClosedPipe) })() // or a killed process would read for ever
	p.Stdin, p.Stdout, p.Stderr = c.stdin, &output{ctx, c, "stdout"}, &output{ctx, c, "stderr"}
	code := program(ctx, p)
	if ctx.Err() != nil {
		code = exitInterrupted
	}
	c.stdin.close(io.ErrClosedPipe)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.exit == nil {
		c.exit = &code
	}
	c.notify()
}

// stop ends the process; a terminated command has no result any more.
func (c *command) stop(terminate bool) {
	c.mu.Lock()
	c.terminated = c.terminated || terminate
	c.notify()
	c.mu.Unlock()
	c.kill()
}

func (c *command) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.exit != nil
}

// dieAfter makes the process end after so many bytes of stdout.
func (c *command) dieAfter(bytes int64, code uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutAfter, c.cutCode = bytes, code
	if bytes == 0 {
		c.die()
	}
}

// die is the death that a fault ordered; c.mu is held.
func (c *command) die() {
	if c.exit == nil {
		code := c.cutCode
		c.exit = &code
	}
	c.notify()
	c.kill()
}

// output is stdout or stderr as the process sees it.
type output struct {
	ctx    context.Context
	c      *command
	stream string
}

func (o *output) Write(data []byte) (int, error) {
	c := o.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.unread > maxUnread && o.ctx.Err() == nil && c.exit == nil {
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-o.ctx.Done():
		}
		c.mu.Lock()
	}
	if o.ctx.Err() != nil || c.exit != nil {
		return 0, io.ErrClosedPipe
	}
	kept, dies := data, false
	if o.stream == "stdout" && c.cutAfter >= 0 {
		dies = int64(len(data)) >= c.cutAfter
		kept = data[:min(int64(len(data)), c.cutAfter)]
		c.cutAfter -= int64(len(kept))
	}
	if len(kept) > 0 {
		c.output = append(c.output, chunk{o.stream, append([]byte(nil), kept...)})
		c.unread += len(kept)
		c.notify()
	}
	if dies {
		c.die()
		return len(kept), io.ErrClosedPipe
	}
	return len(data), nil
}

// shape says how output is cut into a reply.
type shape struct {
	room   int // base64 bytes
	piece  int // longest chunk; 0 means as written
	pieces int // most chunks a reply; 0 means any number
	late   bool
	twice  bool
}

// wait returns the next output, and the exit code with the last of it. It faults after timeout without either.
func (c *command) wait(ctx context.Context, timeout time.Duration, sh shape) ([]chunk, *uint32, *soapFault) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reading {
		return nil, nil, faultPointer(CodeBusy)
	}
	c.reading = true
	defer func() { c.reading = false }()
	for {
		switch {
		case c.terminated:
			return nil, nil, faultPointer(CodeAborted)
		case sh.late && (len(c.output) > 0 || c.exit != nil):
			return nil, nil, nil
		case len(c.output) > 0 || len(c.repeat) > 0 || c.exit != nil:
			chunks := c.take(sh)
			if len(c.output) > 0 {
				return chunks, nil, nil
			}
			return chunks, c.exit, nil
		}
		changed := c.changed
		c.mu.Unlock()
		var gone bool
		select {
		case <-changed:
		case <-timer.C:
			gone = true
		case <-ctx.Done():
			gone = true
		}
		c.mu.Lock()
		if gone && len(c.output) == 0 && c.exit == nil && !c.terminated {
			return nil, nil, faultPointer(CodeTimedOut)
		}
	}
}

// take removes what fits into a reply; c.mu is held.
func (c *command) take(sh shape) []chunk {
	taken := c.repeat
	c.repeat = nil
	room := sh.room
	for len(c.output) > 0 && (sh.pieces == 0 || len(taken) < sh.pieces) {
		next := c.output[0]
		size := len(next.data)
		if sh.piece > 0 {
			size = min(size, sh.piece)
		}
		size = min(size, max(room-streamOverhead, 0)/4*3)
		if size == 0 {
			break
		}
		taken = append(taken, chunk{next.stream, next.data[:size]})
		room -= streamOverhead + (size+2)/3*4
		c.unread -= size
		if c.output[0].data = next.data[size:]; len(c.output[0].data) == 0 {
			c.output = c.output[1:]
		}
	}
	if sh.twice {
		c.repeat = taken
	}
	c.notify()
	return taken
}

// streamOverhead is an rsp:Stream element without its data.
const streamOverhead = 120

func faultPointer(code uint32) *soapFault {
	f := faultFor(code)
	return &f
}

// input is stdin: what Send brought and the process has not read.
type input struct {
	mu     sync.Mutex
	cond   *sync.Cond
	data   []byte
	closed error // io.EOF after the last Send
}

func newInput() *input {
	in := &input{}
	in.cond = sync.NewCond(&in.mu)
	return in
}

func (in *input) Read(p []byte) (int, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.data) == 0 && in.closed == nil {
		in.cond.Wait()
	}
	if len(in.data) == 0 {
		return 0, in.closed
	}
	n := copy(p, in.data)
	in.data = in.data[n:]
	return n, nil
}

// add appends what a Send brought; false tells that nobody will read it.
func (in *input) add(data []byte, end bool) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed != nil {
		return false
	}
	in.data = append(in.data, data...)
	if end {
		in.closed = io.EOF
	}
	in.cond.Broadcast()
	return true
}

func (in *input) close(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed == nil {
		in.closed = err
	}
	in.cond.Broadcast()
}
