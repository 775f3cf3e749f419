package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/lease"
	"github.com/google/uuid"
)

// Lease is a blob that only the lease's holder may write, until the lease is released or runs out.
type Lease struct {
	ID        string
	container *Container
	name      string
	client    *lease.BlobClient
}

// Lease takes the lease of a blob for d, 15 to 60 seconds, and creates the blob, empty, when it is missing. ErrConflict when
// somebody else holds it.
func (c *Container) Lease(ctx context.Context, name string, d time.Duration) (*Lease, error) {
	if d < 15*time.Second || d > 60*time.Second {
		return nil, fmt.Errorf("lease %s for %s: 15 to 60 seconds are allowed", c.blob(name), d)
	}
	// Our own id makes a repeated request harmless: taking a lease that one holds already renews it.
	id := uuid.NewString()
	client, err := lease.NewBlobClient(c.client.NewBlobClient(name), &lease.BlobClientOptions{LeaseID: &id})
	if err != nil {
		return nil, fmt.Errorf("lease %s: %w", c.blob(name), err)
	}
	acquire := func() error {
		_, err := client.AcquireLease(ctx, int32(d/time.Second), nil)
		return c.wrap(ctx, err, "lease", name)
	}
	err = acquire()
	if errors.Is(err, ErrNotFound) {
		if _, err := c.Write(ctx, name, nil, Cond{New: true}, Meta{}); err != nil && !errors.Is(err, ErrConflict) {
			return nil, err
		}
		err = acquire()
	}
	if err != nil {
		return nil, err
	}
	return &Lease{ID: id, container: c, name: name, client: client}, nil
}

// Renew makes the lease last its full time from now on. ErrConflict when it was lost to somebody else or broken.
func (l *Lease) Renew(ctx context.Context) error {
	_, err := l.client.RenewLease(ctx, nil)
	return l.container.wrap(ctx, err, "renew the lease of", l.name)
}

// Release gives the lease back; that it was lost already is no error.
func (l *Lease) Release(ctx context.Context) error {
	_, err := l.client.ReleaseLease(ctx, nil)
	err = l.container.wrap(ctx, err, "release the lease of", l.name)
	if errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
