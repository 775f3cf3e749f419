package cursor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/lease"

	"github.com/nightshift-hq/nightshift/pkg/cursor"
	"github.com/nightshift-hq/nightshift/pkg/sim/storagefault"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

func TestLock(t *testing.T) {
	t.Parallel()
	s := cursor.Open[count](containerAt(t, emulator.Server(t).ConnectionString()), "job", 1)
	ctx, lock, err := s.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Lock(t.Context()); !errors.Is(err, cursor.ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	if _, err := s.Swap(ctx, cursor.Record[count]{}, count{1}); err != nil {
		t.Errorf("swap under the lock: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 {
		if err := lock.Unlock(ended); err != nil {
			t.Errorf("unlock with a context that has ended: %v", err)
		}
	}
	if ctx.Err() == nil {
		t.Error("the lock's context goes on after Unlock")
	}
	_, again, err := s.Lock(t.Context())
	if err != nil {
		t.Fatalf("lock after unlock: %v", err)
	}
	if err := again.Unlock(t.Context()); err != nil {
		t.Error(err)
	}
}

// A killed run cannot unlock: its lease must end by itself within a minute.
func TestLockIsTakenForAMinuteAtMost(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	_, lock, err := r.s.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock(t.Context())
	for _, q := range r.proxy.Requests() {
		if q.Op == "Lease Blob" && q.Header.Get("x-ms-lease-duration") != "60" {
			t.Errorf("leased for %s seconds", q.Header.Get("x-ms-lease-duration"))
		}
	}
}

func TestBrokenLeaseEndsTheRun(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.s.SetLease(15*time.Second, 10*time.Millisecond, 14*time.Second)
	ctx, lock, err := r.s.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	breakLease(t, r.c)
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, cursor.ErrLeaseLost) || errors.Is(cause, storage.ErrConflict) {
		t.Errorf("the cause is %v", cause)
	}
	if _, err := r.s.Swap(ctx, cursor.Record[count]{}, count{1}); !errors.Is(err, cursor.ErrLeaseLost) {
		t.Errorf("the next write: %v", err)
	}
	r.is(t, 0)
	if err := lock.Unlock(t.Context()); err != nil {
		t.Errorf("unlock of a lost lock: %v", err)
	}
}

// breakLease takes the lock away as an operator would.
func breakLease(t *testing.T, c *storage.Container) {
	t.Helper()
	client, err := azblob.NewClientFromConnectionString(emulator.Server(t).ConnectionString(), nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := lease.NewBlobClient(client.ServiceClient().NewContainerClient(c.Name()).NewBlobClient("cursors/job.lock"), nil)
	if err != nil {
		t.Fatal(err)
	}
	now := int32(0)
	if _, err := l.BreakLease(t.Context(), &lease.BlobBreakOptions{BreakPeriod: &now}); err != nil {
		t.Fatal(err)
	}
}

func TestLeaseThatCannotBeRenewedEndsTheRun(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.s.SetLease(15*time.Second, 10*time.Millisecond, 300*time.Millisecond)
	ctx, lock, err := r.s.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	down := r.proxy.Inject(storagefault.Fault{Match: storagefault.Op("Lease Blob"), Effect: storagefault.Status(503, "ServerBusy")})
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, cursor.ErrLeaseLost) {
		t.Errorf("the cause is %v", cause)
	}
	if err := lock.Unlock(t.Context()); !errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("unlock while the service is down: %v", err)
	}
	down.Remove()
}

func TestLeaseSurvivesFailedRenewals(t *testing.T) {
	t.Parallel()
	for name, stored := range map[string]bool{"failed": false, "failed but stored": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			r.s.SetLease(15*time.Second, time.Millisecond, 14*time.Second)
			ctx, lock, err := r.s.Lock(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			isRenewal := func(q storagefault.Request) bool { return q.Header.Get("x-ms-lease-action") == "renew" }
			// More failures than one call repeats, so that the renewing itself has to go on.
			r.proxy.Inject(storagefault.Fault{Match: isRenewal, Times: 5, Stored: stored, Effect: storagefault.Status(500, "InternalError")})
			open := make(chan struct{})
			close(open)
			later := r.proxy.Inject(storagefault.Fault{Match: isRenewal, Skip: 3, Effect: storagefault.Wait(open)})
			select {
			case <-later.Hit():
			case <-ctx.Done():
				t.Errorf("the lock was lost: %v", context.Cause(ctx))
			}
			if err := lock.Unlock(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLockWhileTheServiceIsDown(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.proxy.Inject(storagefault.Fault{Match: storagefault.Op("Lease Blob"), Effect: storagefault.Reset()})
	_, _, err := r.s.Lock(t.Context())
	if !errors.Is(err, storage.ErrUnavailable) || errors.Is(err, cursor.ErrLocked) || !strings.Contains(err.Error(), "cursors/job") {
		t.Errorf("got %v", err)
	}
}
