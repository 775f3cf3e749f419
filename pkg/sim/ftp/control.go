package simftp

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
)

// control stands between the client and the library's command loop, in clear even under TLS: it speaks AUTH TLS itself,
// records commands, and is where faults on the wire happen.
type control struct {
	net.Conn // as accepted
	server   *Server
	session  *Session

	reader *bufio.Reader
	line   []byte // what is left of the command to hand to the library

	mu        sync.Mutex
	plain     net.Conn // Conn, or TLS over it
	final     string   // replaces the reply that ends the transfer
	transfer  *Fault   // of the RETR under way
	lines     string   // raw listing of the RETR under way
	closeOnce sync.Once
}

var errHungUp = errors.New("simulated: hung up")

// Read gives the library the next command, after recording it and unless something is to go wrong with it.
func (c *control) Read(p []byte) (int, error) {
	for len(c.line) == 0 {
		line, err := c.reader.ReadString('\n')
		if err != nil {
			return 0, err
		}
		c.line, err = c.admit(strings.TrimRight(line, "\r\n"))
		if err != nil {
			return 0, err
		}
	}
	n := copy(p, c.line)
	c.line = c.line[n:]
	return n, nil
}

// admit returns the line that the library gets to see, nothing if the command has been dealt with.
func (c *control) admit(line string) ([]byte, error) {
	verb, argument := split(line)
	c.server.record(c.session, verb, argument)
	c.arm(nil, "", "")
	if fault := c.server.fault(verb, argument); fault != nil {
		if done, err := c.apply(fault, verb); done || err != nil {
			return nil, err
		}
		if fault.Kind == Lines {
			return []byte("RETR " + rawListing + "\r\n"), nil
		}
	}
	if verb == "AUTH" {
		return nil, c.authTLS(argument)
	}
	if verb == "USER" && c.server.options.RequireTLS && !c.secure() {
		return nil, c.reply("530 Non-anonymous sessions must use encryption.")
	}
	return []byte(line + "\r\n"), nil
}

// apply makes a fault happen; done means that the library shall not see the command.
func (c *control) apply(f *Fault, verb string) (done bool, err error) {
	switch {
	case f.Kind == Final:
		c.arm(nil, f.Reply, "")
		return false, nil
	case f.Kind == Lines:
		c.arm(nil, "", strings.TrimSuffix(f.Reply, "\r\n")+"\r\n")
		return false, nil
	case verb == "RETR" && (f.After > 0 || f.Kind == Short):
		c.arm(f, "", "")
		return false, nil
	case f.Kind == Answer:
		err = c.reply(f.Reply)
		if strings.HasPrefix(f.Reply, "421") {
			c.Conn.Close()
			err = errHungUp
		}
		return true, err
	case f.Kind == Die:
		c.Conn.Close()
	default:
		io.Copy(io.Discard, c.Conn) // until the client or Stop closes it
	}
	return true, errHungUp
}

// arm prepares what shall go wrong with the transfer that the library is about to begin.
func (c *control) arm(transfer *Fault, final, lines string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.transfer, c.final, c.lines = transfer, final, lines
}

// takeTransfer gives the file that is being opened its fault and, for a listing, its text.
func (c *control) takeTransfer() (*Fault, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, lines := c.transfer, c.lines
	c.transfer, c.lines = nil, ""
	return f, lines
}

func (c *control) secure() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.plain.(*tls.Conn)
	return ok
}

func (c *control) authTLS(argument string) error {
	if c.server.options.NoTLS {
		return c.reply("502 AUTH not implemented")
	}
	if err := c.reply("234 Proceed with negotiation."); err != nil {
		return err
	}
	return c.startTLS()
}

func (c *control) startTLS() error {
	secured := tls.Server(c.Conn, c.server.tls)
	if err := secured.Handshake(); err != nil {
		return err
	}
	c.mu.Lock()
	c.plain = secured
	c.mu.Unlock()
	c.reader.Reset(secured)
	return nil
}

func (c *control) reply(line string) error {
	_, err := io.WriteString(c, line+"\r\n")
	return err
}

// Write sends replies, the one that ends a transfer perhaps replaced.
func (c *control) Write(p []byte) (int, error) {
	c.mu.Lock()
	out, plain := p, c.plain
	if c.final != "" && (bytes.HasPrefix(p, []byte("226")) || bytes.HasPrefix(p, []byte("550 Issue"))) {
		out, c.final = []byte(c.final+"\r\n"), ""
	}
	c.mu.Unlock()
	if _, err := plain.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close also tells the server that the session is over; the library calls it last.
func (c *control) Close() error {
	err := c.Conn.Close()
	c.closeOnce.Do(func() { c.server.departed(c) })
	return err
}
