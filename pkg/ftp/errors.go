package ftp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"

	"github.com/jlaffaye/ftp"
)

// Classes of failure, for errors.Is. Whatever has none of them is unexpected.
var (
	ErrNotFound    = errors.New("not found")                // no such file or folder
	ErrForbidden   = errors.New("not allowed")              // it is there, but this user may not
	ErrDenied      = errors.New("login refused")            // do not repeat soon: accounts get locked
	ErrBusy        = errors.New("server busy")              // try later; on a new connection if Conn.Broken
	ErrLost        = errors.New("connection lost")          // network failure, or the server hung up
	ErrTimeout     = errors.New("server silent")            // no progress for IdleTimeout, or no connection for ConnectTimeout
	ErrCert        = errors.New("certificate not accepted") // see the hint: CA file, pin, or the server's name
	ErrUnsupported = errors.New("command not supported")    // by this server, for instance REST
	ErrChanged     = errors.New("file changed meanwhile")   // the bytes received are not the size announced
	ErrBadName     = errors.New("unusable name")            // a name or path that cannot be carried safely
	ErrLostLines   = errors.New("listing not understood")   // a line of a listing that could not be read
)

// Error is a failed operation. It wraps its class and, where the context ended the operation, the context's cause; never
// what a socket said, since io.EOF would be taken for a good end and a timeout of the network for one of the context.
type Error struct {
	Op      string // what was tried: "connect", "log in", "list", "open", "read", ...
	Path    string // on which file or folder, if any
	Code    int    // the server's reply code, 0 if there was no reply
	Message string // the server's text, or what happened
	Hint    string // what to do, if known

	class  error
	cause  error
	inStep bool // found without asking the server: the connection is as good as before
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("ftp " + e.Op)
	if e.Path != "" {
		fmt.Fprintf(&b, " %q", e.Path)
	}
	b.WriteString(": ")
	if e.Code != 0 {
		fmt.Fprintf(&b, "the server answered %d %q", e.Code, e.Message)
	} else {
		b.WriteString(e.Message)
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap gives the class and the cause, where there are such.
func (e *Error) Unwrap() []error {
	var all []error
	for _, err := range []error{e.class, e.cause} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// replyOf finds the server's reply in an error of the library; a reply outranks what the sockets said.
func replyOf(err error) *textproto.Error {
	var reply *textproto.Error
	if errors.As(err, &reply) {
		return reply
	}
	return nil
}

// failure turns what went wrong into an *Error, closes the connection unless it is still in step, and keeps the
// password out of it.
func (c *Conn) failure(op, name string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	known := errors.As(err, &e)
	replied := replyOf(err) != nil || known && e.Code != 0
	switch cause := context.Cause(c.ctx); {
	case cause != nil && !replied:
		e = &Error{Message: cause.Error(), cause: cause} // what the closed sockets say is only its echo
	case !known:
		e = c.explain(op, err)
	}
	e.Op, e.Path = op, name
	if e.class == ErrDenied && c.cfg.Security == Cleartext {
		e.Hint = "a server that wants TLS answers like this too: then set security to explicit"
	}
	if secret := c.cfg.Password.Reveal(); secret != "" {
		e.Message = strings.ReplaceAll(e.Message, secret, "[redacted]")
	}
	if !e.inStep && (e.Code == 0 || outOfStep(e.Code)) {
		c.wires.cut()
	}
	return e
}

// outOfStep tells after which replies a connection is not worth keeping.
func outOfStep(code int) bool {
	switch code {
	case ftp.StatusNotAvailable, ftp.StatusCanNotOpenDataConnection, ftp.StatusTransfertAborted, ftp.StatusActionAborted,
		ftp.StatusNotLoggedIn:
		return true
	}
	return code < 400
}

func (c *Conn) explain(op string, err error) *Error {
	if reply := replyOf(err); reply != nil {
		return judge(op, reply.Code, reply.Msg)
	}
	if e := certFailure(err); e != nil {
		return e
	}
	asked := c.ctl.asked()
	var record tls.RecordHeaderError
	var protocol textproto.ProtocolError
	switch {
	case isTimeout(err):
		return &Error{Message: fmt.Sprintf("%s: the server was silent for %s", asked, c.cfg.IdleTimeout), class: ErrTimeout}
	case errors.As(err, &record):
		return &Error{Message: "the server does not speak TLS here", class: ErrLost,
			Hint: "with implicit security the port must speak TLS from the first byte (usually 990); try explicit"}
	case errors.As(err, &protocol):
		return &Error{Message: fmt.Sprintf("%s: the answer is not FTP: %s", asked, err)}
	case hungUp(err) && c.ctl.said(ftp.StatusNotAvailable):
		return judge(op, c.ctl.reply.Code, c.ctl.reply.Msg) // the library tried another command after it
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Message: asked + ": the server closed the connection", class: ErrLost}
	case hungUp(err):
		return &Error{Message: asked + ": " + err.Error(), class: ErrLost}
	case op == "log in" && c.ctl.reply.Code != 0:
		return judge(op, c.ctl.reply.Code, c.ctl.reply.Msg)
	}
	return &Error{Message: asked + ": " + err.Error()}
}

// hungUp tells a failure of the network, or of the other side, from one in what was said.
func hungUp(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// unsupported tells whether err is the server's way to say that it lacks a command.
func unsupported(err error) bool {
	reply := replyOf(err)
	return reply != nil && judge("", reply.Code, reply.Msg).class == ErrUnsupported
}
