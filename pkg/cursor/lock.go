package cursor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/storage"
)

var (
	// ErrLocked says that another run of the job is under way.
	ErrLocked = errors.New("another run holds the lock")
	// ErrLeaseLost is the cause of a context that ended because the lock was lost; another run may have started.
	ErrLeaseLost = errors.New("the lock was lost")
)

// leaseTimes are how long a lease lasts at the service, when it is renewed, and when a lease that could not be renewed is
// given up; each counted from the request that took or renewed it.
type leaseTimes struct{ length, renew, lost time.Duration }

// A run that is killed blocks the next one for a minute at most. Renewing is tried from 20 to 55 seconds on, so that the run
// knows that the lock is lost some time before another one can have it.
func usualLease() leaseTimes {
	return leaseTimes{length: 60 * time.Second, renew: 20 * time.Second, lost: 55 * time.Second}
}

// unlockLimit bounds Unlock: after it the lease runs out by itself.
const unlockLimit = 10 * time.Second

// Lock is held until Unlock, or until the context that came with it ends with the cause ErrLeaseLost.
type Lock struct {
	lease    *storage.Lease
	cancel   context.CancelCauseFunc
	renewing sync.WaitGroup
	unlock   sync.Once
	err      error
}

// Lock takes the lock, a lease of the blob beside the record, and renews it in the background. ErrLocked when another run has
// it. Work under the returned context: it ends when ctx does, when the lock is released, and when the lock is lost. A process
// that dies without Unlock leaves the lock for 60 seconds at most.
func (s *Store[T]) Lock(ctx context.Context) (context.Context, *Lock, error) {
	taken := time.Now()
	lease, err := s.container.Lease(ctx, strings.TrimSuffix(s.blob, ".json")+".lock", s.lease.length)
	if errors.Is(err, storage.ErrConflict) {
		return nil, nil, fmt.Errorf("lock cursor %q: %w", s.blob, ErrLocked)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("lock cursor %q: %w", s.blob, err)
	}
	held, cancel := context.WithCancelCause(ctx)
	l := &Lock{lease: lease, cancel: cancel}
	l.renewing.Go(func() { l.keep(held, taken, s.lease) })
	return held, l, nil
}

// keep renews the lease until ctx ends. The lease counts from before the request that took it was sent, so that it ends here
// before it ends at the service.
func (l *Lock) keep(ctx context.Context, taken time.Time, times leaseTimes) {
	for {
		due := time.NewTimer(time.Until(taken.Add(times.renew)))
		select {
		case <-ctx.Done():
			due.Stop()
			return
		case <-due.C:
		}
		renewed, err := l.renew(ctx, taken.Add(times.lost))
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			// Not %w: calls that fail because the context ended must not look like a conflict of their own.
			l.cancel(fmt.Errorf("%w: %v", ErrLeaseLost, err))
			return
		}
		taken = renewed
	}
}

// renew tries until it works, the lease turns out to be somebody else's, or it would be too late.
func (l *Lock) renew(ctx context.Context, deadline time.Time) (time.Time, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	for {
		start := time.Now()
		err := l.lease.Renew(ctx)
		if err == nil {
			return start, nil
		}
		if errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrNotFound) || ctx.Err() != nil {
			return time.Time{}, err
		}
		pause := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
			pause.Stop()
			return time.Time{}, err
		case <-pause.C:
		}
	}
}

// Unlock ends the lock's context and gives the lock back, also when ctx has ended already. It may be called more than once and
// after the lock was lost; a lock that cannot be given back runs out by itself.
func (l *Lock) Unlock(ctx context.Context) error {
	l.unlock.Do(func() {
		l.cancel(context.Canceled)
		l.renewing.Wait()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockLimit)
		defer cancel()
		if err := l.lease.Release(ctx); err != nil {
			l.err = fmt.Errorf("unlock: %w", err)
		}
	})
	return l.err
}
