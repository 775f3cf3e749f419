package ftpfetch

import "sync"

// blockSize is what is read, hashed and stored at a time. A file up to this size is stored in one request.
const blockSize = 4 << 20

// blocks lends buffers of a block and one byte. Only a file that has a connection uses one, so the number of connections
// bounds the memory, however many messages are worked on.
type blocks struct{ pool sync.Pool }

func (b *blocks) get() []byte {
	if block, ok := b.pool.Get().(*[blockSize + 1]byte); ok {
		return block[:]
	}
	return make([]byte, blockSize+1)
}

func (b *blocks) put(block []byte) { b.pool.Put((*[blockSize + 1]byte)(block)) }
