// Package winrm runs PowerShell scripts on Windows servers over WS-Management, and never takes silence for success.
//
// What it promises:
//   - Every wait ends: with the context, within a second, or when the server has been silent for twice the operation
//     timeout. A run that ends early terminates its remote command; only a lost network can keep it from doing so, or
//     from learning a new shell's id, and then the server ends the shell when it has been idle for 15 minutes.
//   - A script's success is its result, received whole. A missing result is ErrNoResult, whatever the exit code says.
//   - Script and parameters travel as data in standard input, and are checked there by hash. The command line is constant.
//     No password, parameter that is named like a secret, or script text appears in errors and events.
//   - Failures are a *Fault (the request failed) or a *ScriptError (the script did), with a class for errors.Is, what it means
//     and often what to do.
//   - TLS is verified (1.2 or newer) against the system's authorities, a CA file or a pinned key; over HTTP everything is
//     encrypted by NTLM; clear text only where Config.Security says so by name. There is no falling back.
//
// What it does not: PowerShell remoting (PSRP), CredSSP, client certificates, proxies, message encryption with Kerberos.
//
// The protocol is MS-WSMV over DSP0226 (WS-Management), with MS-NLMP (NTLM), RFC 4559 (Negotiate) and RFC 5929 (channel
// bindings). The messages are those of github.com/masterzen/winrm. Its run loop and its transports are not used: they cannot
// be interrupted, ask for ever where the server answers with faults, and some send in clear text what was to be encrypted.
package winrm

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"
)

const (
	// idleShells is how many shells are kept for the next runs; Windows allows an account 30, with all its clients.
	idleShells = 4
	// cleanupLimit is how long a run that failed tries to end its remote command, and cleanupWait how much of it Run waits.
	cleanupLimit = 10 * time.Second
	cleanupWait  = 700 * time.Millisecond
)

// Client runs scripts on one server. It is safe for concurrent use; each run under way has its own shell and connection.
type Client struct {
	cfg      Config
	endpoint *url.URL
	tls      *tls.Config
	tickets  *tickets
	messages messages

	lock     sync.Mutex
	idle     []*shell
	closed   bool
	cleanups sync.WaitGroup
}

// New checks cfg and reads its files. It does not connect.
func New(cfg Config) (*Client, error) {
	cfg, endpoint, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	t, err := cfg.tlsConfig()
	if err != nil {
		return nil, fmt.Errorf("connect to WinRM server %q: %w", cfg.Server, err)
	}
	c := &Client{cfg: cfg, endpoint: endpoint, tls: t, messages: newMessages(endpoint.String(), cfg.OperationTimeout)}
	if cfg.Auth == Kerberos {
		c.tickets = &tickets{cfg: cfg}
	}
	return c, nil
}

// RunAs is Run for a script whose result is a T in JSON.
func RunAs[T any](ctx context.Context, c *Client, script Script, params any, on func(Event)) (T, error) {
	var value T
	result, err := c.Run(ctx, script, params, on)
	if err != nil {
		return value, err
	}
	if err := json.Unmarshal(result, &value); err != nil {
		return value, fmt.Errorf("run script %q: decode its result: %w", script.Name, err)
	}
	return value, nil
}

// Run runs a script and returns its one result. params must encode to a JSON object, whose members are the script's named
// parameters; nil means none. on, if not nil, is called for each event, while the script runs, by the calling goroutine.
//
// After a Fault that came once the script had been sent, or ErrNoResult, what the script did is not known.
func (c *Client) Run(ctx context.Context, script Script, params any, on func(Event)) (json.RawMessage, error) {
	result, err := c.run(ctx, script, params, on)
	if err != nil {
		return nil, fmt.Errorf("run script %q: %w", script.Name, err)
	}
	return result, nil
}

func (c *Client) run(ctx context.Context, script Script, params any, on func(Event)) (json.RawMessage, error) {
	t, err := newTask(script, params)
	if err != nil {
		return nil, err
	}
	t.secrets = append(t.secrets, c.cfg.Password)
	s, command, err := c.start(ctx)
	if err != nil {
		return nil, err
	}
	r := newRun(script, t, on)
	if err := r.drive(ctx, s, command); err != nil {
		c.abandon(s, command)
		return nil, err
	}
	// The script has ended; that the server cannot be told so is no failure of the run, only the end of the shell.
	if err := s.end(ctx, command); err != nil {
		c.abandon(s, command)
	} else {
		c.release(ctx, s)
	}
	return r.outcome()
}

// start starts the bootstrap in an idle shell or a new one. It does nothing before it has read the script, so where an idle
// shell turns out to be gone, or its connection, it is started again in a new one.
func (c *Client) start(ctx context.Context) (*shell, string, error) {
	for {
		s, err := c.take(ctx)
		if err != nil {
			return nil, "", err
		}
		command, err := s.start(ctx, commandLine())
		if err == nil {
			s.used = true
			return s, command, nil
		}
		c.abandon(s, "")
		stale := errors.Is(err, ErrUnknownShell) || errors.Is(err, ErrQuota) || errors.Is(err, ErrUnreachable)
		if !s.used || !stale || ctx.Err() != nil {
			return nil, "", err
		}
	}
}

func (c *Client) take(ctx context.Context) (*shell, error) {
	c.lock.Lock()
	if c.closed {
		c.lock.Unlock()
		return nil, errors.New("the WinRM client is closed")
	}
	if n := len(c.idle); n > 0 {
		s := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.lock.Unlock()
		return s, nil
	}
	c.lock.Unlock()
	l := &link{cfg: c.cfg, endpoint: c.endpoint, tls: c.tls, tickets: c.tickets}
	s, err := openShell(ctx, l, c.messages)
	if err != nil {
		l.close()
		return nil, err
	}
	return s, nil
}

// release keeps a shell for the next run.
func (c *Client) release(ctx context.Context, s *shell) {
	c.lock.Lock()
	keep := !c.closed && len(c.idle) < idleShells
	if keep {
		c.idle = append(c.idle, s)
	}
	c.lock.Unlock()
	if !keep {
		c.abandon(s, "")
	}
}

// abandon ends a shell and what runs in it, even though the context may have ended: in the background, but it is given a
// moment, so that it is usually done when the caller goes on.
func (c *Client) abandon(s *shell, command string) {
	done := make(chan struct{})
	c.cleanups.Go(func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.Background(), cleanupLimit)
		defer cancel()
		if command != "" {
			s.end(ctx, command) // deleting the shell ends it too, if this did not
		}
		s.delete(ctx)
	})
	timer := time.NewTimer(cleanupWait)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// Close deletes the idle shells, and waits until those of runs that failed are deleted. Runs under way go on; their shells
// are deleted when they end.
func (c *Client) Close(ctx context.Context) error {
	c.lock.Lock()
	idle := c.idle
	c.idle, c.closed = nil, true
	c.lock.Unlock()
	var errs []error
	for _, s := range idle {
		errs = append(errs, s.delete(ctx))
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.cleanups.Wait()
		if c.tickets != nil {
			c.tickets.close()
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
		errs = append(errs, context.Cause(ctx))
	}
	return errors.Join(errs...)
}
