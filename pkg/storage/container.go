package storage

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

// Container is a container of blobs. It is private: nothing here opens one to the public. Writing creates it when missing.
type Container struct {
	account *Account
	name    string
	client  *container.Client
}

// Name is the container's name.
func (c *Container) Name() string { return c.name }

// String names the container and its account, for messages.
func (c *Container) String() string {
	return fmt.Sprintf("container %q of account %q", c.name, c.account.name)
}

// Create makes the container; that it exists already is no error.
func (c *Container) Create(ctx context.Context) error {
	if err := checkName("container", c.name); err != nil {
		return err
	}
	_, err := c.client.Create(ctx, nil)
	err = c.wrap(ctx, err, "create", "")
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

// creating runs a write, and once more after creating the container when that was missing.
func (c *Container) creating(ctx context.Context, write func() error) error {
	err := write()
	var e *Error
	if errors.As(err, &e) && e.Code == "ContainerNotFound" {
		if err := c.Create(ctx); err != nil {
			return err
		}
		return write()
	}
	return err
}

// Stat describes a blob.
func (c *Container) Stat(ctx context.Context, name string) (Properties, error) {
	p, _, err := c.stat(ctx, name)
	return p, err
}

// stat also returns the id of the write that made the blob.
func (c *Container) stat(ctx context.Context, name string) (Properties, string, error) {
	r, err := c.client.NewBlobClient(name).GetProperties(ctx, nil)
	if err != nil {
		return Properties{}, "", c.wrap(ctx, err, "stat", name)
	}
	p := properties(name, r.ContentLength, r.ETag, r.ContentMD5, r.LastModified, r.ContentType, r.Metadata)
	return p, decodeMetadata(r.Metadata)[writeKey], nil
}

// Read returns a whole blob of at most limit bytes, checked against its MD5 when it has one.
func (c *Container) Read(ctx context.Context, name string, limit int64) ([]byte, Properties, error) {
	r, p, err := c.Open(ctx, name)
	if err != nil {
		return nil, Properties{}, err
	}
	defer r.Close()
	if p.Size > limit {
		return nil, Properties{}, fmt.Errorf("read %s: it is %d bytes, at most %d were expected", c.blob(name), p.Size, limit)
	}
	data := make([]byte, p.Size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, Properties{}, err
	}
	if sum := md5.Sum(data); p.MD5 != nil && !bytes.Equal(sum[:], p.MD5) {
		return nil, Properties{}, &Error{Op: "read", Resource: c.blob(name), Kind: ErrUnavailable,
			Detail: "the bytes that arrived do not have the MD5 kept with the blob"}
	}
	return data, p, nil
}

// Delete removes a blob and its snapshots; that it does not exist is no error, whatever the condition.
func (c *Container) Delete(ctx context.Context, name string, cond Cond) error {
	with := blob.DeleteSnapshotsOptionTypeInclude
	_, err := c.client.NewBlobClient(name).Delete(ctx, &blob.DeleteOptions{DeleteSnapshots: &with, AccessConditions: cond.access()})
	err = c.wrap(ctx, err, "delete", name)
	if errors.Is(err, ErrConflict) && cond.ETag != "" {
		// A blob that is gone fails the condition too, also when it was this call that deleted it and the answer was lost.
		if _, gone := c.Stat(ctx, name); errors.Is(gone, ErrNotFound) {
			return nil
		}
	}
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// List gives the blobs whose names start with prefix, in the order of their names, with metadata. Blobs that come or go
// while the list is read may or may not be in it. A container that does not exist is an empty one.
func (c *Container) List(ctx context.Context, prefix string) iter.Seq2[Properties, error] {
	return func(yield func(Properties, error) bool) {
		pages := c.client.NewListBlobsFlatPager(&container.ListBlobsFlatOptions{
			Prefix: &prefix, Include: container.ListBlobsInclude{Metadata: true},
		})
		for pages.More() {
			page, err := pages.NextPage(ctx)
			if err = c.wrap(ctx, err, "list", ""); err != nil {
				if !errors.Is(err, ErrNotFound) {
					yield(Properties{}, err)
				}
				return
			}
			for _, item := range page.Segment.BlobItems {
				p := item.Properties
				if !yield(properties(value(item.Name), p.ContentLength, p.ETag, p.ContentMD5, p.LastModified, p.ContentType,
					item.Metadata), nil) {
					return
				}
			}
		}
	}
}

func (c *Container) block(name string) *blockblob.Client { return c.client.NewBlockBlobClient(name) }

// blob names a blob in messages; without a name, the container.
func (c *Container) blob(name string) string {
	if name == "" {
		return fmt.Sprintf("container %q", c.name)
	}
	return fmt.Sprintf("blob %q in container %q", name, c.name)
}

func (c *Container) wrap(ctx context.Context, err error, op, name string) error {
	return c.account.wrap(ctx, err, op, c.blob(name))
}

// checkBlobName refuses names that the service does not take, or that it or a proxy on the way would change (Microsoft Learn,
// "Naming and referencing containers, blobs, and metadata").
func checkBlobName(name string) error {
	switch {
	case name == "" || len(name) > 1024:
		return fmt.Errorf("blob name %q: 1 to 1024 bytes are allowed", name)
	case !utf8.ValidString(name):
		return fmt.Errorf("blob name %q: is not UTF-8", name)
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r >= 0xfffe && r <= 0xffff }):
		return fmt.Errorf("blob name %q: control characters cannot be listed", name)
	case strings.Contains(name, `\`):
		return fmt.Errorf("blob name %q: the service turns a backslash into a slash", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || strings.HasSuffix(part, ".") {
			return fmt.Errorf("blob name %q: no part between slashes may be empty or end with a dot", name)
		}
	}
	return nil
}
