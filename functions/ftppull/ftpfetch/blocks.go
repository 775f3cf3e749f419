package ftpfetch

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// blockSize is what is read, hashed and stored at a time. A file up to this size is stored in one request.
const blockSize = 4 << 20

// perConnection is how many blocks there are for each connection. It bounds the memory, however many messages are worked on.
const perConnection = uploading

// blocks lends buffers of a block and one byte.
type blocks struct {
	once  sync.Once
	limit *semaphore.Weighted
	pool  sync.Pool
}

// lend calls use with n buffers, once that many are free. The connections of all messages together set the limit.
func (b *blocks) lend(ctx context.Context, n, connections int, use func([][]byte) error) error {
	b.once.Do(func() { b.limit = semaphore.NewWeighted(int64(perConnection * connections)) })
	if err := b.limit.Acquire(ctx, int64(n)); err != nil {
		return err
	}
	defer b.limit.Release(int64(n))
	buffers := make([][]byte, n)
	for i := range buffers {
		block, ok := b.pool.Get().(*[blockSize + 1]byte)
		if !ok {
			block = new([blockSize + 1]byte)
		}
		defer b.pool.Put(block)
		buffers[i] = block[:]
	}
	return use(buffers)
}
