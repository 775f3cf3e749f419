// Package ftpd runs real FTP servers for tests: pure-ftpd, vsftpd and proftpd, as Debian ships them.
//
// Each Start is a daemon of its own on a free loopback port, serving a folder of its own to one user, with TLS offered
// and, by vsftpd and proftpd, required to be one session per control connection. It ends with Stop, and also when the
// process that started it dies, however it dies. The daemons are unpacked by deploy/local/ftpd/install.sh; they need root,
// since they change to their user's rights.
package ftpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/sim/certificate"
)

// Kind is one of the daemons.
type Kind string

// The daemons.
const (
	PureFTPd Kind = "pure-ftpd" // MLSD; asks nothing of TLS sessions
	VsFTPd   Kind = "vsftpd"    // LIST only; data connections must resume a TLS session
	ProFTPd  Kind = "proftpd"   // MLSD; data connections must resume the TLS session of their control connection
)

// Kinds lists them all.
func Kinds() []Kind { return []Kind{PureFTPd, VsFTPd, ProFTPd} }

// The user of every daemon.
const (
	Username = "user"
	Password = "password"
	// crypt(3) of Password with SHA-512, which all three daemons read.
	passwordHash = "$6$nightshift$Tk7nwq/7URR1l0NstXwSQVaWy/uTQ57LlQbgH0VWIKw/wSCFzBMXieHEYepImS84SQhEuOfaDj4Zv3oNKzPP3/"
	uid          = "65534"
)

const startLimit = 30 * time.Second

// ErrMissing means that the daemons cannot run here; the message says why.
var ErrMissing = errors.New("FTP daemon missing")

// Server is a running daemon.
type Server struct {
	Kind    Kind
	Addr    string // host:port
	Dir     string // the folder that the user sees as /
	CertPEM []byte
	Pin     string // SHA-256 of the server's public key, base64

	base     string // everything of this daemon
	program  string // folder that it was unpacked to
	lifeline io.Closer
	exited   chan struct{}
	output   lockedBuffer
}

// Start runs a daemon and returns when it greets.
func Start(ctx context.Context, kind Kind) (*Server, error) {
	program, err := unpacked(kind)
	if err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("%w: %s needs root", ErrMissing, kind)
	}
	// Another process may take the free port before the daemon does; a second try gets another one.
	for try := 0; ; try++ {
		s, err := start(ctx, kind, program)
		if err == nil || try == 2 || ctx.Err() != nil {
			return s, err
		}
	}
}

func start(ctx context.Context, kind Kind, program string) (*Server, error) {
	base, err := os.MkdirTemp("", "nightshift-"+string(kind)+"-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for %s: %w", kind, err)
	}
	s := &Server{Kind: kind, Dir: filepath.Join(base, "files"), base: base, program: program, exited: make(chan struct{})}
	if err := s.launch(); err != nil {
		os.RemoveAll(base)
		return nil, fmt.Errorf("start %s: %w", kind, err)
	}
	if err := s.awaitGreeting(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start %s: %w", kind, err)
	}
	return s, nil
}

func (s *Server) launch() error {
	if err := os.Chmod(s.base, 0o755); err != nil {
		return err
	}
	if err := s.MakeDir("."); err != nil {
		return err
	}
	cert, err := certificate.New(time.Now().AddDate(0, 1, 0), "localhost", "127.0.0.1")
	if err != nil {
		return err
	}
	s.CertPEM, s.Pin = cert.CertPEM, cert.Pin
	port, err := freePort()
	if err != nil {
		return err
	}
	s.Addr = fmt.Sprintf("127.0.0.1:%d", port)
	for name, data := range map[string][]byte{
		"cert.pem": cert.CertPEM,
		"key.pem":  cert.KeyPEM,
		"both.pem": append(cert.KeyPEM, cert.CertPEM...),
	} {
		if err := os.WriteFile(s.file(name), data, 0o600); err != nil {
			return err
		}
	}
	command, err := s.configure(port)
	if err != nil {
		return err
	}
	return s.run(command)
}

// watch runs the daemon as a job of its own and ends it, with its children, when standard input closes, which
// happens whenever the parent is gone.
const watch = `set -m
"$@" </dev/null & daemon=$!
trap 'kill -KILL -- -$daemon; wait $daemon' EXIT
cat <&3 >/dev/null &
wait -n`

func (s *Server) run(command []string) error {
	// No context: ending with the parent is the lifeline's work.
	cmd := exec.Command("bash", append([]string{"-c", "exec 3<&0; " + watch, string(s.Kind)}, command...)...)
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+s.libraries())
	cmd.Stdout, cmd.Stderr = &s.output, &s.output
	cmd.WaitDelay = 5 * time.Second // a child of the daemon may hold the output open
	var err error
	if s.lifeline, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(s.exited)
		cmd.Wait()
	}()
	return nil
}

func (s *Server) awaitGreeting(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.exited:
			return fmt.Errorf("it ended at once: %s", s.Log())
		case <-ctx.Done():
			return fmt.Errorf("no greeting: %w: %s", context.Cause(ctx), s.Log())
		case <-tick.C:
			if s.greets() {
				return nil
			}
		}
	}
}

func (s *Server) greets() bool {
	conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	greeting := make([]byte, 3)
	_, err = io.ReadFull(conn, greeting)
	return err == nil && string(greeting) == "220"
}

// Stop ends the daemon and removes its files. It may be called more than once.
func (s *Server) Stop() {
	s.lifeline.Close()
	<-s.exited
	os.RemoveAll(s.base)
}

// Log is what the daemon has said so far.
func (s *Server) Log() string {
	text := s.output.String()
	for _, name := range []string{"log", "tls.log"} {
		more, err := os.ReadFile(s.file(name))
		if err == nil {
			text += string(more)
		}
	}
	return text
}

// MakeDir makes a folder, with those above it, that the user may change.
func (s *Server) MakeDir(name string) error {
	full := filepath.Join(s.Dir, filepath.FromSlash(name))
	if err := os.MkdirAll(full, 0o777); err != nil {
		return err
	}
	for dir := full; len(dir) >= len(s.Dir); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o777); err != nil {
			return err
		}
	}
	return nil
}

// WriteFile puts a file on the server, with its folders; a zero modTime means now.
func (s *Server) WriteFile(name string, data []byte, modTime time.Time) error {
	if err := s.MakeDir(filepath.Dir(filepath.FromSlash(name))); err != nil {
		return err
	}
	full := filepath.Join(s.Dir, filepath.FromSlash(name))
	if err := os.WriteFile(full, data, 0o644); err != nil || modTime.IsZero() {
		return err
	}
	return os.Chtimes(full, modTime, modTime)
}

func (s *Server) file(name string) string { return filepath.Join(s.base, name) }

// unpacked finds a daemon's folder, from the folder of the running program or test upwards.
func unpacked(kind Kind) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the working folder: %w", err)
	}
	for {
		candidate := filepath.Join(dir, "build", "ftpd", string(kind))
		if _, err := os.Stat(filepath.Join(candidate, "usr", "sbin", string(kind))); err == nil {
			return candidate, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("%w: %s is not unpacked: run deploy/local/ftpd/install.sh (Debian)", ErrMissing, kind)
		}
		dir = parent
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("choose a port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// lockedBuffer may be read while the daemon still writes.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
