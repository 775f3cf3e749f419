package storage

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// Write stores data as a blob in one request. It is meant for small data: Upload streams what may be bigger.
func (c *Container) Write(ctx context.Context, name string, data []byte, cond Cond, meta Meta) (Properties, error) {
	sum := sha256.Sum256(data)
	return c.put(ctx, name, data, cond, withHash(meta, sum[:]))
}

func withHash(meta Meta, sum []byte) Meta {
	all := maps.Clone(meta.Metadata)
	if all == nil {
		all = map[string]string{}
	}
	all[hashKey] = hex.EncodeToString(sum)
	meta.Metadata = all
	return meta
}

func (c *Container) put(ctx context.Context, name string, data []byte, cond Cond, meta Meta) (Properties, error) {
	sum := md5.Sum(data)
	meta.MD5 = sum[:]
	return c.store(ctx, "write", name, int64(len(data)), cond, meta, func(sent sent) (stored, error) {
		r, err := c.block(name).Upload(ctx, streaming.NopCloser(bytes.NewReader(data)), &blockblob.UploadOptions{
			Metadata: sent.metadata, HTTPHeaders: sent.headers, AccessConditions: cond.access(),
			TransactionalValidation: blob.TransferValidationTypeMD5(sum[:]),
		})
		return stored{r.ETag, r.LastModified}, err
	})
}

// Commit makes a blob of staged blocks, in the given order; the blob appears, or is replaced, in this one step. ErrConflict
// also when another writer of the same name committed first, which discards the blocks. The service does not say how big the
// blob became: Size stays 0.
func (c *Container) Commit(ctx context.Context, name string, blockIDs []string, cond Cond, meta Meta) (Properties, error) {
	encoded := make([]string, len(blockIDs))
	for i, id := range blockIDs {
		var err error
		if encoded[i], err = encodeBlockID(id); err != nil {
			return Properties{}, fmt.Errorf("commit %s: %w", c.blob(name), err)
		}
	}
	return c.store(ctx, "commit", name, 0, cond, meta, func(sent sent) (stored, error) {
		r, err := c.block(name).CommitBlockList(ctx, encoded, &blockblob.CommitBlockListOptions{
			Metadata: sent.metadata, HTTPHeaders: sent.headers, AccessConditions: cond.access(),
		})
		return stored{r.ETag, r.LastModified}, err
	})
}

// sent is what goes with a write, stored what the service answers to it.
type sent struct {
	metadata map[string]*string
	headers  *blob.HTTPHeaders
}

type stored struct {
	etag     *azcore.ETag
	modified *time.Time
}

// store runs one write that makes a blob. When the service reports a conflict, the blob may be our own: stored by a request
// whose answer was lost and which the SDK then repeated. The random id in the metadata tells.
func (c *Container) store(ctx context.Context, op, name string, size int64, cond Cond, meta Meta,
	write func(sent) (stored, error)) (Properties, error) {
	if err := checkBlobName(name); err != nil {
		return Properties{}, err
	}
	id := rand.Text()
	all := maps.Clone(meta.Metadata)
	if all == nil {
		all = map[string]string{}
	}
	all[writeKey] = id
	metadata, err := encodeMetadata(all)
	if err != nil {
		return Properties{}, fmt.Errorf("%s %s: %w", op, c.blob(name), err)
	}
	with := sent{metadata, &blob.HTTPHeaders{BlobContentMD5: meta.MD5}}
	if meta.ContentType != "" {
		with.headers.BlobContentType = &meta.ContentType
	}
	var answer stored
	err = c.creating(ctx, func() (err error) {
		answer, err = write(with)
		return c.wrap(ctx, err, op, name)
	})
	if errors.Is(err, ErrConflict) {
		return c.ownWrite(ctx, name, id, err)
	}
	if err != nil {
		return Properties{}, err
	}
	return properties(name, &size, answer.etag, meta.MD5, answer.modified, with.headers.BlobContentType, metadata), nil
}

// ownWrite looks whether the blob in the way of a write is the result of that very write.
func (c *Container) ownWrite(ctx context.Context, name, id string, conflict error) (Properties, error) {
	p, last, err := c.stat(ctx, name)
	switch {
	case errors.Is(err, ErrNotFound):
		return Properties{}, conflict
	case err != nil:
		return Properties{}, err
	case last != id:
		return Properties{}, conflict
	}
	return p, nil
}

// Block is a part of a blob that was staged and not yet committed.
type Block struct {
	ID   string
	Size int64
}

// Stage sends one block of a blob to be. It stays invisible until Commit names it, and is discarded after a week, or when
// anybody writes or commits the blob without naming it. Staging the same id again replaces the block. An id has at most 48
// bytes. At most 50,000 blocks make a blob.
func (c *Container) Stage(ctx context.Context, name, blockID string, data []byte) error {
	if err := checkBlobName(name); err != nil {
		return err
	}
	encoded, err := encodeBlockID(blockID)
	if err != nil {
		return fmt.Errorf("stage a block of %s: %w", c.blob(name), err)
	}
	sum := md5.Sum(data)
	return c.creating(ctx, func() error {
		_, err := c.block(name).StageBlock(ctx, encoded, streaming.NopCloser(bytes.NewReader(data)),
			&blockblob.StageBlockOptions{TransactionalValidation: blob.TransferValidationTypeMD5(sum[:])})
		return c.wrap(ctx, err, "stage a block of", name)
	})
}

// Staged lists the blocks of a blob that wait to be committed, in no useful order; none when there is no such blob.
func (c *Container) Staged(ctx context.Context, name string) ([]Block, error) {
	r, err := c.block(name).GetBlockList(ctx, blockblob.BlockListTypeUncommitted, nil)
	err = c.wrap(ctx, err, "list the blocks of", name)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var blocks []Block
	for _, b := range r.UncommittedBlocks {
		if id, ok := decodeBlockID(value(b.Name)); ok {
			blocks = append(blocks, Block{ID: id, Size: value(b.Size)})
		}
	}
	return blocks, nil
}

// blockIDSize is the length of every block id before encoding: the service wants all ids of one blob equally long, whoever
// staged them.
const blockIDSize = 48

func encodeBlockID(id string) (string, error) {
	if id == "" || len(id) > blockIDSize || strings.HasSuffix(id, ".") {
		return "", fmt.Errorf("block id %q: 1 to %d bytes are allowed, no dot at the end", id, blockIDSize)
	}
	return base64.StdEncoding.EncodeToString([]byte(id + strings.Repeat(".", blockIDSize-len(id)))), nil
}

// decodeBlockID gives back the id; false for a block that was not staged here.
func decodeBlockID(encoded string) (string, bool) {
	id, err := base64.StdEncoding.DecodeString(encoded)
	return strings.TrimRight(string(id), "."), err == nil && len(id) == blockIDSize
}
