package ftp

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"

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

// dialControl connects, secures the connection and reads the greeting. All this is done here and not by the library, so that
// certificate errors appear here, both kinds of TLS are alike to it, and replies can be read in clear.
func (c *Conn) dialControl(address string, tlsConfig *tls.Config) (net.Conn, error) {
	conn, err := c.dial(address)
	if err != nil {
		return nil, connectFailure("connect to "+address, c.cfg, err)
	}
	c.ctl.Conn = conn
	switch c.cfg.Security {
	case Cleartext:
		err = c.greeting()
	case Implicit:
		if err = c.startTLS(conn, tlsConfig); err == nil {
			err = c.greeting()
		}
	case Explicit:
		if err = c.greeting(); err != nil {
			break
		}
		if err = c.authTLS(); err == nil {
			err = c.startTLS(conn, tlsConfig)
		}
	}
	if err != nil {
		return nil, err
	}
	c.ctl.verb, c.ctl.greeting = "", []byte("220 ready\r\n")
	return c.ctl, nil
}

func (c *Conn) startTLS(conn net.Conn, tlsConfig *tls.Config) error {
	c.ctl.verb = "TLS"
	secured := tls.Client(conn, tlsConfig)
	if err := secured.HandshakeContext(c.ctx); err != nil {
		return fmt.Errorf("agree on TLS: %w", err)
	}
	c.ctl.verb, c.ctl.Conn = "", secured
	c.dataTLS = tlsConfig.Clone()
	if curve := secured.ConnectionState().CurveID; curve != 0 {
		// Data connections offer what this server has chosen. Else every one of them would make keys for other curves first,
		// and with a server that wants another curve be sent back for it: four times the time of a small file.
		c.dataTLS.CurvePreferences = []tls.CurveID{curve}
	}
	return nil
}

// greeting reads the server's first reply.
func (c *Conn) greeting() error {
	reader := bufio.NewReader(c.ctl)
	first, err := reader.Peek(3)
	if err == nil && strings.Trim(string(first), "0123456789") != "" {
		return &Error{Message: fmt.Sprintf("this is not an FTP server: it begins with %q", first)}
	}
	if err == nil {
		err = expect(reader, ftp.StatusReady)
	}
	if err != nil && isTimeout(err) {
		e := &Error{Message: fmt.Sprintf("no greeting within %s", c.cfg.IdleTimeout), class: ErrTimeout}
		if c.cfg.Security == Explicit {
			e.Hint = "a port that speaks TLS from the first byte (usually 990) does this: then set security to implicit"
		}
		return e
	}
	return err
}

// authTLS asks for TLS (RFC 4217, section 4).
func (c *Conn) authTLS() error {
	if _, err := io.WriteString(c.ctl, "AUTH TLS\r\n"); err != nil {
		return err
	}
	err := expect(bufio.NewReader(c.ctl), ftp.StatusAuthOK)
	reply := replyOf(err)
	if reply == nil {
		return err
	}
	e := judge("AUTH TLS", reply.Code, reply.Msg)
	if e.class != ErrBusy {
		e.class = ErrUnsupported
		e.Hint = "the server refuses TLS on this port (AUTH TLS); if it has a port for implicit TLS (usually 990), set " +
			"security to implicit; only if password and files may be read on the way, to cleartext"
	}
	return e
}

// expect reads one reply and no more: what follows unasked was put there to be taken for an answer given under TLS.
func expect(reader *bufio.Reader, code int) error {
	if _, _, err := textproto.NewReader(reader).ReadResponse(code); err != nil {
		return err
	}
	if reader.Buffered() > 0 {
		return &Error{Message: "the server, or someone between, sent more than the reply that was asked for", class: ErrCert}
	}
	return nil
}

// dialData opens a data connection. Its TLS handshake happens at the first read: proftpd and pure-ftpd start theirs only
// after the command that uses the connection, and a handshake before that would wait for ever.
func (c *Conn) dialData(address string) (net.Conn, error) {
	l, err := c.dial(address)
	if err != nil {
		return nil, connectFailure("open data connection to "+address, c.cfg, err)
	}
	d := &dataConn{Conn: l, close: func() { c.wires.remove(l.Conn) }}
	if c.dataTLS != nil {
		d.Conn = tls.Client(l, c.dataTLS)
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
	e := &Error{Message: what + ": " + err.Error(), class: ErrLost}
	if isTimeout(err) {
		e.Message, e.class = fmt.Sprintf("%s: no connection within %s", what, cfg.ConnectTimeout), ErrTimeout
		e.Hint = "check that no firewall is between (passive FTP also needs the server's range of data ports)"
	}
	return e
}
