package ftp

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"

	"github.com/jlaffaye/ftp"
)

// dial opens one TCP connection within ConnectTimeout and ties it to the Conn's fate.
func (c *Conn) dial(address string) (*link, error) {
	dialer := net.Dialer{
		Timeout:         c.cfg.ConnectTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive},
	}
	conn, err := dialer.DialContext(c.ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c.wires.add(conn)
	return &link{Conn: conn, idle: c.cfg.IdleTimeout}, nil
}

// dialControl connects and secures the control connection. AUTH TLS is spoken here and not left to the library, so that
// certificate errors appear here, both kinds of TLS are alike to it, and replies can be read in clear.
func (c *Conn) dialControl(address string, tlsConfig *tls.Config) (net.Conn, error) {
	conn, err := c.dial(address)
	if err != nil {
		return nil, connectFailure("connect to "+address, c.cfg, err)
	}
	c.ctl.Conn = conn
	if tlsConfig == nil {
		return c.ctl, nil
	}
	if c.cfg.Security == Explicit {
		if err := c.authTLS(); err != nil {
			return nil, err
		}
	}
	secured := tls.Client(conn, tlsConfig)
	c.ctl.verb = "TLS"
	if err := secured.HandshakeContext(c.ctx); err != nil {
		return nil, fmt.Errorf("agree on TLS: %w", err)
	}
	c.ctl.verb, c.ctl.Conn = "", secured
	return c.ctl, nil
}

// authTLS reads the greeting, keeps it for the library, and asks for TLS (RFC 4217, section 4).
func (c *Conn) authTLS() error {
	buffered := bufio.NewReader(c.ctl)
	reader := textproto.NewReader(buffered)
	if _, _, err := reader.ReadResponse(ftp.StatusReady); err != nil {
		return c.greetingFailure(err)
	}
	if _, err := io.WriteString(c.ctl, "AUTH TLS\r\n"); err != nil {
		return err
	}
	_, _, err := reader.ReadResponse(ftp.StatusAuthOK)
	if reply := replyOf(err); reply != nil {
		e := judge("AUTH TLS", reply.Code, reply.Msg)
		if e.class != ErrBusy {
			e.class = ErrUnsupported
			e.Hint = "the server refuses TLS on this port (AUTH TLS); if it has a port for implicit TLS (usually 990), set " +
				"security to implicit; only if password and files may be read on the way, to cleartext"
		}
		return e
	}
	if err != nil {
		return err
	}
	if buffered.Buffered() > 0 {
		return &Error{Message: "the server, or someone between, sent text in clear after agreeing to TLS", class: ErrCert}
	}
	c.ctl.greeting = []byte("220 ready\r\n")
	return nil
}

func (c *Conn) greetingFailure(err error) error {
	if isTimeout(err) {
		return &Error{Message: fmt.Sprintf("no greeting within %s", c.cfg.IdleTimeout), class: ErrTimeout, cause: os.ErrDeadlineExceeded,
			Hint: "a port that speaks TLS from the first byte (usually 990) does this: then set security to implicit"}
	}
	return err
}

// dialData opens a data connection. Its TLS handshake happens at the first read: proftpd and pure-ftpd start theirs only
// after the command that uses the connection, and a handshake before that would wait for ever.
func (c *Conn) dialData(address string, tlsConfig *tls.Config) (net.Conn, error) {
	l, err := c.dial(address)
	if err != nil {
		return nil, connectFailure("open data connection to "+address, c.cfg, err)
	}
	d := &dataConn{Conn: l, close: func() { c.wires.remove(l.Conn) }}
	if tlsConfig != nil {
		d.Conn = tls.Client(l, tlsConfig)
	}
	if c.listing != nil {
		c.listing.Conn = d
		return c.listing, nil
	}
	return d, nil
}

// dataConn closes without an error: the server may have hung up first, and its final reply is what counts.
type dataConn struct {
	net.Conn
	close func()
}

func (d *dataConn) Close() error {
	d.Conn.Close()
	d.close()
	return nil
}

func connectFailure(what string, cfg Config, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	e := &Error{Message: what + ": " + err.Error(), class: ErrLost, cause: err}
	if isTimeout(err) {
		e.Message, e.class = fmt.Sprintf("%s: no connection within %s", what, cfg.ConnectTimeout), ErrTimeout
		e.Hint = "check that no firewall is between (passive FTP also needs the server's range of data ports)"
	}
	return e
}
