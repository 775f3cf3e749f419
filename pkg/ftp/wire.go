package ftp

import (
	"bytes"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"
)

// link is one TCP connection whose every Read and Write must make progress within idle.
type link struct {
	net.Conn
	idle time.Duration
}

func (l *link) Read(p []byte) (int, error) {
	if err := l.SetReadDeadline(time.Now().Add(l.idle)); err != nil {
		return 0, err
	}
	return l.Conn.Read(p)
}

func (l *link) Write(p []byte) (int, error) {
	if err := l.SetWriteDeadline(time.Now().Add(l.idle)); err != nil {
		return 0, err
	}
	return l.Conn.Write(p)
}

// wires are the sockets of one Conn: control and at most one data connection. cut may come from any goroutine.
type wires struct {
	mu   sync.Mutex
	open []net.Conn
	down bool
}

// add takes charge of conn, and closes it at once where the wires have been cut already.
func (w *wires) add(conn net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		conn.Close()
		return
	}
	w.open = append(w.open, conn)
}

func (w *wires) remove(conn net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, c := range w.open {
		if c == conn {
			w.open = append(w.open[:i], w.open[i+1:]...)
			return
		}
	}
}

// cut closes every socket, below TLS, so that it never blocks and ends whatever waits.
func (w *wires) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = true
	for _, conn := range w.open {
		conn.Close()
	}
	w.open = nil
}

func (w *wires) isCut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.down
}

// control is the control connection as the library gets it: secured already, remembering which command waits for its
// reply and what the last reply was, and failing for good at the first failure (the library would go on and wait again).
type control struct {
	net.Conn
	greeting []byte // stands for the one already read; the library wants to see it
	verb     string
	line     []byte          // the reply line being read, as far as it is kept
	reply    textproto.Error // the last reply; the library sometimes keeps only its text
	failed   error
}

const maxReply = 512 // bytes kept of a reply line

func (c *control) Read(p []byte) (int, error) {
	if len(c.greeting) > 0 {
		n := copy(p, c.greeting)
		c.greeting = c.greeting[n:]
		return n, nil
	}
	if c.failed != nil {
		return 0, c.failed
	}
	n, err := c.Conn.Read(p)
	c.note(p[:n])
	c.failed = err
	return n, err
}

func (c *control) Write(p []byte) (int, error) {
	if c.failed != nil {
		return 0, c.failed
	}
	if verb, _, _ := strings.Cut(strings.TrimSpace(string(p[:min(len(p), 16)])), " "); isVerb(verb) {
		c.verb = verb // the rest of the line may be the password
	}
	n, err := c.Conn.Write(p)
	c.failed = err
	return n, err
}

func isVerb(s string) bool {
	return len(s) >= 3 && len(s) <= 4 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// note keeps the last line that ends a reply.
func (c *control) note(p []byte) {
	for len(p) > 0 {
		part, rest, complete := bytes.Cut(p, []byte("\n"))
		c.line = append(c.line, part[:min(len(part), maxReply-len(c.line))]...)
		if !complete {
			return
		}
		code, text, _ := strings.Cut(strings.TrimRight(string(c.line), "\r"), " ")
		if number, err := strconv.Atoi(code); err == nil && len(code) == 3 {
			c.reply = textproto.Error{Code: number, Msg: text}
		}
		c.line = c.line[:0]
		p = rest
	}
}

// asked says in words what the server was last asked.
func (c *control) asked() string {
	switch {
	case c == nil || c.Conn == nil:
		return "connect"
	case c.verb == "":
		return "waiting for the greeting"
	}
	return c.verb
}

func (c *control) said(code int) bool { return c != nil && c.reply.Code == code }
