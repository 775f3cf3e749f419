// Package azurite runs Azurite, Microsoft's storage emulator, as a child process for `make run`, tests and benchmarks.
//
// A Server listens on free loopback ports and keeps its data in memory unless told a folder. It ends with Stop, and also
// when the process that started it dies, however it dies: the emulator reads a pipe that only its parent holds open.
// The emulator is installed by `make tools` from the lock file in deploy/local/azurite; Start says so when it is missing.
//
// What Azurite does differently from Azure Storage is for tests to know: it does not check every limit, and its queues slow
// down with their length.
package azurite

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// The emulator's well-known account, the same on every machine
// (Microsoft Learn, "Use the Azurite emulator for local Azure Storage development").
const (
	accountName = "devstoreaccount1"
	accountKey  = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// startLimit bounds the wait for the emulator's first answer; it usually takes half a second.
const startLimit = 60 * time.Second

// Options say how the emulator runs. The zero value keeps everything in memory and picks free ports.
type Options struct {
	Dir       string    // data folder; empty keeps the data in memory
	BlobPort  int       // 0 picks a free port
	QueuePort int       // 0 picks a free port
	Log       io.Writer // the emulator's own output; nil discards it

	// CertFile and KeyFile, both PEM, make it serve https, and accept Entra ID's bearer tokens beside the account's key. It
	// checks their audience, issuer and times, and not their signature.
	CertFile, KeyFile string
}

// Server is a running emulator.
type Server struct {
	blobPort, queuePort int
	scheme              string
	cmd                 *exec.Cmd
	lifeline            io.Closer
	exited              chan struct{}
}

// parentWatch ends the emulator when its standard input closes, which happens whenever the parent is gone.
const parentWatch = `process.stdin.on("end",()=>process.exit(0)).on("error",()=>process.exit(0)).resume();`

// Start runs the emulator and returns when it answers. Cancelling ctx ends it.
func Start(ctx context.Context, o Options) (*Server, error) {
	script, err := installedScript()
	if err != nil {
		return nil, err
	}
	s := &Server{scheme: "http", exited: make(chan struct{})}
	if s.blobPort, err = choosePort(o.BlobPort); err != nil {
		return nil, fmt.Errorf("choose a blob port: %w", err)
	}
	if s.queuePort, err = choosePort(o.QueuePort); err != nil {
		return nil, fmt.Errorf("choose a queue port: %w", err)
	}
	tablePort, err := choosePort(0)
	if err != nil {
		return nil, fmt.Errorf("choose a table port: %w", err)
	}
	args := []string{"-e", parentWatch + "require(process.argv[1])", script,
		"--blobHost", "127.0.0.1", "--blobPort", fmt.Sprint(s.blobPort),
		"--queueHost", "127.0.0.1", "--queuePort", fmt.Sprint(s.queuePort),
		"--tableHost", "127.0.0.1", "--tablePort", fmt.Sprint(tablePort),
		"--silent", "--disableTelemetry", "--skipApiVersionCheck"}
	if o.Dir == "" {
		args = append(args, "--inMemoryPersistence")
	} else {
		args = append(args, "--location", o.Dir)
	}
	if o.CertFile != "" {
		s.scheme = "https"
		args = append(args, "--oauth", "basic", "--cert", o.CertFile, "--key", o.KeyFile)
	}
	s.cmd = exec.CommandContext(ctx, "node", args...)
	s.cmd.Stdout, s.cmd.Stderr = o.Log, o.Log
	s.lifeline, err = s.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("open the emulator's standard input: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the storage emulator (is Node.js installed?): %w", err)
	}
	go func() {
		s.cmd.Wait()
		close(s.exited)
	}()
	if err := s.awaitReady(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// ConnectionString is what AzureWebJobsStorage must hold to use this emulator.
func (s *Server) ConnectionString() string {
	return fmt.Sprintf("DefaultEndpointsProtocol=%s;AccountName=%s;AccountKey=%s;BlobEndpoint=%s/%s;QueueEndpoint=%s/%s;",
		s.scheme, accountName, accountKey, s.BlobURL(), accountName, s.QueueURL(), accountName)
}

// BlobURL is the blob service's address without the account.
func (s *Server) BlobURL() string { return fmt.Sprintf("%s://127.0.0.1:%d", s.scheme, s.blobPort) }

// QueueURL is the queue service's address without the account.
func (s *Server) QueueURL() string { return fmt.Sprintf("%s://127.0.0.1:%d", s.scheme, s.queuePort) }

// Pid is the emulator's process id, for tests that kill or freeze it.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Exited is closed when the emulator has ended, by Stop or by itself.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Stop ends the emulator and returns when it is gone. It may be called more than once.
func (s *Server) Stop() {
	s.lifeline.Close()
	s.cmd.Process.Kill()
	<-s.exited
}

func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	// Any answer will do, whoever signed it.
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	client := &http.Client{Transport: transport}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	waiting := []string{s.BlobURL(), s.QueueURL()}
	for len(waiting) > 0 {
		select {
		case <-s.exited:
			return errors.New("the storage emulator ended while starting; run it with Options.Log to see why")
		case <-ctx.Done():
			return fmt.Errorf("the storage emulator gave no answer within %s: %w", startLimit, context.Cause(ctx))
		case <-tick.C:
			if answers(ctx, client, waiting[0]) {
				waiting = waiting[1:]
			}
		}
	}
	return nil
}

func answers(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return true
}

// installedScript finds the emulator that `make tools` installed, from the folder of the running program or test upwards.
func installedScript() (string, error) {
	const place = "deploy/local/azurite/node_modules/azurite/dist/src/azurite.js"
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the working folder: %w", err)
	}
	for {
		candidate := filepath.Join(dir, filepath.FromSlash(place))
		if _, err := os.Stat(candidate); err == nil {
			return candidate, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("the storage emulator is not installed (%s not found): run `make tools` first", place)
		}
		dir = parent
	}
}

func choosePort(wanted int) (int, error) {
	if wanted != 0 {
		return wanted, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
