package ftp

import (
	"context"
	"fmt"
	"io"

	"github.com/jlaffaye/ftp"
)

// Open starts a download at offset (REST). The reader gives io.EOF only when the server has confirmed the transfer and,
// where SIZE works, every byte up to that size has come; else an *Error: ErrChanged for a wrong count, ErrUnsupported where
// the server cannot start at an offset. Close gives the same verdict; before the last byte it is an error, and closes the
// connection. Until Close the connection serves nothing else, and ctx must live.
func (c *Conn) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if offset < 0 {
		return nil, &Error{Op: "open", Path: name, Message: fmt.Sprintf("negative offset %d", offset)}
	}
	stop, err := c.begin(ctx, "open", name)
	if err != nil {
		return nil, err
	}
	t, err := c.open(name, offset)
	if err != nil {
		stop()
		return nil, c.failure("open", name, err)
	}
	t.stop = stop
	c.transfer = t
	return t, nil
}

func (c *Conn) open(name string, offset int64) (*transfer, error) {
	full := c.abs(name)
	size, sized := c.known.size, c.known.path == full
	c.known = knownSize{}
	if !sized {
		var err error
		size, err = c.lib.FileSize(full)
		if err != nil && replyOf(err) == nil {
			return nil, err
		}
		sized = err == nil
	}
	if sized && offset > size {
		return nil, &Error{Message: fmt.Sprintf("cannot start at byte %d: the file has %d", offset, size),
			class: ErrChanged, inStep: true}
	}
	response, err := c.lib.RetrFrom(full, uint64(offset))
	if reply := replyOf(err); reply != nil && sized {
		e := judge("open", reply.Code, reply.Msg)
		if e.class == ErrNotFound && !saysMissing(reply.Msg) {
			e.class = ErrForbidden // it has a size, so it is there
		}
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	t := &transfer{conn: c, name: name, response: response, want: -1}
	if sized {
		t.want = size - offset
	}
	return t, nil
}

// transfer is a download under way.
type transfer struct {
	conn     *Conn
	name     string
	response *ftp.Response
	stop     func() bool
	want     int64 // bytes to come in all, -1 if not known
	got      int64
	verdict  error // nil while running, io.EOF after success
}

func (t *transfer) Read(p []byte) (int, error) {
	if t.verdict != nil {
		return 0, t.verdict
	}
	n, err := t.response.Read(p)
	t.got += int64(n)
	if err != nil {
		t.finish(err)
		return n, t.verdict
	}
	return n, nil
}

// Close ends the transfer.
func (t *transfer) Close() error {
	if t.verdict == nil && t.got == t.want {
		t.Read(make([]byte, 1)) // the end has only not been looked at
	}
	if t.verdict == nil {
		// Stopping early: what the server would still say is not worth waiting for.
		t.conn.wires.cut()
		t.response.Close()
		t.settle(&Error{Message: fmt.Sprintf("closed after %d bytes, before the end", t.got)})
	}
	if t.verdict == io.EOF {
		return nil
	}
	return t.verdict
}

// finish asks for the server's final reply, which alone tells whether the data connection ended because the file did.
func (t *transfer) finish(readErr error) {
	if readErr != io.EOF && isTimeout(readErr) {
		t.conn.wires.cut() // no second wait on the control connection
		t.response.Close()
		t.settle(&Error{Message: fmt.Sprintf("no data within %s, after %d bytes", t.conn.cfg.IdleTimeout, t.got),
			class: ErrTimeout})
		return
	}
	err := accept(t.response.Close())
	switch {
	case readErr != io.EOF && replyOf(err) != nil:
		t.settle(err)
	case readErr != io.EOF:
		t.settle(readErr)
	case err != nil:
		t.settle(err)
	case t.want >= 0 && t.got != t.want:
		t.settle(&Error{Message: fmt.Sprintf("%d bytes came, %d were announced", t.got, t.want), class: ErrChanged})
	default:
		t.settle(nil)
	}
}

func (t *transfer) settle(err error) {
	c := t.conn
	c.transfer = nil
	t.verdict = io.EOF
	if err != nil {
		t.verdict = c.failure("read", t.name, err)
		c.wires.cut() // after any data error the connection's state is anyone's guess
	}
	t.stop()
}

// accept takes a final 250 for 226, as some servers send it.
func accept(err error) error {
	if reply := replyOf(err); reply != nil && reply.Code == ftp.StatusRequestedFileActionOK {
		return nil
	}
	return err
}
