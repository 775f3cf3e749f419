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
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/sim/azurite/azuritetest"
	"github.com/nightshift-hq/nightshift/pkg/sim/storagefault"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

var emulator azuritetest.Shared

func TestMain(m *testing.M) { os.Exit(emulator.Run(m)) }

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
	return openAt(tb, emulator.Server(tb).ConnectionString()).Container(freshName())
}

func randomBytes(n int) []byte {
	data := make([]byte, n)
	rand.Read(data)
	return data
}

func TestUploadRoundTrip(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	for _, size := range []int{0, 1, 1000, block - 1, block, block + 1, 3*block + 17} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			data, name := randomBytes(size), fmt.Sprint(size)
			written, sums, err := c.Upload(t.Context(), name, bytes.NewReader(data), storage.Cond{New: true},
				storage.Meta{ContentType: "text/csv", Metadata: map[string]string{"who": "Zoë"}})
			if err != nil {
				t.Fatal(err)
			}
			if sums.Size != int64(size) || sums.SHA256 != sha256.Sum256(data) {
				t.Errorf("sums %+v", sums)
			}
			r, p, err := c.Open(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			back, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(back, data) {
				t.Errorf("read back %d bytes, error %v", len(back), err)
			}
			want := storage.Properties{Name: name, Size: int64(size), ETag: p.ETag, MD5: sums.MD5[:], ModTime: p.ModTime,
				ContentType: "text/csv", Metadata: map[string]string{"who": "Zoë", "sha256": fmt.Sprintf("%x", sums.SHA256)}}
			for from, got := range map[string]storage.Properties{"upload": written, "open": p} {
				if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
					t.Errorf("from %s: %+v\nwant %+v", from, got, want)
				}
			}
		})
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	c, ctx := newContainer(t), t.Context()
	write := func(text string, cond storage.Cond) (string, error) {
		p, err := c.Write(ctx, "x", []byte(text), cond, storage.Meta{})
		return p.ETag, err
	}
	first, err := write("1", storage.Cond{New: true})
	if err != nil {
		t.Fatal(err)
	}
	second, err := write("2", storage.Cond{ETag: first})
	if err != nil {
		t.Fatal(err)
	}
	listed := ""
	for p, err := range c.List(ctx, "x") {
		if err != nil {
			t.Fatal(err)
		}
		listed = p.ETag
	}
	if listed != second {
		t.Errorf("the list says version %s, the write said %s", listed, second)
	}
	for name, call := range map[string]func() error{
		"write although it exists":   func() error { _, err := write("3", storage.Cond{New: true}); return err },
		"write over another version": func() error { _, err := write("3", storage.Cond{ETag: first}); return err },
		"write over what is missing": func() error {
			_, err := c.Write(ctx, "nothing", nil, storage.Cond{ETag: first}, storage.Meta{})
			return err
		},
		"copy to what exists":     func() error { _, err := c.Copy(ctx, "x", "x", storage.Cond{New: true}, storage.Meta{}); return err },
		"delete another version":  func() error { return c.Delete(ctx, "x", storage.Cond{ETag: first}) },
		"commit blocks of nobody": func() error { _, err := c.Commit(ctx, "y", []string{"a"}, storage.Cond{}, storage.Meta{}); return err },
		"upload although it exists": func() error {
			_, _, err := c.Upload(ctx, "x", strings.NewReader(blocks), storage.Cond{New: true}, storage.Meta{})
			return err
		},
		"write without the lease": func() error { return leased(ctx, c) },
	} {
		if err := call(); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("%s: got %v, want ErrConflict", name, err)
		}
	}
	if data, _, err := c.Read(ctx, "x", 10); string(data) != "2" || err != nil {
		t.Errorf("the blob became %q, %v", data, err)
	}
	if err := c.Delete(ctx, "x", storage.Cond{ETag: second}); err != nil {
		t.Errorf("delete this version: %v", err)
	}
	if err := c.Delete(ctx, "x", storage.Cond{}); err != nil {
		t.Errorf("delete again: %v", err)
	}
}

// leased writes to a blob that somebody else has leased.
func leased(ctx context.Context, c *storage.Container) error {
	l, err := c.Lease(ctx, "leased", 15*time.Second)
	if err != nil {
		return err
	}
	if _, err := c.Write(ctx, "leased", nil, storage.Cond{LeaseID: l.ID}, storage.Meta{}); err != nil {
		return err
	}
	_, err = c.Write(ctx, "leased", nil, storage.Cond{}, storage.Meta{})
	return err
}

func TestNamesAndMetadataSurvive(t *testing.T) {
	t.Parallel()
	c, ctx := newContainer(t), t.Context()
	names := []string{"a b", "dir/ünïcødé-日本.csv", "100%.txt", "%2F", "a?b#c", "a+b&c=d", "..hidden/.x", "'\"<>", strings.Repeat("n", 1000)}
	metadata := map[string]string{"text": "  Größe: 100 % \"ja\"\r\n", "empty": "", "percent": "%41", "emoji": "\U0001F319", "path": "in/a b.csv"}
	for _, name := range names {
		if _, err := c.Write(ctx, name, []byte(name), storage.Cond{New: true}, storage.Meta{Metadata: metadata}); err != nil {
			t.Errorf("write %q: %v", name, err)
		}
	}
	var listed []string
	for p, err := range c.List(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, p.Name)
		stat, err := c.Stat(ctx, p.Name)
		if err != nil {
			t.Errorf("stat %q: %v", p.Name, err)
		}
		for key, want := range metadata {
			if want != "" && (p.Metadata[key] != want || stat.Metadata[key] != want) {
				t.Errorf("%q: %s is %q in the list and %q in stat, want %q", p.Name, key, p.Metadata[key], stat.Metadata[key], want)
			}
		}
		if data, _, err := c.Read(ctx, p.Name, 2000); string(data) != p.Name || err != nil {
			t.Errorf("read %q: %q %v", p.Name, data, err)
		}
	}
	slices.Sort(names)
	slices.Sort(listed)
	if !slices.Equal(names, listed) {
		t.Errorf("listed %q\nwant %q", listed, names)
	}
	for range c.List(ctx, "") {
		break // a list need not be read to its end
	}
}

func TestBadInputIsRefused(t *testing.T) {
	t.Parallel()
	c, ctx := newContainer(t), t.Context()
	q := openAt(t, emulator.Server(t).ConnectionString()).Queue(freshName())
	bad := openAt(t, emulator.Server(t).ConnectionString()).Container("Not_A_Name")
	write := func(name string, meta storage.Meta) error {
		_, err := c.Write(ctx, name, nil, storage.Cond{}, meta)
		return err
	}
	for _, row := range []struct {
		want string
		err  error
	}{
		{"1 to 1024 bytes", write("", storage.Meta{})},
		{"1 to 1024 bytes", write(strings.Repeat("x", 1025), storage.Meta{})},
		{"UTF-8", write("a\xffb", storage.Meta{})},
		{"end with a dot", write("a/../b", storage.Meta{})},
		{"empty", write("dir/", storage.Meta{})},
		{"backslash", write(`a\b`, storage.Meta{})},
		{"control", write("a\r\nb", storage.Meta{})},
		{"metadata name", write("x", storage.Meta{Metadata: map[string]string{"a-b": ""}})},
		{"8192", write("x", storage.Meta{Metadata: map[string]string{"a": strings.Repeat("x", 8200)}})},
		{"block id", c.Stage(ctx, "x", strings.Repeat("x", 49), nil)},
		{"lower-case", bad.Create(ctx)},
		{"49152", second(q.Enqueue(ctx, make([]byte, storage.MaxBody+1), 0))},
		{"168h", second(q.Enqueue(ctx, nil, 8*24*time.Hour))},
		{"15 to 60", second(c.Lease(ctx, "x", time.Hour))},
	} {
		if row.err == nil || !strings.Contains(row.err.Error(), row.want) {
			t.Errorf("got %v, want %q in it", row.err, row.want)
		}
	}
	if _, err := c.Write(ctx, "x", []byte("12345"), storage.Cond{}, storage.Meta{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Read(ctx, "x", 4); err == nil || !strings.Contains(err.Error(), "at most 4") {
		t.Errorf("read of a blob that is too big: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestStagedBlocks(t *testing.T) {
	t.Parallel()
	c, ctx := newContainer(t), t.Context()
	if blocks, err := c.Staged(ctx, "x"); len(blocks) != 0 || err != nil {
		t.Errorf("staged before anything: %v %v", blocks, err)
	}
	for _, id := range []string{"offset-0", "offset-10000000", "a"} {
		if err := c.Stage(ctx, "x", id, []byte(id)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Stat(ctx, "x"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("staged blocks are visible: %v", err)
	}
	blocks, err := c.Staged(ctx, "x")
	slices.SortFunc(blocks, func(a, b storage.Block) int { return strings.Compare(a.ID, b.ID) })
	if want := []storage.Block{{"a", 1}, {"offset-0", 8}, {"offset-10000000", 15}}; !slices.Equal(blocks, want) || err != nil {
		t.Errorf("staged %v %v, want %v", blocks, err, want)
	}
	p, err := c.Commit(ctx, "x", []string{"offset-10000000", "offset-0"}, storage.Cond{New: true}, storage.Meta{MD5: make([]byte, 16)})
	if err != nil {
		t.Fatal(err)
	}
	if data, _, err := c.Read(ctx, "x", 100); err == nil || data != nil {
		t.Errorf("the MD5 given to Commit is not checked by Read: %q", data)
	}
	if p.ETag == "" || p.ModTime.IsZero() {
		t.Errorf("properties %+v", p)
	}
}

func TestLease(t *testing.T) {
	t.Parallel()
	c, ctx := newContainer(t), t.Context()
	l, err := c.Lease(ctx, "lock", 15*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Lease(ctx, "lock", 15*time.Second); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("a lease that somebody holds: %v", err)
	}
	if err := errors.Join(l.Renew(ctx), l.Release(ctx), l.Release(ctx)); err != nil {
		t.Error(err)
	}
	if err := l.Renew(ctx); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("renewing a lease that was released: %v", err)
	}
	if _, err := c.Lease(ctx, "lock", 15*time.Second); err != nil {
		t.Errorf("a free lease: %v", err)
	}
}

func TestCancelledCallsSayWhy(t *testing.T) {
	t.Parallel()
	why := errors.New("the shift is over")
	r := newRoom(t)
	hang := r.proxy.Inject(storagefault.Fault{Match: storagefault.Write, Effect: storagefault.Hang()})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-hang.Hit(); cancel(why) }()
	_, _, err := r.c.Upload(ctx, "x", strings.NewReader(blocks), storage.Cond{}, storage.Meta{})
	if !errors.Is(err, why) || errors.Is(err, storage.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestContainersAreCreatedPrivate(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	c := openAt(t, r.proxy.ConnectionString()).Container(freshName())
	if _, err := c.Write(t.Context(), "x", nil, storage.Cond{}, storage.Meta{}); err != nil {
		t.Fatal(err)
	}
	created := 0
	for _, q := range r.proxy.Requests() {
		if q.Op == "Create Container" {
			created++
			if access := q.Header.Get("x-ms-blob-public-access"); access != "" {
				t.Errorf("created with public access %q", access)
			}
		}
	}
	if created != 2 {
		t.Errorf("%d containers created, want 2", created)
	}
}
