package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nightshift-hq/nightshift/deploy/pack"
	"github.com/nightshift-hq/nightshift/pkg/localhost"
)

// options are what `make run` can be told.
type options struct {
	root    string // the repository
	build   string // where the packed apps go
	dir     string // for everything of this run; emptied first
	address string // of the first app; the next ones take the next ports
	once    bool   // end when everything expected has arrived, and fail when not
	limit   time.Duration
	biggest int64 // bytes of the biggest file of the built-in drop
	environ []string
	out     io.Writer
}

// session is a running estate with its apps.
type session struct {
	options
	estate   *estate
	packages []pack.Package
	console  *console
	client   *http.Client
	host     *localhost.Host
	app      *ftppull
	sown     []sown // what lies in the built-in drop
}

// run starts everything, lives through the nights, reports, and stays until ctx ends.
func run(ctx context.Context, o options) error {
	s, err := newSession(ctx, o)
	if err != nil {
		return err
	}
	defer s.estate.close()
	return s.serve(ctx, s.live)
}

// newSession starts the outside world and packs the apps.
func newSession(ctx context.Context, o options) (*session, error) {
	environ, err := userSettings(o.root, o.environ)
	if err != nil {
		return nil, err
	}
	own, err := ownServer(environ)
	if err != nil {
		return nil, err
	}
	if err := vacant(o.address); err != nil {
		return nil, err
	}
	s := &session{options: o, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	if s.dir, err = filepath.Abs(o.dir); err != nil { // for the commands that the user pastes elsewhere
		return nil, fmt.Errorf("locate %q: %w", o.dir, err)
	}
	if err := s.open(ctx, own); err != nil {
		return nil, err
	}
	s.environ = s.estate.environ(environ)
	return s, nil
}

// vacant reports an address that is in use before anything is touched: it may be that of another make run.
func vacant(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("the local host needs %s: %w: stop what listens there (another make run, func start?) or set ADDRESS=127.0.0.1:7171", address, err)
	}
	return l.Close()
}

// open starts the outside world and packs the apps, at the same time.
func (s *session) open(ctx context.Context, own bool) error {
	fmt.Fprintln(s.out, "Starting the estate and packing the apps ...")
	var group errgroup.Group
	group.Go(func() (err error) {
		s.estate, err = openEstate(ctx, s.dir, own)
		return err
	})
	group.Go(func() (err error) {
		s.packages, err = pack.Build(ctx, pack.Options{Root: s.root, Out: s.build, OS: runtime.GOOS, Arch: runtime.GOARCH,
			Apps: []string{"ftppull"}}) // the apps whose outside world openEstate provides
		return err
	})
	err := group.Wait()
	if err != nil && s.estate != nil {
		s.estate.close()
	}
	return err
}

// serve runs the apps under the local host while live lives.
func (s *session) serve(ctx context.Context, live func(context.Context) error) (err error) {
	if s.app, err = watchFTPPull(s.estate.account, s.environ); err != nil {
		return err
	}
	log, err := os.Create(s.logFile())
	if err != nil {
		return fmt.Errorf("open the host's log: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	s.console = newConsole(log)

	roots := make([]string, len(s.packages))
	for i, p := range s.packages {
		roots[i] = p.Dir
	}
	s.host, err = localhost.New(localhost.Options{Roots: roots, Environ: s.environ, Address: s.address, Out: s.console})
	if err != nil {
		return err
	}
	if err := s.host.Start(ctx); err != nil {
		return err
	}
	defer s.host.Stop()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		end(errors.Join(errHostStopped, s.host.Wait(ctx)))
	}()
	emulatorWatched := make(chan struct{})
	go func() {
		defer close(emulatorWatched)
		select {
		case <-s.estate.emulator.Exited():
			end(errEmulatorEnded)
		case <-ctx.Done():
		}
	}()
	defer func() {
		end(nil)
		<-watched
		<-emulatorWatched
	}()
	return live(ctx)
}

func (s *session) logFile() string { return filepath.Join(s.dir, "host.log") }

// live is the session as its user sees it.
func (s *session) live(ctx context.Context) error {
	verdict, err := s.nights(ctx)
	if err != nil {
		return err
	}
	if verdict == nil {
		fmt.Fprintln(s.out, "\nEverything is as expected.")
	}
	if s.once {
		return verdict
	}
	if verdict != nil {
		fmt.Fprintf(s.out, "\n%v\n", verdict)
	}
	s.invite()
	fmt.Fprintln(s.out, "\nEverything stays up until Ctrl-C.")
	<-ctx.Done()
	if cause := context.Cause(ctx); errors.Is(cause, errHostStopped) || errors.Is(cause, errEmulatorEnded) {
		return cause
	}
	fmt.Fprintln(s.out, "\nStopping ...")
	return nil
}

// errEmulatorEnded means that somebody killed the emulator: the apps can do nothing without their storage.
var errEmulatorEnded = errors.New("the storage emulator has ended by itself: run make run again")

// errHostStopped means that nobody asked the host to stop: its handlers kept failing.
var errHostStopped = errors.New("the local host has stopped by itself")
