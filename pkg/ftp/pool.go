package ftp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	keepIdle  = 30 * time.Second // an unused connection is closed after this
	freshFor  = 5 * time.Second  // one that has rested longer is asked for a sign of life before use
	shrunkFor = time.Minute      // how long to do with fewer connections after "too many"
)

// ErrPoolClosed is what Get returns after Close.
var ErrPoolClosed = errors.New("ftp pool closed")

// Pool hands out up to n connections to one server; it is safe for concurrent use.
//
// Logins happen one at a time. When the server refuses one (ErrDenied), every Get fails with that error, without asking
// the server again, for Config.LoginPause: a wrong password costs one try, and locks no account. When the server says
// that it has too many connections (ErrBusy), Get waits for one that is in use, if there is one, instead of failing.
type Pool struct {
	cfg   Config
	max   int
	login chan struct{} // a token: held while dialling

	mu          sync.Mutex
	changed     chan struct{} // closed and replaced when a waiting Get should look again
	idle        []*idleConn
	open        int // connections in use, idle or being dialled
	limit       int // max, or fewer after "too many connections"
	shrunkUntil time.Time
	denied      error
	deniedUntil time.Time
	closed      bool
}

type idleConn struct {
	*Conn
	since  time.Time
	expiry *time.Timer
}

// NewPool makes a pool of at most n connections, at least one. It does not connect.
func NewPool(cfg Config, n int) *Pool {
	n = max(n, 1)
	setDefault(&cfg.LoginPause, defaultLoginPause)
	return &Pool{cfg: cfg, max: n, limit: n, login: make(chan struct{}, 1), changed: make(chan struct{})}
}

// Get returns a connection for the caller alone, waiting for one if all are in use. It must be given back with Put.
func (p *Pool) Get(ctx context.Context) (*Conn, error) {
	for {
		rested, wait, err := p.claim()
		switch {
		case err != nil:
			return nil, err
		case rested != nil:
			if time.Since(rested.since) < freshFor || rested.Ping(ctx) == nil {
				return rested.Conn, nil
			}
			p.discard(rested.Conn)
		case wait == nil:
			conn, err := p.dial(ctx)
			if err == nil {
				return conn, nil
			}
			if !p.shrink(err) {
				return nil, err
			}
		default:
			select {
			case <-wait:
			case <-ctx.Done():
				return nil, fmt.Errorf("wait for an FTP connection: %w", context.Cause(ctx))
			}
		}
	}
}

// claim reserves an idle connection, or the right to dial one (both results nil), or says what to wait for.
func (p *Pool) claim() (*idleConn, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch now := time.Now(); {
	case p.closed:
		return nil, nil, ErrPoolClosed
	case now.Before(p.deniedUntil):
		return nil, nil, p.denied
	case now.After(p.shrunkUntil):
		p.limit = p.max
	}
	if last := len(p.idle) - 1; last >= 0 {
		rested := p.idle[last]
		p.idle = p.idle[:last]
		rested.expiry.Stop()
		return rested, nil, nil
	}
	if p.open < p.limit {
		p.open++
		return nil, nil, nil
	}
	return nil, p.changed, nil
}

// dial logs in, one at a time, and not at all once a login was refused.
func (p *Pool) dial(ctx context.Context) (*Conn, error) {
	select {
	case p.login <- struct{}{}:
		defer func() { <-p.login }()
	case <-ctx.Done():
		p.release()
		return nil, fmt.Errorf("wait for an FTP connection: %w", context.Cause(ctx))
	}
	if err := p.refusal(); err != nil {
		p.release()
		return nil, err
	}
	conn, err := Dial(ctx, p.cfg)
	if err == nil {
		return conn, nil
	}
	p.mu.Lock()
	if errors.Is(err, ErrDenied) {
		p.denied, p.deniedUntil = err, time.Now().Add(p.cfg.LoginPause)
	}
	p.mu.Unlock()
	p.release()
	return nil, err
}

func (p *Pool) refusal() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Now().Before(p.deniedUntil) {
		return p.denied
	}
	return nil
}

// shrink tells whether, after a failed dial, there is another connection to wait for.
func (p *Pool) shrink(err error) bool {
	if !errors.Is(err, ErrBusy) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == 0 {
		return false
	}
	p.limit, p.shrunkUntil = p.open, time.Now().Add(shrunkFor)
	return true
}

// Put gives a connection back. It is kept for the next Get unless it is broken, or err, the outcome of its last use, is
// a failure of the connection and not of one file.
func (p *Pool) Put(conn *Conn, err error) {
	if conn.Broken() || errors.Is(err, ErrLost) || errors.Is(err, ErrTimeout) {
		p.discard(conn)
		return
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.discard(conn)
		return
	}
	defer p.mu.Unlock()
	conn.known = knownSize{} // who gets it next may come much later
	rested := &idleConn{Conn: conn, since: time.Now()}
	rested.expiry = time.AfterFunc(keepIdle, func() { p.expire(rested) })
	p.idle = append(p.idle, rested)
	p.wake()
}

func (p *Pool) expire(rested *idleConn) {
	p.mu.Lock()
	for i, c := range p.idle {
		if c == rested {
			p.idle = append(p.idle[:i], p.idle[i+1:]...)
			p.mu.Unlock()
			p.discard(rested.Conn)
			return
		}
	}
	p.mu.Unlock()
}

func (p *Pool) discard(conn *Conn) {
	conn.Close()
	p.release()
}

// release gives up the right to one open connection.
func (p *Pool) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
	p.wake()
}

func (p *Pool) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// Close closes the idle connections, and those in use as they are Put back.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.wake()
	p.mu.Unlock()
	for _, rested := range idle {
		rested.expiry.Stop()
		p.discard(rested.Conn)
	}
}
