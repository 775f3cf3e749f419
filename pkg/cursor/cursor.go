// Package cursor keeps the one piece of state that a job has: a small versioned record in a blob, changed only by
// compare-and-swap.
//
// Load and Swap are the whole of it. Swap succeeds only if nobody changed the record since it was loaded; otherwise the error
// is storage.ErrConflict and the record is what the other one made it. Repeating a Swap with the same Record and the same
// value is safe: when the first try was stored although its answer was lost, the repeat finds that and succeeds.
//
// Lock is a lease that keeps a second run from starting beside the first. It is a courtesy, not what correctness rests on:
// that is Swap.
//
// A record that cannot be read, or that a newer version of the program wrote, is an error that names the blob and says what
// to do. It is never reset, because an empty record would make a job repeat, or forget, everything it ever did.
package cursor

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/nightshift-hq/nightshift/pkg/storage"
)

const (
	gzipAbove   = 16 << 10  // a record bigger than this is compressed; a small one stays readable in any storage browser
	sizeLimit   = 64 << 20  // of the blob
	recordLimit = 512 << 20 // of the record once unpacked
)

// Store is a record of type T, which must survive a round trip through JSON. Many goroutines and processes may use the same.
type Store[T any] struct {
	container *storage.Container
	blob      string
	version   int
	lease     leaseTimes
}

// Open gives the record of that name, kept in the blob cursors/<name>.json; nothing is sent. The version goes up with every
// change of T that an older program could not read.
func Open[T any](c *storage.Container, name string, version int) *Store[T] {
	return &Store[T]{container: c, blob: "cursors/" + name + ".json", version: version, lease: usualLease()}
}

// Record is a value together with what is needed to replace it.
type Record[T any] struct {
	Value T
	ETag  string // empty when there is no record yet
	claim string // random, one per Load: makes the Swap of this very Record recognisable when it is repeated
}

// envelope is the record as it lies in the blob.
type envelope struct {
	Version int             `json:"version"`
	Write   string          `json:"write"` // which Swap wrote it
	Value   json.RawMessage `json:"value"`
}

// Load reads the record; where there is none yet, the zero value.
func (s *Store[T]) Load(ctx context.Context) (Record[T], error) {
	r, _, err := s.load(ctx)
	return r, err
}

// load also tells which Swap wrote the record.
func (s *Store[T]) load(ctx context.Context) (Record[T], string, error) {
	r := Record[T]{claim: rand.Text()}
	data, p, err := s.container.Read(ctx, s.blob, sizeLimit)
	if errors.Is(err, storage.ErrNotFound) {
		return r, "", nil
	}
	if err != nil {
		return Record[T]{}, "", fmt.Errorf("load cursor: %w", err)
	}
	write, err := decode(data, s.version, &r.Value)
	if err != nil {
		return Record[T]{}, "", fmt.Errorf("load cursor: blob %q in %s: %w", s.blob, s.container, err)
	}
	r.ETag = p.ETag
	return r, write, nil
}

// Swap replaces the record old, as Load or Swap returned it, by next. storage.ErrConflict when somebody else was faster.
// After storage.ErrUnavailable it is not known whether the record was replaced; repeat the same Swap to find out.
func (s *Store[T]) Swap(ctx context.Context, old Record[T], next T) (Record[T], error) {
	value, err := json.Marshal(next)
	if err != nil {
		return Record[T]{}, fmt.Errorf("swap cursor %q: encode the value: %w", s.blob, err)
	}
	if old.claim == "" {
		old.claim = rand.Text() // not a loaded record: two of these must not be taken for one
	}
	write := old.swapID(value)
	data, err := encode(envelope{Version: s.version, Write: write, Value: value})
	if err != nil {
		return Record[T]{}, fmt.Errorf("swap cursor %q: %w", s.blob, err)
	}
	cond := storage.Cond{ETag: old.ETag, New: old.ETag == ""}
	p, err := s.container.Write(ctx, s.blob, data, cond, storage.Meta{ContentType: contentType(data)})
	if err == nil {
		return Record[T]{Value: next, ETag: p.ETag, claim: rand.Text()}, nil
	}
	if errors.Is(err, storage.ErrConflict) {
		now, last, loadErr := s.load(ctx)
		if loadErr != nil {
			return Record[T]{}, loadErr
		}
		if last == write {
			return now, nil
		}
	}
	return Record[T]{}, fmt.Errorf("swap cursor: %w", err)
}

// swapID is the same for the same value swapped for the same loaded record, and for nothing else.
func (r Record[T]) swapID(value []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", r.claim, r.ETag)
	h.Write(value)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func encode(e envelope) ([]byte, error) {
	data, err := json.Marshal(e)
	if err != nil || len(data) <= gzipAbove {
		return data, err
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	if b.Len() > sizeLimit {
		return nil, fmt.Errorf("the record is %d bytes when compressed, the limit is %d", b.Len(), sizeLimit)
	}
	return b.Bytes(), nil
}

func contentType(data []byte) string {
	if zipped(data) {
		return "application/gzip"
	}
	return "application/json"
}

// zipped looks for the magic number of gzip (RFC 1952), which no JSON text starts with.
func zipped(data []byte) bool { return bytes.HasPrefix(data, []byte{0x1f, 0x8b}) }

// decode reads a record of the given version into value and returns which Swap wrote it.
func decode(data []byte, version int, value any) (write string, err error) {
	if zipped(data) {
		if data, err = unzip(data); err != nil {
			return "", damaged(err)
		}
	}
	var e envelope
	if err := strict(data, &e); err != nil {
		return "", damaged(err)
	}
	switch {
	case e.Version == 0 || e.Value == nil:
		return "", damaged(errors.New("it has no version or no value"))
	case e.Version > version:
		return "", fmt.Errorf("the record has version %d, this program knows version %d: deploy the newer program again, "+
			"or restore the blob as it was before that ran", e.Version, version)
	case e.Version < version:
		return "", fmt.Errorf("the record has version %d, this program knows version %d: let the older program finish its work "+
			"and delete the blob, or restore a matching one", e.Version, version)
	}
	if err := strict(e.Value, value); err != nil {
		return "", damaged(err)
	}
	return e.Write, nil
}

// strict decodes exactly one JSON value. A field that is not known would be lost by the next Swap, so it is an error.
func strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows it")
	}
	return nil
}

func damaged(err error) error {
	return fmt.Errorf("the record is damaged: %w; restore an earlier version of the blob, or delete it to make the job start "+
		"from nothing", err)
}

func unzip(data []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(io.LimitReader(z, recordLimit+1))
	if err == nil && len(plain) > recordLimit {
		err = fmt.Errorf("it is bigger than %d bytes", recordLimit)
	}
	return plain, err
}
