package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/sim/storagefault"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

const block = 2 << 20

// room is what one fault test works with: a container and a queue of its own, behind a proxy of its own.
type room struct {
	*testing.T
	proxy *storagefault.Proxy
	c     *storage.Container
	q     *storage.Queue
}

func newRoom(t *testing.T) room {
	t.Helper()
	proxy, err := storagefault.Start(emulator.Server(t).ConnectionString())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	a := openAt(t, proxy.ConnectionString())
	r := room{t, proxy, a.Container(freshName()), a.Queue(freshName())}
	r.must(r.c.Create(t.Context()))
	r.must(r.q.Create(t.Context()))
	return r
}

func (r room) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// holds fails the test unless the blob has this content; an empty want means that there must be no blob.
func (r room) holds(name, want string) {
	r.Helper()
	data, _, err := r.c.Read(r.Context(), name, 64<<20)
	if want == "" && errors.Is(err, storage.ErrNotFound) {
		return
	}
	if err != nil || string(data) != want {
		r.Errorf("blob %q has %d bytes, error %v; want %d bytes", name, len(data), err, len(want))
	}
}

func (r room) write(name, text string, cond storage.Cond) (storage.Properties, error) {
	return r.c.Write(r.Context(), name, []byte(text), cond, storage.Meta{})
}

func (r room) upload(name, text string, cond storage.Cond) error {
	_, _, err := r.c.Upload(r.Context(), name, strings.NewReader(text), cond, storage.Meta{})
	return err
}

var blocks = strings.Repeat("0123456789abcdef", (3*block+1600)/16)

// writes are all calls that change something: each is broken twice, once before and once after it was stored.
var writes = []struct {
	name, op string
	run      func(room) error
	check    func(room)
}{
	{"write", "Put Blob",
		func(r room) error { _, err := r.write("x", "new", storage.Cond{}); return err },
		func(r room) { r.holds("x", "new") }},
	{"write a new blob", "Put Blob",
		func(r room) error { _, err := r.write("x", "new", storage.Cond{New: true}); return err },
		func(r room) { r.holds("x", "new") }},
	{"replace one version", "Put Blob",
		func(r room) error {
			// The first write is the one that breaks; the second proves that the ETag of a recognised write is right.
			p, err := r.write("x", "old", storage.Cond{New: true})
			if err == nil {
				_, err = r.write("x", "new", storage.Cond{ETag: p.ETag})
			}
			return err
		},
		func(r room) { r.holds("x", "new") }},
	{"upload a small file", "Put Blob",
		func(r room) error { return r.upload("x", "small", storage.Cond{New: true}) },
		func(r room) { r.holds("x", "small") }},
	{"upload blocks", "Put Block",
		func(r room) error { return r.upload("x", blocks, storage.Cond{New: true}) },
		func(r room) { r.holds("x", blocks) }},
	{"upload and commit", "Put Block List",
		func(r room) error { return r.upload("x", blocks, storage.Cond{New: true}) },
		func(r room) { r.holds("x", blocks) }},
	{"stage and commit", "Put Block List",
		func(r room) error {
			if err := errors.Join(r.c.Stage(r.Context(), "x", "b", []byte("2")), r.c.Stage(r.Context(), "x", "a", []byte("1"))); err != nil {
				return err
			}
			_, err := r.c.Commit(r.Context(), "x", []string{"a", "b"}, storage.Cond{New: true}, storage.Meta{})
			return err
		},
		func(r room) { r.holds("x", "12") }},
	{"copy", "Copy Blob",
		func(r room) error {
			if _, err := r.write("from", "text", storage.Cond{}); err != nil {
				return err
			}
			_, err := r.c.Copy(r.Context(), "from", "x", storage.Cond{New: true}, storage.Meta{})
			return err
		},
		func(r room) { r.holds("x", "text") }},
	{"delete", "Delete Blob",
		func(r room) error {
			p, err := r.write("x", "text", storage.Cond{})
			return errors.Join(err, r.c.Delete(r.Context(), "x", storage.Cond{ETag: p.ETag}))
		},
		func(r room) { r.holds("x", "") }},
	{"create the container", "Create Container",
		func(r room) error { return r.c.Create(r.Context()) },
		func(r room) { r.must(r.upload("x", "text", storage.Cond{})) }},
	{"take a lease", "Lease Blob",
		func(r room) error { _, err := r.c.Lease(r.Context(), "x", 15*time.Second); return err },
		func(r room) {
			if _, err := r.c.Lease(r.Context(), "x", 15*time.Second); !errors.Is(err, storage.ErrConflict) {
				r.Errorf("second lease: %v", err)
			}
		}},
	{"enqueue", "Put Message",
		func(r room) error { _, err := r.q.Enqueue(r.Context(), []byte("text"), 0); return err },
		func(r room) {
			// Once or, when the answer was lost, twice: never not at all.
			messages, err := r.q.Peek(r.Context(), 32)
			if err != nil || len(messages) == 0 || len(messages) > 2 || string(messages[0].Body) != "text" {
				r.Errorf("messages %+v, error %v", messages, err)
			}
		}},
	{"delete a message", "Delete Message",
		func(r room) error {
			if _, err := r.q.Enqueue(r.Context(), nil, 0); err != nil {
				return err
			}
			messages, err := r.q.Receive(r.Context(), 1, time.Minute)
			return errors.Join(err, r.q.Delete(r.Context(), messages[0]))
		},
		func(r room) {
			if n, err := r.q.Len(r.Context()); n != 0 || err != nil {
				r.Errorf("%d messages left, error %v", n, err)
			}
		}},
}

func TestWritesSurviveOneFailure(t *testing.T) {
	t.Parallel()
	for _, w := range writes {
		for _, stored := range []bool{false, true} {
			for effect, e := range map[string]storagefault.Effect{"503": storagefault.Status(503, "ServerBusy"), "reset": storagefault.Reset()} {
				t.Run(fmt.Sprintf("%s/stored %v/%s", w.name, stored, effect), func(t *testing.T) {
					t.Parallel()
					r := newRoom(t)
					fault := r.proxy.Inject(storagefault.Fault{Match: storagefault.Op(w.op), Times: 1, Stored: stored, Effect: e})
					r.must(w.run(r))
					if fault.Hits() != 1 {
						t.Errorf("the fault hit %d requests", fault.Hits())
					}
					w.check(r)
				})
			}
		}
	}
}

func TestWritesThatNeverSucceedAreUnavailable(t *testing.T) {
	t.Parallel()
	for _, w := range writes {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			full := r.proxy.Inject(storagefault.Fault{Match: storagefault.Op(w.op), Effect: storagefault.Status(507, "InsufficientStorage")})
			err := w.run(r)
			if !errors.Is(err, storage.ErrUnavailable) {
				t.Errorf("got %v", err)
			}
			full.Remove()
			if w.op == "Put Block" || w.op == "Put Block List" || w.op == "Put Blob" {
				r.holds("x", "")
			}
		})
	}
}

func TestBrokenUploadLeavesTheOldBlob(t *testing.T) {
	t.Parallel()
	broken := errors.New("the source broke")
	for _, size := range []int{0, 10, block, 3 * block} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			_, err := r.write("x", "old", storage.Cond{})
			r.must(err)
			source := io.MultiReader(bytes.NewReader(make([]byte, size)), iotest.ErrReader(broken))
			_, _, err = r.c.Upload(t.Context(), "x", source, storage.Cond{}, storage.Meta{})
			if !errors.Is(err, broken) {
				t.Errorf("got %v", err)
			}
			r.holds("x", "old")
		})
	}
}

func TestDownloads(t *testing.T) {
	t.Parallel()
	t.Run("cut again and again", func(t *testing.T) {
		t.Parallel()
		r := newRoom(t)
		r.must(r.upload("x", blocks, storage.Cond{}))
		cut := r.proxy.Inject(storagefault.Fault{Match: storagefault.Op("Get Blob"), Times: 3, Effect: storagefault.Truncate(block)})
		r.holds("x", blocks)
		if cut.Hits() != 3 {
			t.Errorf("cut %d times", cut.Hits())
		}
	})
	t.Run("replaced in the middle", func(t *testing.T) {
		t.Parallel()
		r := newRoom(t)
		r.must(r.upload("x", blocks, storage.Cond{}))
		r.proxy.Inject(storagefault.Fault{Match: storagefault.Op("Get Blob"), Times: 1, Effect: storagefault.Truncate(block)})
		body, _, err := r.c.Open(t.Context(), "x")
		r.must(err)
		defer body.Close()
		r.must(r.upload("x", strings.ToUpper(blocks), storage.Cond{}))
		if _, err := io.Copy(io.Discard, body); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("standing still", func(t *testing.T) {
		t.Parallel()
		r := newRoom(t)
		r.must(r.upload("x", blocks, storage.Cond{}))
		r.proxy.Inject(storagefault.Fault{Match: storagefault.Op("Get Blob"), Effect: storagefault.Stall(block)})
		r.c.SetStallLimit(200 * time.Millisecond)
		if _, _, err := r.c.Read(t.Context(), "x", 64<<20); !errors.Is(err, storage.ErrUnavailable) || !strings.Contains(err.Error(), "stands still") {
			t.Errorf("got %v", err)
		}
	})
}

func TestTwoUploadsOfOneName(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	texts := []string{strings.Repeat("a", 3*block), strings.Repeat("b", 2*block+5), strings.Repeat("c", 10), strings.Repeat("d", 5*block)}
	errs := make(chan error, len(texts))
	for _, text := range texts {
		go func() { errs <- r.upload("x", text, storage.Cond{New: true}) }()
	}
	won := 0
	for range texts {
		switch err := <-errs; {
		case err == nil:
			won++
		case !errors.Is(err, storage.ErrConflict):
			t.Errorf("the slower upload: %v", err)
		}
	}
	data, p, err := r.c.Read(t.Context(), "x", 64<<20)
	if err != nil || won != 1 {
		t.Fatalf("%d won, error %v", won, err)
	}
	for _, text := range texts {
		if string(data) == text {
			return
		}
	}
	t.Errorf("the blob has %d bytes (%+v) that no writer wrote", len(data), p)
}

func TestFailuresAreSorted(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		status int
		code   string
		want   error
	}{
		{404, "BlobNotFound", storage.ErrNotFound},
		{409, "BlobAlreadyExists", storage.ErrConflict},
		{412, "ConditionNotMet", storage.ErrConflict},
		{412, "LeaseIdMissing", storage.ErrConflict},
		{400, "InvalidBlockList", storage.ErrConflict},
		{401, "InvalidAuthenticationInfo", storage.ErrDenied},
		{403, "AuthenticationFailed", storage.ErrDenied},
		{403, "AuthorizationPermissionMismatch", storage.ErrDenied},
		{400, "Md5Mismatch", storage.ErrUnavailable},
		{408, "", storage.ErrUnavailable},
		{409, "ContainerBeingDeleted", storage.ErrUnavailable},
		{429, "TooManyRequests", storage.ErrUnavailable},
		{500, "InternalError", storage.ErrUnavailable},
		{503, "ServerBusy", storage.ErrUnavailable},
		{507, "", storage.ErrUnavailable},
	} {
		t.Run(fmt.Sprintf("%d %s", row.status, row.code), func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			r.proxy.Inject(storagefault.Fault{Match: storagefault.Op("Put Blob"), Effect: storagefault.Status(row.status, row.code)})
			_, err := r.write("folder/x", "text", storage.Cond{})
			for _, kind := range []error{storage.ErrNotFound, storage.ErrConflict, storage.ErrDenied, storage.ErrUnavailable} {
				if errors.Is(err, kind) != (kind == row.want) {
					t.Errorf("is %v: %v; error: %v", kind, errors.Is(err, kind), err)
				}
			}
			for _, want := range []string{"write", "devstoreaccount1", r.c.Name(), "folder/x", fmt.Sprint(row.status)} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

func TestErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	const canary = "Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5"
	dead := "http://127.0.0.1:1/devstoreaccount1" // nothing listens on port 1
	alive := emulator.Server(t).BlobURL() + "/devstoreaccount1"
	for name, connection := range map[string]string{
		"wrong key":            "AccountName=devstoreaccount1;AccountKey=" + canary + ";BlobEndpoint=" + alive + ";QueueEndpoint=" + dead,
		"nobody listens":       "AccountName=devstoreaccount1;AccountKey=" + canary + ";BlobEndpoint=" + dead + ";QueueEndpoint=" + dead,
		"signature":            "SharedAccessSignature=sv=2025-11-05&ss=bq&srt=sco&sp=rw&sig=" + canary + ";BlobEndpoint=" + alive + ";QueueEndpoint=" + dead,
		"signature, no answer": "SharedAccessSignature=?sv=2025-11-05&sig=" + canary + ";BlobEndpoint=" + dead + ";QueueEndpoint=" + dead,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := openAt(t, connection)
			c, q, ctx := a.Container(freshName()), a.Queue(freshName()), t.Context()
			_, _, readErr := c.Read(ctx, "x", 1)
			_, enqueueErr := q.Enqueue(ctx, []byte("x"), 0)
			_, writeErr := c.Write(ctx, "x", nil, storage.Cond{New: true}, storage.Meta{})
			_, listErr := q.Peek(ctx, 1)
			for _, err := range []error{readErr, enqueueErr, writeErr, listErr, c.Create(ctx)} {
				if err == nil || (!errors.Is(err, storage.ErrDenied) && !errors.Is(err, storage.ErrUnavailable)) {
					t.Errorf("got %v", err)
				}
				if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, canary) || strings.Contains(text, "sig=") {
					t.Errorf("the secret is in %s", text)
				}
			}
			if text := fmt.Sprintf("%v %+v", a, c); strings.Contains(text, canary) {
				t.Errorf("the secret is in %s", text)
			}
		})
	}
}

func TestOpenSaysWhatIsWrongWithASetting(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		cfg  storage.Config
		want string
	}{
		"nothing":     {storage.Config{}, "AzureWebJobsStorage__accountName"},
		"no key":      {storage.Config{ConnectionString: settings.NewSecret("AccountName=a")}, "neither AccountKey nor SharedAccessSignature"},
		"cut key":     {storage.Config{ConnectionString: settings.NewSecret("AccountName=a;AccountKey=abc")}, "not complete"},
		"no name":     {storage.Config{ConnectionString: settings.NewSecret("AccountKey=abcd")}, "AccountName"},
		"no pairs":    {storage.Config{ConnectionString: settings.NewSecret("hunter2")}, `has no "="`},
		"no endpoint": {storage.Config{ConnectionString: settings.NewSecret("AccountName=a;AccountKey=abcd;BlobEndpoint=ftp://x")}, "blob endpoint"},
		"credential":  {storage.Config{AccountName: "a", Credential: "password"}, "AzureWebJobsStorage__credential"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := storage.Open(row.cfg)
			var problems settings.Problems
			if !errors.As(err, &problems) || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %q in it", err, row.want)
			}
		})
	}
}
