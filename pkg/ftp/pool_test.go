package ftp_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/ftp"
	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
)

func newPool(t *testing.T, config ftp.Config, n int) *ftp.Pool {
	t.Helper()
	p := ftp.NewPool(config, n)
	t.Cleanup(p.Close)
	return p
}

// each runs f n times at once and returns the errors that are not nil.
func each(n int, f func() error) []error {
	var mu sync.Mutex
	var all []error
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if err := f(); err != nil {
				mu.Lock()
				all = append(all, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all
}

func TestWrongPasswordIsTriedOnce(t *testing.T) {
	t.Parallel()
	s, config := startSim(t, simftp.Options{RefuseLogins: -1})
	p := newPool(t, config, 8)
	for range 2 {
		errs := each(20, func() error {
			_, err := p.Get(t.Context())
			return err
		})
		if len(errs) != 20 {
			t.Errorf("%d of 20 failed", len(errs))
		}
		for _, err := range errs {
			if !errors.Is(err, ftp.ErrDenied) {
				t.Errorf("got %v, want ErrDenied", err)
			}
		}
	}
	if n := s.Logins(); n != 1 {
		t.Errorf("%d logins, want 1", n)
	}
}

func TestDeniedPoolOpensAgain(t *testing.T) {
	t.Parallel()
	s, config := startSim(t, simftp.Options{RefuseLogins: 1})
	config.LoginPause = time.Nanosecond
	p := newPool(t, config, 2)
	if _, err := p.Get(t.Context()); !errors.Is(err, ftp.ErrDenied) {
		t.Fatalf("got %v, want ErrDenied", err)
	}
	c, err := p.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.Put(c, nil)
	if n := s.Logins(); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
}

func TestPoolDoesWithFewer(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]simftp.Options{"421 as greeting": {MaxConnections: 2}, "one at a time": {MaxConnections: 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, config := startSim(t, o)
			p := newPool(t, config, 8)
			if err := s.WriteFile("/a.csv", noise(1000), time.Time{}); err != nil {
				t.Fatal(err)
			}
			errs := each(40, func() error {
				c, err := p.Get(t.Context())
				if err != nil {
					return err
				}
				_, err = read(t, c, "a.csv", 0)
				p.Put(c, err)
				return err
			})
			if len(errs) > 0 {
				t.Error(errs)
			}
		})
	}
}

func TestPoolIsFullAtTheServerFromTheStart(t *testing.T) {
	t.Parallel()
	s, config := startSim(t, simftp.Options{})
	s.Script(simftp.Fault{Command: "PASS", Kind: simftp.Answer, Reply: "530 Sorry, the maximum number of clients (1) for this user are already connected."})
	if _, err := newPool(t, config, 8).Get(t.Context()); !errors.Is(err, ftp.ErrBusy) || errors.Is(err, ftp.ErrDenied) {
		t.Errorf("got %v, want ErrBusy: the password is right", err)
	}
}

func TestPoolReusesWhatIsWhole(t *testing.T) {
	t.Parallel()
	s, config := startSim(t, simftp.Options{})
	if err := s.WriteFile("/a.csv", noise(100_000), time.Time{}); err != nil {
		t.Fatal(err)
	}
	p := newPool(t, config, 1)
	use := func(name string) error {
		c, err := p.Get(t.Context())
		if err != nil {
			return err
		}
		_, err = read(t, c, name, 0)
		p.Put(c, err)
		return err
	}
	steps := []struct {
		what     string
		fault    []simftp.Fault
		file     string
		want     error
		sessions int // connections made so far
	}{
		{"a file", nil, "a.csv", nil, 1},
		{"another", nil, "a.csv", nil, 1},
		{"a missing one leaves the connection whole", nil, "b.csv", ftp.ErrNotFound, 1},
		{"a broken one does not", []simftp.Fault{{Command: "RETR", Kind: simftp.Die, After: 10}}, "a.csv", ftp.ErrLost, 1},
		{"a new connection", nil, "a.csv", nil, 2},
		{"no data connection", []simftp.Fault{{Command: "RETR", Kind: simftp.Answer, Reply: "425 no"}}, "a.csv", ftp.ErrBusy, 2},
		{"a new connection", nil, "a.csv", nil, 3},
	}
	for _, step := range steps {
		s.Script(step.fault...)
		if err := use(step.file); !errors.Is(err, step.want) {
			t.Errorf("%s: got %v, want %v", step.what, err, step.want)
		}
		if n := len(s.Sessions()); n != step.sessions {
			t.Errorf("%s: %d connections so far, want %d", step.what, n, step.sessions)
		}
	}
}

func TestPoolWaitsAndCloses(t *testing.T) {
	t.Parallel()
	s, config := startSim(t, simftp.Options{})
	p := newPool(t, config, 1)
	c, err := p.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reason := errors.New("no patience")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	if _, err := p.Get(ctx); !errors.Is(err, reason) {
		t.Errorf("got %v, want the reason", err)
	}
	got := make(chan error)
	go func() {
		c, err := p.Get(t.Context())
		if err == nil {
			p.Put(c, nil)
		}
		got <- err
	}()
	p.Put(c, nil)
	if err := <-got; err != nil {
		t.Error(err)
	}
	c, err = p.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if _, err := p.Get(t.Context()); !errors.Is(err, ftp.ErrPoolClosed) {
		t.Errorf("got %v, want ErrPoolClosed", err)
	}
	p.Put(c, nil)
	s.Stop() // returns only when no connection is left
	if n := len(s.Sessions()); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestPoolWithManyUsers(t *testing.T) {
	t.Parallel()
	s, config := startSim(t, simftp.Options{RequireReuse: true})
	for i := range 100 {
		if err := s.WriteFile(fmt.Sprintf("/%d.csv", i), noise(i), time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	// One in five transfers breaks; each file is tried until it arrives.
	s.Script(simftp.Fault{Command: "RETR", Path: "?5.csv", Times: 10, Kind: simftp.Die},
		simftp.Fault{Command: "RETR", Path: "?0.csv", Times: 10, Kind: simftp.Answer, Reply: "425 no"})
	p := newPool(t, config, 4)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			for {
				c, err := p.Get(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				data, err := read(t, c, fmt.Sprintf("%d.csv", i), 0)
				p.Put(c, err)
				if err == nil && len(data) == i {
					return
				}
				if !errors.Is(err, ftp.ErrLost) && !errors.Is(err, ftp.ErrBusy) {
					t.Errorf("%d.csv: %d bytes, %v", i, len(data), err)
					return
				}
			}
		})
	}
	wg.Wait()
}
