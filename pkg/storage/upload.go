package storage

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Sums are what Upload learnt about the bytes it read.
type Sums struct {
	Size   int64
	MD5    [md5.Size]byte
	SHA256 [sha256.Size]byte
}

// An upload reads one block while older ones are hashed and sent: blockSize times blocksInFlight bytes of memory.
const (
	blockSize      = 2 << 20
	blocksInFlight = 4
	blockLimit     = 50_000 // the service's limit for one blob
)

// buffer holds one block. An account's uploads share a pool of them.
type buffer [blockSize]byte

// block is the filled part of a buffer.
type block struct {
	buffer *buffer
	size   int
}

func (b block) bytes() []byte { return b.buffer[:b.size] }

// Upload stores everything that r gives as a blob, and returns its properties and sums. It needs 8 MiB of memory for its
// blocks, whatever the size, and 2 MiB for what is smaller than that. The blob appears when all of it has arrived: an error
// of r, of the service or the end of ctx leaves whatever was there before. ErrConflict when cond does not hold at the end, or
// another writer of the same name was faster. At most 97 GiB.
func (c *Container) Upload(ctx context.Context, name string, r io.Reader, cond Cond, meta Meta) (Properties, Sums, error) {
	if err := checkBlobName(name); err != nil {
		return Properties{}, Sums{}, err
	}
	first, err := c.account.fill(r)
	if err != nil && err != io.EOF {
		return Properties{}, Sums{}, fmt.Errorf("upload %s: read the source: %w", c.blob(name), err)
	}
	if err == nil {
		return c.uploadBlocks(ctx, name, first, r, cond, meta)
	}
	data := first.bytes()
	sums := Sums{Size: int64(len(data)), MD5: md5.Sum(data), SHA256: sha256.Sum256(data)}
	p, err := c.put(ctx, name, data, cond, withHash(meta, sums.SHA256[:]))
	if err != nil {
		return Properties{}, Sums{}, err
	}
	c.account.buffers.Put(first.buffer)
	return p, sums, nil
}

// fill reads a block; io.EOF when r ended before the block was full, or exactly there and r said so.
func (a *Account) fill(r io.Reader) (block, error) {
	b := block{buffer: a.buffers.Get().(*buffer)}
	for b.size < blockSize {
		n, err := r.Read(b.buffer[b.size:])
		b.size += n
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// uploadBlocks runs three stages at once: read, hash the whole, and send blocks.
func (c *Container) uploadBlocks(ctx context.Context, name string, first block, r io.Reader, cond Cond, meta Meta) (Properties, Sums, error) {
	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	sender := newSender(sending, c, name)
	readErr := sender.sendAll(first, r)
	if readErr != nil {
		cancel() // what is still on its way is for nothing
	}
	sums := sender.whole.finish()
	sendErr := sender.group.Wait()
	switch {
	case ctx.Err() != nil:
		return Properties{}, Sums{}, fmt.Errorf("upload %s: %w", c.blob(name), context.Cause(ctx))
	case readErr != nil:
		return Properties{}, Sums{}, fmt.Errorf("upload %s: %w", c.blob(name), readErr)
	case sendErr != nil:
		return Properties{}, Sums{}, sendErr
	}
	meta.MD5 = sums.MD5[:]
	p, err := c.Commit(ctx, name, sender.ids, cond, withHash(meta, sums.SHA256[:]))
	if err != nil {
		return Properties{}, Sums{}, err
	}
	p.Size = sums.Size
	return p, sums, nil
}

// sender stages the blocks of one upload, a few at a time.
type sender struct {
	container *Container
	name      string
	writer    string // starts the ids of all blocks, which keeps those of two writers apart
	ids       []string
	whole     *hasher
	group     *errgroup.Group
	running   context.Context // ends with the first block that fails
}

func newSender(ctx context.Context, c *Container, name string) *sender {
	s := &sender{container: c, name: name, writer: rand.Text(), whole: newHasher()}
	s.group, s.running = errgroup.WithContext(ctx)
	s.group.SetLimit(blocksInFlight - 1) // one more block is being read
	return s
}

// sendAll sends the first block, which is full, and what r still has.
func (s *sender) sendAll(first block, r io.Reader) error {
	next, end := first, error(nil)
	for next.size > 0 {
		if len(s.ids) == blockLimit {
			return errors.New("it is bigger than 97 GiB")
		}
		s.send(next)
		if end == io.EOF || s.running.Err() != nil {
			return nil
		}
		if next, end = s.container.account.fill(r); end != nil && end != io.EOF {
			return fmt.Errorf("read the source: %w", end)
		}
	}
	return nil
}

// send stages one block in the background, as soon as there is room; its buffer is free again when it is staged and hashed.
// The buffer of a block that failed is not used again, because the connection it went to may still read it.
func (s *sender) send(b block) {
	id := fmt.Sprintf("%s-%05d", s.writer, len(s.ids))
	s.ids = append(s.ids, id)
	hashed := s.whole.add(b.bytes())
	s.group.Go(func() error {
		err := s.container.Stage(s.running, s.name, id, b.bytes())
		<-hashed
		if err == nil {
			s.container.account.buffers.Put(b.buffer)
		}
		return err
	})
}

// hasher computes the sums of a stream in a goroutine of its own.
type hasher struct {
	blocks chan hashJob
	done   sync.WaitGroup
	sums   Sums
}

type hashJob struct {
	block []byte
	done  chan struct{}
}

func newHasher() *hasher {
	h := &hasher{blocks: make(chan hashJob, blocksInFlight)}
	h.done.Go(func() {
		md, sha := md5.New(), sha256.New()
		for job := range h.blocks {
			md.Write(job.block)
			sha.Write(job.block)
			h.sums.Size += int64(len(job.block))
			close(job.done)
		}
		md.Sum(h.sums.MD5[:0])
		sha.Sum(h.sums.SHA256[:0])
	})
	return h
}

// add takes the stream's next block, which must not change until the returned channel is closed.
func (h *hasher) add(block []byte) <-chan struct{} {
	job := hashJob{block, make(chan struct{})}
	h.blocks <- job
	return job.done
}

func (h *hasher) finish() Sums {
	close(h.blocks)
	h.done.Wait()
	return h.sums
}
