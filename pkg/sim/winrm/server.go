// Package simwinrm is a Windows server for `make run` and for tests: WS-Management on loopback as Windows speaks it
// (MS-WSMV), the accounts, drives and scripts behind it, and a script of faults.
//
// The wire is judged by recordings of real servers: prefixes, order, texts and codes are theirs. Log-on is Basic, NTLM
// (MS-NLMP, with message encryption over plain HTTP) and Kerberos with a keytab. The limits of Windows are enforced.
// Behind it nothing is Windows: a PowerShell script is run by a real PowerShell where the options name one, else by a Go
// emulation that was registered for exactly its text; drives are folders. After Stop nothing is left running.
package simwinrm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/keytab"

	"github.com/nightshift-hq/nightshift/pkg/sim/certificate"
)

// Options say how the server runs. The zero value is HTTPS with Basic and NTLM, user "user", password "password", default
// limits, an empty drive C.
type Options struct {
	Address          string // default 127.0.0.1:0
	HTTP             bool   // plain HTTP, as on port 5985
	AllowUnencrypted bool   // over plain HTTP: messages in clear, and Basic
	Certificate      certificate.Certificate

	Accounts map[string]string // user, or DOMAIN\user, to password; names are compared without case
	Denied   []string          // accounts that may log on but are not administrators
	NoBasic  bool
	NoNTLM   bool
	// StrictBinding wants NTLM over HTTPS bound to the TLS channel, as CbtHardeningLevel Strict does. A binding that is sent
	// must always be right.
	StrictBinding bool
	Keytab        *keytab.Keytab // offers Kerberos; any principal with a ticket for it is an account

	Computer string // default MIM01
	Domain   string // NetBIOS name, default CONTOSO
	Limits   Limits

	Dir           string // holds a folder per drive, such as C; default a temporary one, removed by Stop
	PowerShell    string // a real one, which runs every powershell.exe; default: emulations
	ModulePath    string // PSModulePath of the real one
	SilentTooLong bool   // a command line over the limit ends with exit code 0 and no output, as some servers do

	OnRequest func(Request) // called before each request is obeyed

	ActivityIDs    bool // replies carry an ActivityId, as those of newer servers do
	ChunkSize      int  // longest piece of output in a reply; 0 means as the command wrote it
	ChunksPerReply int  // most pieces in a reply; 0 means any number
}

// Limits are those of `winrm get winrm/config`. Zero means the default of Windows Server 2012 R2 and later.
type Limits struct {
	EnvelopeSize      int           // bytes, default 512,000: longer requests get HTTP 413
	CommandLine       int           // characters through cmd.exe, default 8,191
	ShellsPerUser     int           // default 30
	OperationsPerUser int           // default 1,500
	CommandsPerShell  int           // MaxProcessesPerShell, default 25; Windows never counts down
	OperationTimeout  time.Duration // MaxTimeoutms: the longest wait of a Receive, default 60 s
	IdleTimeout       time.Duration // of a shell that asks for none, default 2 h
}

// maxProcessLine is the longest command line that Windows can start at all.
const maxProcessLine = 32767

func (l Limits) withDefaults() Limits {
	number := func(n *int, standard int) {
		if *n == 0 {
			*n = standard
		}
	}
	number(&l.EnvelopeSize, 500<<10)
	number(&l.CommandLine, 8191)
	number(&l.ShellsPerUser, 30)
	number(&l.OperationsPerUser, 1500)
	number(&l.CommandsPerShell, 25)
	if l.OperationTimeout == 0 {
		l.OperationTimeout = time.Minute
	}
	if l.IdleTimeout == 0 {
		l.IdleTimeout = 2 * time.Hour
	}
	return l
}

// Server is a running server.
type Server struct {
	options  Options
	drive    *Drive
	listener net.Listener
	http     *http.Server
	served   chan struct{}
	life     context.Context // of every process
	end      context.CancelFunc
	handling sync.WaitGroup // requests
	working  sync.WaitGroup // processes
	tempDir  string
	bindings []byte // of the TLS channel

	mu         sync.Mutex
	idle       *sync.Cond // tells Wait that a process has ended
	running    int
	stopping   bool
	shells     map[string]*shell
	conns      map[net.Conn]bool
	faults     []*armed
	requests   []Request
	runs       []*Run
	programs   map[string]Program
	emulations map[string]emulation
	egress     http.RoundTripper
}

// Start runs a server until Stop.
func Start(o Options) (*Server, error) {
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	if o.Accounts == nil {
		o.Accounts = map[string]string{"user": "password"}
	}
	if o.Computer == "" {
		o.Computer = "MIM01"
	}
	if o.Domain == "" {
		o.Domain = "CONTOSO"
	}
	o.Limits = o.Limits.withDefaults()
	s := &Server{options: o, served: make(chan struct{}), shells: map[string]*shell{}, conns: map[net.Conn]bool{},
		programs: map[string]Program{}, emulations: map[string]emulation{}, egress: &http.Transport{}}
	s.idle = sync.NewCond(&s.mu)
	s.life, s.end = context.WithCancel(context.Background())
	if err := s.prepare(); err != nil {
		s.end()
		s.removeTemp()
		return nil, fmt.Errorf("start the WinRM simulator: %w", err)
	}
	go func() {
		defer close(s.served)
		s.http.Serve(s.listener)
	}()
	return s, nil
}

func (s *Server) prepare() error {
	if err := s.prepareDrive(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", s.options.Address)
	if err != nil {
		return err
	}
	if !s.options.HTTP {
		config, err := s.tlsConfig()
		if err != nil {
			listener.Close()
			return err
		}
		listener = tls.NewListener(listener, config)
	}
	s.listener = listener
	s.http = &http.Server{
		Handler:     http.HandlerFunc(s.serve),
		ConnContext: s.arrived,
		ConnState:   s.stateChanged,
		ErrorLog:    slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // faults drop connections on purpose
	}
	return nil
}

func (s *Server) prepareDrive() error {
	if s.options.Dir == "" {
		dir, err := os.MkdirTemp("", "simwinrm")
		if err != nil {
			return err
		}
		s.tempDir, s.options.Dir = dir, dir
	}
	var err error
	s.drive, err = newDrive(s.options.Dir)
	return err
}

func (s *Server) tlsConfig() (*tls.Config, error) {
	if s.options.Certificate.CertPEM == nil {
		cert, err := certificate.New(time.Now().AddDate(0, 1, 0), "localhost", "127.0.0.1")
		if err != nil {
			return nil, err
		}
		s.options.Certificate = cert
	}
	config, err := s.options.Certificate.ServerConfig()
	if err != nil {
		return nil, err
	}
	s.bindings = channelBindings(config.Certificates[0].Certificate[0])
	config.NextProtos = []string{"http/1.1"} // NTLM logs on a connection, so there is no HTTP/2
	return config, nil
}

// Addr is the server's host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL is where the service listens, such as https://127.0.0.1:40001/wsman.
func (s *Server) URL() string {
	scheme := "https"
	if s.options.HTTP {
		scheme = "http"
	}
	return scheme + "://" + s.Addr() + "/wsman"
}

// CertPEM is the certificate that clients must trust; nil over plain HTTP.
func (s *Server) CertPEM() []byte { return s.options.Certificate.CertPEM }

// Pin is the SHA-256 of the server's public key, in base64.
func (s *Server) Pin() string { return s.options.Certificate.Pin }

// Drive is the server's file system.
func (s *Server) Drive() *Drive { return s.drive }

// Shells counts the shells open now.
func (s *Server) Shells() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.shells)
}

// Processes counts the processes running now, detached ones included.
func (s *Server) Processes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

// Wait returns when no process runs, or when ctx ends.
func (s *Server) Wait(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.idle.Broadcast()
	})()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.running > 0 && ctx.Err() == nil {
		s.idle.Wait()
	}
	return ctx.Err()
}

func (s *Server) processEnded() {
	s.mu.Lock()
	s.running--
	s.idle.Broadcast()
	s.mu.Unlock()
	s.working.Done()
}

// Restart ends every process that runs in a shell, every shell and every connection, as when the service is restarted.
// The server listens all the time; detached processes go on.
func (s *Server) Restart() {
	s.mu.Lock()
	shells, conns := s.shells, s.conns
	s.shells, s.conns = map[string]*shell{}, map[net.Conn]bool{}
	s.mu.Unlock()
	for _, sh := range shells {
		sh.end()
	}
	for c := range conns {
		c.Close()
	}
}

// Stop closes every connection and returns when every request and process has ended. It may be called more than once.
func (s *Server) Stop() {
	s.mu.Lock()
	s.stopping = true
	s.mu.Unlock()
	s.http.Close()
	<-s.served
	s.Restart()
	s.end()
	s.handling.Wait()
	s.working.Wait()
	if t, ok := s.egress.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
	s.removeTemp()
}

func (s *Server) removeTemp() {
	if s.tempDir != "" {
		os.RemoveAll(s.tempDir)
	}
}

// connection is what the server knows of a TCP connection: NTLM logs on connections, not requests.
type connection struct {
	ntlm *handshake
	user string
	seal *session
}

type connectionKey struct{}

func (s *Server) arrived(ctx context.Context, conn net.Conn) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[conn] = true
	return context.WithValue(ctx, connectionKey{}, &connection{})
}

func (s *Server) stateChanged(conn net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

var errStopping = errors.New("the server is stopping")

// begin counts a request or process that Stop waits for.
func (s *Server) begin(group *sync.WaitGroup) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return errStopping
	}
	group.Add(1)
	return nil
}

// sameName compares user names as Windows does.
func sameName(a, b string) bool { return strings.EqualFold(a, b) }
