package storage_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/sim/azurite"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

var emulator *azurite.Server

func TestMain(m *testing.M) {
	var err error
	if emulator, err = azurite.Start(context.Background(), azurite.Options{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	emulator.Stop()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func openAt(tb testing.TB, connection string, opts ...storage.Option) *storage.Account {
	tb.Helper()
	opts = append([]storage.Option{storage.WithRetries(2, time.Millisecond)}, opts...)
	a, err := storage.Open(storage.Config{ConnectionString: settings.NewSecret(connection)}, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(a.Close)
	return a
}

// freshName is unused so far, since all tests share one emulator.
func freshName() string { return "t" + strings.ToLower(rand.Text()) }

func newContainer(tb testing.TB) *storage.Container {
	return openAt(tb, emulator.ConnectionString()).Container(freshName())
}

func randomBytes(n int) []byte {
	data := make([]byte, n)
	rand.Read(data)
	return data
}

func TestUploadRoundTrip(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	const block = 4 << 20
	for _, size := range []int{0, 1, 1000, block - 1, block, block + 1, 3*block + 17} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			data, name := randomBytes(size), fmt.Sprint(size)
			p, sums, err := c.Upload(t.Context(), name, bytes.NewReader(data), storage.Cond{New: true}, storage.Meta{Metadata: map[string]string{"who": "Zoë % x "}})
			if err != nil {
				t.Fatal(err)
			}
			if sums.Size != int64(size) || sums.SHA256 != sha256.Sum256(data) || p.Size != int64(size) {
				t.Errorf("sums %+v, properties %+v", sums, p)
			}
			r, got, err := c.Open(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			back, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(back, data) {
				t.Errorf("read back %d bytes, error %v", len(back), err)
			}
			if got.Metadata["who"] != "Zoë % x " || got.Metadata["sha256"] != fmt.Sprintf("%x", sums.SHA256) || !bytes.Equal(got.MD5, sums.MD5[:]) {
				t.Errorf("properties %+v", got)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	c, ctx := newContainer(t), t.Context()
	first, err := c.Write(ctx, "x", []byte("1"), storage.Cond{New: true}, storage.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(ctx, "x", []byte("2"), storage.Cond{New: true}, storage.Meta{}); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("second new: %v", err)
	}
	if _, err := c.Write(ctx, "x", []byte("2"), storage.Cond{ETag: first.ETag}, storage.Meta{}); err != nil {
		t.Errorf("same version: %v", err)
	}
	if _, err := c.Write(ctx, "x", []byte("3"), storage.Cond{ETag: first.ETag}, storage.Meta{}); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("old version: %v", err)
	}
	copied, err := c.Copy(ctx, "x", "y", storage.Cond{New: true}, storage.Meta{})
	if err != nil || copied.Size != 1 {
		t.Errorf("copy: %+v %v", copied, err)
	}
	var names []string
	for p, err := range c.List(ctx, "") {
		names = append(names, fmt.Sprint(p.Name, p.Size, p.Metadata["sha256"] != "", err))
	}
	t.Log(names)
}

func TestQueue(t *testing.T) {
	t.Parallel()
	q, ctx := openAt(t, emulator.ConnectionString()).Queue(freshName()), t.Context()
	if n, err := q.Len(ctx); n != 0 || err != nil {
		t.Error(n, err)
	}
	if _, err := q.Enqueue(ctx, []byte("hello"), 0); err != nil {
		t.Fatal(err)
	}
	got, err := q.Receive(ctx, 1, time.Minute)
	if err != nil || len(got) != 1 || string(got[0].Body) != "hello" || got[0].Expires.Year() != 9999 {
		t.Fatalf("%+v %v", got, err)
	}
	if err := q.Delete(ctx, got[0]); err != nil {
		t.Error(err)
	}
}
