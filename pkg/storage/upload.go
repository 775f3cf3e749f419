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

// An upload reads one block while older ones are hashed and sent: blockSize times blocksInFlight bytes of memory. 50,000
// blocks make the biggest blob 195 GiB.
const (
	blockSize      = 4 << 20
	blocksInFlight = 4
	blockLimit     = 50_000
)

// Upload stores everything that r gives as a blob, and returns its properties and sums. It needs about 16 MiB of memory,
// whatever the size, and less for less. The blob appears when all of it has arrived: an error of r, of the service or the end
// of ctx leaves whatever was there before. ErrConflict when cond does not hold at the end, or another writer of the same name
// was faster. At most 195 GiB.
func (c *Container) Upload(ctx context.Context, name string, r io.Reader, cond Cond, meta Meta) (Properties, Sums, error) {
	if err := checkBlobName(name); err != nil {
		return Properties{}, Sums{}, err
	}
	first, err := fill(r, nil)
	if err == io.EOF {
		sums := Sums{Size: int64(len(first)), MD5: md5.Sum(first), SHA256: sha256.Sum256(first)}
		p, err := c.put(ctx, name, first, cond, withHash(meta, sums.SHA256[:]))
		return p, sums, err
	}
	if err != nil {
		return Properties{}, Sums{}, fmt.Errorf("upload %s: read the source: %w", c.blob(name), err)
	}
	return c.uploadBlocks(ctx, name, first, r, cond, meta)
}

// fill reads until the block is full, growing it as needed; io.EOF when r ended before that or exactly there.
func fill(r io.Reader, block []byte) ([]byte, error) {
	for len(block) < blockSize {
		if len(block) == cap(block) {
			bigger := make([]byte, len(block), min(max(4*cap(block), 64<<10), blockSize))
			copy(bigger, block)
			block = bigger
		}
		n, err := r.Read(block[len(block):cap(block)])
		block = block[:len(block)+n]
		if err != nil {
			return block, err
		}
	}
	return block, nil
}

// uploadBlocks runs three stages at once: read, hash the whole, and send blocks.
func (c *Container) uploadBlocks(ctx context.Context, name string, first []byte, r io.Reader, cond Cond, meta Meta) (Properties, Sums, error) {
	sender := newSender(ctx, c, name)
	readErr := sender.sendAll(first, r)
	sums := sender.whole.finish()
	sendErr := sender.group.Wait()
	switch {
	case ctx.Err() != nil:
		return Properties{}, Sums{}, fmt.Errorf("upload %s: %w", c.blob(name), context.Cause(ctx))
	case sendErr != nil:
		return Properties{}, Sums{}, sendErr
	case readErr != nil:
		return Properties{}, Sums{}, fmt.Errorf("upload %s: %w", c.blob(name), readErr)
	}
	meta.MD5 = sums.MD5[:]
	p, err := c.Commit(ctx, name, sender.ids, cond, withHash(meta, sums.SHA256[:]))
	if err != nil {
		return Properties{}, Sums{}, err
	}
	p.Size = sums.Size
	return p, sums, nil
}

// sender stages the blocks of one upload with a fixed number of buffers.
type sender struct {
	container *Container
	name      string
	writer    string // starts the ids of all blocks, which keeps those of two writers apart
	ids       []string
	free      chan []byte
	whole     *hasher
	group     *errgroup.Group
	running   context.Context // ends with the first block that fails
}

func newSender(ctx context.Context, c *Container, name string) *sender {
	s := &sender{container: c, name: name, writer: rand.Text(), free: make(chan []byte, blocksInFlight), whole: newHasher()}
	for range blocksInFlight - 1 {
		s.free <- nil // grows when first needed
	}
	s.group, s.running = errgroup.WithContext(ctx)
	return s
}

// sendAll sends the first block, which is full, and what r still has.
func (s *sender) sendAll(first []byte, r io.Reader) error {
	block, end := first, error(nil)
	for len(block) > 0 {
		if len(s.ids) == blockLimit {
			return errors.New("it is bigger than 195 GiB")
		}
		s.send(block)
		if end == io.EOF {
			return nil
		}
		var next []byte
		select {
		case next = <-s.free:
		case <-s.running.Done():
			return s.running.Err()
		}
		if block, end = fill(r, next); end != nil && end != io.EOF {
			return fmt.Errorf("read the source: %w", end)
		}
	}
	return nil
}

// send stages one block in the background; its buffer is free again when it is both staged and hashed.
func (s *sender) send(block []byte) {
	id := fmt.Sprintf("%s-%05d", s.writer, len(s.ids))
	s.ids = append(s.ids, id)
	hashed := s.whole.add(block)
	s.group.Go(func() error {
		err := s.container.Stage(s.running, s.name, id, block)
		<-hashed
		s.free <- block[:0]
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
