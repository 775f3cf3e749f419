package localhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// The host's rules for a handler that ends (recorded; see docs/local-host.md).
const (
	exitRestart   = 200 // "restart me, not an error"
	maxFailures   = 3   // the third stops the host
	failureWindow = 30 * time.Minute
	probeInterval = 25 * time.Millisecond
	restartPause  = 100 * time.Millisecond // between restarts that do not count, so that they cannot spin
)

var (
	errStopping = errors.New("the host is stopping")
	errGone     = errors.New("the handler ended with exit code 0, and the host never restarts it after that; a handler must not exit 0 while its host runs")
)

// supervisor keeps the handler running by the host's rules.
type supervisor struct {
	config  hostConfig
	root    string
	environ []string
	grace   time.Duration
	log     *slog.Logger

	port     int
	restarts chan *process

	mu      sync.Mutex
	ready   *process
	failed  error         // set once: why there will be no handler any more
	changed chan struct{} // closed and replaced when ready or failed change
}

func newSupervisor(c hostConfig, root string, env *environment, grace time.Duration, log *slog.Logger) *supervisor {
	return &supervisor{config: c, root: root, environ: env.list, grace: grace, log: log,
		restarts: make(chan *process), changed: make(chan struct{})}
}

// await returns the handler once it answers probes.
func (s *supervisor) await(ctx context.Context) (*process, error) {
	for {
		s.mu.Lock()
		p, err, changed := s.ready, s.failed, s.changed
		s.mu.Unlock()
		if p != nil && !exited(p) || err != nil {
			return p, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s *supervisor) set(p *process, failed error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready, s.failed = p, failed
	close(s.changed)
	s.changed = make(chan struct{})
}

// failure says why there is no handler any more, if so.
func (s *supervisor) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// restart kills p and starts another one, uncounted. It does nothing when p is not the handler any more.
func (s *supervisor) restart(ctx context.Context, p *process) {
	s.mu.Lock()
	if s.ready == p {
		s.ready = nil // nobody gets it any more
	}
	s.mu.Unlock()
	select {
	case s.restarts <- p:
	case <-p.exited:
	case <-ctx.Done():
	}
}

// run starts the handler and restarts it until ctx ends or the rules say stop. Afterwards no handler is left.
func (s *supervisor) run(ctx context.Context) error {
	if err := s.choosePort(); err != nil {
		return s.giveUp(err)
	}
	failures, last := 0, time.Time{}
	for {
		p, err := startProcess(s.config, s.handlerEnviron(), s.address(), s.log)
		if err != nil {
			return s.giveUp(err)
		}
		s.log.Debug("handler started", "pid", p.cmd.Process.Pid, "address", s.address())
		counted, err := s.watch(ctx, p)
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case errors.Is(err, errGone):
			s.log.Error(err.Error())
			s.set(nil, err)
			<-ctx.Done()
			return nil
		case !counted:
			s.log.Info(err.Error() + "; restarting the handler")
			pause(ctx, restartPause)
		default:
			if time.Since(last) > failureWindow {
				failures = 0
			}
			failures, last = failures+1, time.Now()
			if failures == maxFailures {
				return s.giveUp(fmt.Errorf("%w; that was failure %d of %d, so the app stops: fix the handler and start again", err, failures, maxFailures))
			}
			s.log.Error(fmt.Sprintf("%v; restarting the handler (failure %d of %d)", err, failures, maxFailures))
		}
		s.set(nil, nil)
	}
}

func (s *supervisor) giveUp(err error) error {
	s.set(nil, err)
	return err
}

// watch follows one process to its end and says why it ended, and whether that counts as a failure.
func (s *supervisor) watch(ctx context.Context, p *process) (counted bool, err error) {
	defer p.kill()
	probing, cancel := context.WithTimeout(ctx, s.config.initTimeout)
	defer cancel()
	err = s.probe(probing, p)
	switch {
	case ctx.Err() != nil:
		p.stop(s.grace)
		return false, errStopping
	case exited(p):
		return s.judge(p, false)
	case err != nil:
		return true, fmt.Errorf("the handler did not listen on %s within %s", s.address(), s.config.initTimeout)
	}
	s.set(p, nil)
	for {
		select {
		case <-p.exited:
			return s.judge(p, true)
		case asked := <-s.restarts:
			if asked == p {
				return false, errors.New("the handler is killed because a function exceeded functionTimeout")
			}
		case <-ctx.Done():
			p.stop(s.grace)
			return false, errStopping
		}
	}
}

func exited(p *process) bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// judge applies the host's rules to an exit code. An exit 0 before the first probe counts as a failure: the real host
// waits out the initialization timeout first.
func (s *supervisor) judge(p *process, wasReady bool) (counted bool, err error) {
	switch {
	case p.code == 0 && wasReady:
		return false, errGone
	case p.code == exitRestart:
		return false, errors.New("the handler exited with code 200")
	}
	text := fmt.Sprintf("the handler exited with code %d (0x%X)", p.code, p.code)
	if !wasReady {
		text += " before it listened"
	}
	if tail := p.stderr.String(); tail != "" {
		text += ": " + tail
	}
	return true, errors.New(text)
}

// probe asks until anything but a refused connection comes back.
func (s *supervisor) probe(ctx context.Context, p *process) error {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	for {
		_, err := p.wire.send(ctx, probeRequest(s.address()))
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var dial *net.OpError
		if !errors.As(err, &dial) || dial.Op != "dial" && !errors.Is(err, syscall.ECONNREFUSED) {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return errors.New("the handler ended")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// choosePort picks the port once; it stays the same over restarts.
func (s *supervisor) choosePort() error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.config.port))
	if err != nil {
		return fmt.Errorf("choose a port for the handler: %w", err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	return l.Close()
}

func (s *supervisor) address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// handlerEnviron is the environment plus the five variables that the host adds.
func (s *supervisor) handlerEnviron() []string {
	id := uuid.NewString()
	added := []string{
		fmt.Sprintf("FUNCTIONS_HTTPWORKER_PORT=%d", s.port),
		"FUNCTIONS_HTTPWORKER_ID=" + id,
		fmt.Sprintf("FUNCTIONS_CUSTOMHANDLER_PORT=%d", s.port),
		"FUNCTIONS_CUSTOMHANDLER_WORKER_ID=" + id,
		"FUNCTIONS_APP_ROOT_PATH=" + s.root,
	}
	var environ []string
	for _, pair := range s.environ {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "FUNCTIONS_HTTPWORKER_") && !strings.HasPrefix(name, "FUNCTIONS_CUSTOMHANDLER_") && name != "FUNCTIONS_APP_ROOT_PATH" {
			environ = append(environ, pair)
		}
	}
	return append(environ, added...)
}

// pause waits for d, or less when ctx ends; it says whether the whole time passed.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
