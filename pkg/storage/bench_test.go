package storage_test

import (
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// source gives n bytes without holding them.
type source struct{ left int64 }

func (s *source) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), s.left)
	s.left -= n
	return int(n), nil
}

func BenchmarkUpload(b *testing.B) {
	for _, size := range []int64{16 << 10, 1 << 20, 256 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			c := newContainer(b)
			if err := c.Create(b.Context()); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(size)
			b.ReportAllocs()
			stop := watchHeap(b)
			for b.Loop() {
				if _, _, err := c.Upload(b.Context(), "x", &source{left: size}, storage.Cond{}, storage.Meta{}); err != nil {
					b.Fatal(err)
				}
			}
			stop()
		})
	}
}

func BenchmarkUploadFourFiles(b *testing.B) {
	const size = 64 << 20
	c := newContainer(b)
	if err := c.Create(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(4 * size)
	b.ReportAllocs()
	stop := watchHeap(b)
	for b.Loop() {
		var all errgroup.Group
		for n := range 4 {
			all.Go(func() error {
				_, _, err := c.Upload(b.Context(), fmt.Sprint(n), &source{left: size}, storage.Cond{}, storage.Meta{})
				return err
			})
		}
		if err := all.Wait(); err != nil {
			b.Fatal(err)
		}
	}
	stop()
}

// watchHeap reports the most heap that was in use at once, in MiB.
func watchHeap(b *testing.B) (stop func()) {
	var most atomic.Uint64
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most.Store(max(most.Load(), m.HeapInuse))
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		b.ReportMetric(float64(most.Load())/(1<<20), "heap-MiB")
	}
}

func BenchmarkEnqueue(b *testing.B) {
	q := openAt(b, emulator.Server(b).ConnectionString()).Queue(freshName())
	if err := q.Create(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := q.Enqueue(b.Context(), make([]byte, 1024), 0); err != nil {
			b.Fatal(err)
		}
	}
}
