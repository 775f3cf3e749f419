// Package simftp is an FTP server for `make run` and for tests: github.com/fclairamb/ftpserverlib on loopback, with TLS
// (explicit or implicit), files in memory or in a folder, a record of every command, and a script of faults.
//
// The protocol is the library's: MLSD, LIST, NLST, MDTM, MFMT, SIZE, REST, EPSV. Faults happen where a bad server or network
// makes them happen, in the commands, the replies and the bytes, under TLS too. After Stop nothing is left running.
package simftp

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path"
	"sync"
	"time"

	ftpserver "github.com/fclairamb/ftpserverlib"
	"github.com/spf13/afero"

	"github.com/nightshift-hq/nightshift/pkg/sim/certificate"
)

// Options say how the server runs. The zero value is a server with explicit TLS offered, user "user", password
// "password", files in memory.
type Options struct {
	Address  string   // default 127.0.0.1:0
	FS       afero.Fs // the files; default an empty one in memory
	Dir      string   // serve this folder instead
	Username string
	Password string

	Implicit     bool // TLS from the first byte
	NoTLS        bool // refuse AUTH TLS
	RequireTLS   bool // refuse USER in clear
	RequireReuse bool // refuse data connections that do not resume a TLS session
	Certificate  certificate.Certificate

	PassiveHost    string         // address that PASV gives; default 127.0.0.1
	NoMLSD         bool           // LIST only
	Zone           *time.Location // of the times in LIST; default UTC
	MaxConnections int            // more get a 421; 0 means no limit
	RefuseLogins   int            // refuse the first n logins, -1 all

	OnCommand func(verb, argument string) // called before each command is obeyed; may change the files
}

// Server is a running server.
type Server struct {
	options  Options
	fs       afero.Fs
	cert     certificate.Certificate
	tls      *tls.Config // control connections
	dataTLS  *tls.Config
	listener net.Listener
	library  *ftpserver.FtpServer
	stopped  chan struct{}

	mu       sync.Mutex
	idle     *sync.Cond // tells Stop that a session has ended
	faults   []*armed
	logins   int
	sessions []*Session
	live     map[string]*control // by the client's address
	sockets  map[interface{ Close() error }]bool
	closing  bool
}

// Session is one connection as the server saw it.
type Session struct {
	Commands []string // "VERB argument", without the password
	ended    chan struct{}
}

// Start runs a server until Stop.
func Start(o Options) (*Server, error) {
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	if o.Username == "" {
		o.Username, o.Password = "user", "password"
	}
	if o.PassiveHost == "" {
		o.PassiveHost = "127.0.0.1"
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	s := &Server{options: o, fs: o.FS, cert: o.Certificate, stopped: make(chan struct{}),
		live: map[string]*control{}, sockets: map[interface{ Close() error }]bool{}}
	s.idle = sync.NewCond(&s.mu)
	switch {
	case o.Dir != "":
		s.fs = afero.NewBasePathFs(afero.NewOsFs(), o.Dir)
	case s.fs == nil:
		s.fs = afero.NewMemMapFs()
	}
	if err := s.prepareTLS(); err != nil {
		return nil, err
	}
	var err error
	if s.listener, err = net.Listen("tcp", o.Address); err != nil {
		return nil, fmt.Errorf("start the FTP simulator: %w", err)
	}
	s.library = ftpserver.NewFtpServer(&driver{s})
	if err := s.library.Listen(); err != nil {
		s.listener.Close()
		return nil, fmt.Errorf("start the FTP simulator: %w", err)
	}
	go func() {
		defer close(s.stopped)
		s.library.Serve()
	}()
	return s, nil
}

func (s *Server) prepareTLS() error {
	if s.cert.CertPEM == nil {
		var err error
		if s.cert, err = certificate.New(time.Now().AddDate(0, 1, 0), "localhost", "127.0.0.1"); err != nil {
			return err
		}
	}
	var err error
	if s.tls, err = s.cert.ServerConfig(); err != nil {
		return err
	}
	var ticketKey [32]byte // shared, so that data connections can resume the session of their control connection
	rand.Read(ticketKey[:])
	s.dataTLS = s.tls.Clone()
	s.tls.SetSessionTicketKeys([][32]byte{ticketKey})
	s.dataTLS.SetSessionTicketKeys([][32]byte{ticketKey})
	if s.options.RequireReuse {
		s.dataTLS.VerifyConnection = func(state tls.ConnectionState) error {
			if !state.DidResume {
				return errors.New("simulated: TLS session reuse required")
			}
			return nil
		}
	}
	return nil
}

// Addr is the server's host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// CertPEM is the certificate that clients must trust.
func (s *Server) CertPEM() []byte { return s.cert.CertPEM }

// Pin is the SHA-256 of the server's public key, in base64.
func (s *Server) Pin() string { return s.cert.Pin }

// FS holds the files; it may be changed at any time.
func (s *Server) FS() afero.Fs { return s.fs }

// WriteFile puts a file on the server, with its folders; a zero modTime means now.
func (s *Server) WriteFile(name string, data []byte, modTime time.Time) error {
	err := s.fs.MkdirAll(path.Dir(name), 0o755)
	if err == nil {
		err = afero.WriteFile(s.fs, name, data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("put %q on the FTP simulator: %w", name, err)
	}
	if modTime.IsZero() {
		return nil
	}
	return s.fs.Chtimes(name, modTime, modTime)
}

// Sessions returns what each connection has been asked so far, in order of arrival.
func (s *Server) Sessions() []Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Session, len(s.sessions))
	for i, session := range s.sessions {
		all[i].Commands = append([]string(nil), session.Commands...)
	}
	return all
}

// Logins counts the passwords tried.
func (s *Server) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// Connections counts the connections open now.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live)
}

// Stop closes every connection and returns when all sessions have ended. It may be called more than once.
func (s *Server) Stop() {
	s.mu.Lock()
	s.closing = true
	for socket := range s.sockets {
		socket.Close()
	}
	s.mu.Unlock()
	s.library.Stop()
	<-s.stopped
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.live) > 0 {
		s.idle.Wait()
	}
}

// keep has Stop close a socket.
func (s *Server) keep(socket interface{ Close() error }) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		socket.Close()
		return
	}
	s.sockets[socket] = true
}

func (s *Server) forget(socket interface{ Close() error }) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sockets, socket)
}

func (s *Server) record(session *Session, verb, argument string) {
	if s.options.OnCommand != nil {
		s.options.OnCommand(verb, argument)
	}
	if verb == "PASS" {
		argument = "[redacted]"
	}
	if argument != "" {
		argument = " " + argument
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	session.Commands = append(session.Commands, verb+argument)
}

func (s *Server) departed(c *control) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, c.RemoteAddr().String())
	delete(s.sockets, c.Conn)
	s.idle.Broadcast()
}
