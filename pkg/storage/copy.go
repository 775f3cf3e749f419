package storage

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
)

// Copy copies a blob within the account, on the service's side, with its content type and metadata; meta's metadata is added
// to it. ErrConflict when cond does not hold for the copy, or when the source changes meanwhile.
func (c *Container) Copy(ctx context.Context, from, to string, cond Cond, meta Meta) (Properties, error) {
	source, err := c.Stat(ctx, from)
	if err != nil {
		return Properties{}, err
	}
	all := source.Metadata
	maps.Copy(all, meta.Metadata)
	tag := azcore.ETag(source.ETag)
	client := c.client.NewBlobClient(to)
	_, err = c.store(ctx, fmt.Sprintf("copy blob %q to", from), to, source.Size, cond, Meta{Metadata: all}, func(sent sent) (stored, error) {
		r, err := client.StartCopyFromURL(ctx, c.client.NewBlobClient(from).URL(), &blob.StartCopyFromURLOptions{
			Metadata: sent.metadata, AccessConditions: cond.access(),
			SourceModifiedAccessConditions: &blob.SourceModifiedAccessConditions{SourceIfMatch: &tag},
		})
		return stored{r.ETag, r.LastModified}, err
	})
	if err != nil {
		return Properties{}, err
	}
	return c.awaitCopy(ctx, to)
}

// copyPoll is how often a copy that the service does not finish at once is looked at; within one account that is rare.
const copyPoll = 500 * time.Millisecond

func (c *Container) awaitCopy(ctx context.Context, name string) (Properties, error) {
	tick := time.NewTicker(copyPoll)
	defer tick.Stop()
	for {
		r, err := c.client.NewBlobClient(name).GetProperties(ctx, nil)
		if err != nil {
			return Properties{}, c.wrap(ctx, err, "copy to", name)
		}
		switch value(r.CopyStatus) {
		case blob.CopyStatusTypePending:
		case blob.CopyStatusTypeAborted, blob.CopyStatusTypeFailed:
			return Properties{}, &Error{Op: "copy to", Resource: c.blob(name), Kind: ErrUnavailable, Detail: "the service gave the copy up"}
		default:
			return properties(name, r.ContentLength, r.ETag, r.ContentMD5, r.LastModified, r.ContentType, r.Metadata), nil
		}
		select {
		case <-ctx.Done():
			return Properties{}, c.wrap(ctx, ctx.Err(), "copy to", name)
		case <-tick.C:
		}
	}
}
