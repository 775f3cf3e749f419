package simftp

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
)

// listener gives the library connections that are wrapped, and deals itself with those that it shall not see.
type listener struct {
	net.Listener
	server *Server
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c, full := l.server.arrived(conn)
		fault := l.server.fault("CONNECT", "")
		if full && fault == nil {
			fault = &Fault{Kind: Answer, Reply: "421 Too many connections, try later"}
		}
		if fault == nil {
			return c, nil
		}
		go c.turnAway(fault)
	}
}

// arrived registers a connection; full tells that it is one too many.
func (s *Server) arrived(conn net.Conn) (c *control, full bool) {
	c = &control{Conn: conn, plain: conn, server: s, session: &Session{ended: make(chan struct{})}}
	if s.options.Implicit {
		c.plain = tls.Server(conn, s.tls)
	}
	c.reader = bufio.NewReader(c.plain)
	s.keep(conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live[conn.RemoteAddr().String()] = c
	s.sessions = append(s.sessions, c.session)
	return c, s.options.MaxConnections > 0 && len(s.live) > s.options.MaxConnections
}

// turnAway is the whole service of a connection that has a fault at its greeting.
func (c *control) turnAway(f *Fault) {
	defer c.Close()
	switch f.Kind {
	case Answer:
		c.reply(f.Reply)
	case Silent:
		io.Copy(io.Discard, c.Conn)
	}
}

// dataListener has Stop close passive listeners and data connections, for which the library would wait.
type dataListener struct {
	net.Listener
	server *Server
}

func (l *dataListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	d := &dataConn{Conn: conn, server: l.server}
	l.server.keep(conn)
	return d, nil
}

func (l *dataListener) Close() error {
	l.server.forget(l.Listener)
	return l.Listener.Close()
}

type dataConn struct {
	net.Conn
	server *Server
}

func (d *dataConn) Close() error {
	d.server.forget(d.Conn)
	return d.Conn.Close()
}
