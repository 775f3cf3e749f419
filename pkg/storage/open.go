package storage

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
)

// stallLimit is how long a download may stand still.
const stallLimit = 2 * time.Minute

var errStalled = errors.New("the download stands still")

// Open streams a blob. A connection that breaks in the middle is made anew; if the blob was replaced meanwhile, Read fails
// rather than mixing two versions. A download that stands still for two minutes fails with ErrUnavailable. The caller closes
// the reader.
func (c *Container) Open(ctx context.Context, name string) (io.ReadCloser, Properties, error) {
	reading, cancel := context.WithCancelCause(policy.WithRetryOptions(ctx, c.account.streaming))
	r, err := c.client.NewBlobClient(name).DownloadStream(reading, nil)
	if err != nil {
		cancel(nil)
		return nil, Properties{}, c.wrap(ctx, err, "read", name)
	}
	p := properties(name, r.ContentLength, r.ETag, r.ContentMD5, r.LastModified, r.ContentType, r.Metadata)
	d := &download{ctx: ctx, reading: reading, cancel: cancel, container: c, name: name,
		body: r.NewRetryReader(reading, &blob.RetryReaderOptions{MaxRetries: 5})}
	d.watch = time.AfterFunc(c.account.stall, func() { cancel(errStalled) })
	d.watch.Stop() // it runs while Read waits
	return d, p, nil
}

// download sorts the errors of a stream and ends it when it stands still.
type download struct {
	ctx       context.Context // the caller's
	reading   context.Context
	cancel    context.CancelCauseFunc
	watch     *time.Timer
	container *Container
	name      string
	body      io.ReadCloser
}

func (d *download) Read(p []byte) (int, error) {
	d.watch.Reset(d.container.account.stall)
	n, err := d.body.Read(p)
	d.watch.Stop()
	if err == nil || err == io.EOF {
		return n, err
	}
	if errors.Is(context.Cause(d.reading), errStalled) {
		err = errStalled
	}
	return n, d.container.wrap(d.ctx, err, "read", d.name)
}

func (d *download) Close() error {
	d.watch.Stop()
	defer d.cancel(nil)
	return d.body.Close()
}
