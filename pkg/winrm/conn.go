package winrm

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/trust"
)

const (
	// longestReply bounds what is kept of a reply: the envelope size that we ask for, and room for those who ignore it.
	longestReply = 16 << 20
	// idleLimit is how long a connection may rest before it is replaced unasked: http.sys closes its own after two minutes.
	idleLimit = 60 * time.Second
	keepAlive = 30 * time.Second // below the 4 minutes after which Azure's SNAT forgets a silent connection
)

// conn is one HTTP/1.1 connection. http.Transport is not used, because NTLM authenticates a connection, not a request: who
// logs in must know which connection the next request takes, and when it is a new one.
type conn struct {
	net.Conn
	reader   *bufio.Reader
	endpoint *url.URL
	peer     *x509.Certificate // the server's, over TLS
	rested   time.Time         // when the last reply had been read
	broken   bool
}

// httpReply is a reply read to its end.
type httpReply struct {
	status int
	header http.Header
	body   []byte
}

// dial connects, over TLS if config is not nil, within the limit.
func dial(ctx context.Context, endpoint *url.URL, config *tls.Config, limit time.Duration) (*conn, error) {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive}}
	raw, err := dialer.DialContext(bounded, "tcp", endpoint.Host)
	if err != nil {
		return nil, dialFault(err, limit)
	}
	c := &conn{Conn: raw, endpoint: endpoint, rested: time.Now()}
	if config != nil {
		secured := tls.Client(raw, config)
		if err := secured.HandshakeContext(bounded); err != nil {
			raw.Close()
			return nil, tlsFault(err, limit)
		}
		c.Conn, c.peer = secured, secured.ConnectionState().PeerCertificates[0]
	}
	c.reader = bufio.NewReaderSize(c.Conn, 32<<10)
	return c, nil
}

func dialFault(err error, limit time.Duration) *Fault {
	f := &Fault{Reason: err.Error(), class: ErrUnreachable,
		Do: "check the name and the port, the WinRM listener on the server (`winrm enumerate winrm/config/listener`) and firewalls"}
	var name *net.DNSError
	switch {
	case errors.As(err, &name):
		f.Meaning, f.Do = "the server's name cannot be resolved", "check the name, and the DNS servers used here"
	case isTimeout(err):
		f.Meaning, f.class = fmt.Sprintf("no connection within %s", limit), ErrTimeout
	}
	return f
}

func tlsFault(err error, limit time.Duration) *Fault {
	if reason, do, ok := trust.Explain(err); ok {
		return &Fault{Reason: reason, Do: do, class: ErrCert}
	}
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &record):
		return &Fault{Reason: "the server does not speak TLS here", class: ErrUnreachable,
			Do: "use the port of its HTTPS listener, usually 5986"}
	case isTimeout(err):
		return &Fault{Reason: fmt.Sprintf("no TLS handshake within %s", limit), class: ErrTimeout}
	}
	return &Fault{Meaning: "the TLS handshake failed", Reason: err.Error(), class: ErrUnreachable,
		Do: "check that the server allows TLS 1.2 or newer and that its listener has a certificate"}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// usable tells whether another request may be sent.
func (c *conn) usable() bool { return !c.broken && time.Since(c.rested) < idleLimit }

// post sends one request and reads the whole reply. After an error the connection is closed.
func (c *conn) post(ctx context.Context, header http.Header, body []byte, limit time.Duration) (*httpReply, error) {
	r, err := c.exchange(ctx, header, body, limit)
	if err != nil {
		c.broken = true
		c.Close()
		return nil, c.explain(ctx, err, limit)
	}
	c.rested = time.Now()
	return r, nil
}

func (c *conn) exchange(ctx context.Context, header http.Header, body []byte, limit time.Duration) (*httpReply, error) {
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	request := &http.Request{Method: http.MethodPost, URL: c.endpoint, Host: c.endpoint.Host, Header: header,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}
	if len(body) == 0 {
		request.Body = http.NoBody
	}
	written := request.Write(c.Conn)
	if written != nil && !isReset(written) {
		return nil, written
	}
	// A server that does not want the body (401, 413) answers and closes while it is still being sent.
	reply, err := http.ReadResponse(c.reader, request)
	if err != nil {
		if written != nil {
			err = written
		}
		return nil, err
	}
	defer reply.Body.Close()
	content, err := io.ReadAll(io.LimitReader(reply.Body, longestReply+1))
	if err != nil {
		return nil, err
	}
	if len(content) > longestReply {
		return nil, fmt.Errorf("the reply is longer than %d bytes", longestReply)
	}
	if reply.Close || written != nil {
		c.broken = true
		c.Close()
	}
	return &httpReply{status: reply.StatusCode, header: reply.Header, body: content}, nil
}

func isReset(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) && !network.Timeout() && !errors.Is(err, os.ErrDeadlineExceeded)
}

func (c *conn) explain(ctx context.Context, err error, limit time.Duration) *Fault {
	if cause := context.Cause(ctx); cause != nil {
		return &Fault{Reason: cause.Error(), cause: cause} // what the socket says is only its echo
	}
	switch {
	case isTimeout(err):
		return &Fault{Reason: fmt.Sprintf("the server was silent for %s", limit), class: ErrTimeout}
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return &Fault{Reason: "the server closed the connection", class: ErrUnreachable}
	case isReset(err):
		return &Fault{Reason: err.Error(), class: ErrUnreachable}
	}
	return &Fault{Reason: "the answer is not HTTP: " + err.Error(), class: ErrUnreachable,
		Do: "check that the port is that of a WinRM listener"}
}
