// Package ftpfetch is the queue room of ftppull: it stores one batch of files from the FTP server, verified, in blob
// storage, writes the manifest that proves it, and then does to the source what the settings say.
//
// A file becomes visible under its name in one step, complete, after its length, its server-side identity (size and
// modification time, asked again after the transfer) and its sums agree; never before. A repeat of the same message finds
// what is done and does the rest. The source is touched only after the manifest is written.
//
// A file that is in the way of its batch (changed meanwhile, refused by the server, stopped by the guard) is handed on in
// a batch of its own, and the others proceed. In a batch of its own, its trouble is the message's: tried again, poisoned
// with the reason, or held for an operator. When the server itself is in trouble the whole message is put off, which costs
// it none of its tries.
//
// What is larger than one invocation can carry is continued in the next, from the last block that is safe.
package ftpfetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/ftp"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// Config says how files are fetched, judged and left behind.
type Config struct {
	Source      string // directory on the FTP server
	Server      string // for the manifest: address without credentials
	Connections int    // files of a batch fetched at a time
	Settle      time.Duration
	Guard       Guard
	After       After
	Archive     string // directory on the FTP server, with After == Archive
	DoneSuffix  string // companions share the fate of their file
}

// Handler is the room. Now may be replaced in tests.
type Handler struct {
	Config Config
	FTP    *ftp.Pool
	Blobs  *storage.Container // where files and manifests go
	State  *storage.Container // where unfinished transfers are remembered
	Queue  *storage.Queue     // the room's own queue, for files handed on alone
	// Deliver is the queue of ftpdeliver, which is told of each manifest with stored files; nil where nothing is delivered.
	Deliver *storage.Queue
	Now     func() time.Time

	blocks blocks
}

// Report is what became of the batch.
type Report struct {
	Batch    string  `json:"batch"`
	Manifest string  `json:"manifest"`
	Stored   int     `json:"stored"`
	Bytes    int64   `json:"bytes"`
	Seconds  float64 `json:"seconds"`
	Gone     int     `json:"gone,omitempty"`
	HandedOn int     `json:"handedOn,omitempty"`
	Held     int     `json:"held,omitempty"`
}

// How long a message is put off.
const (
	laterDenied   = 20 * time.Minute // the password is wrong: an administrator must act, and accounts get locked
	laterBusy     = time.Minute
	laterContinue = time.Second
)

// errContinue ends an invocation whose time is up, with all that is done safe.
var errContinue = errors.New("the time of this invocation is up")

// Handle stores the batch.
func (h *Handler) Handle(ctx context.Context, m customhandler.Message[drop.Batch]) error {
	if err := check(m.Data); err != nil {
		return customhandler.Permanent(err)
	}
	job := job{Handler: h, batch: m.Data, again: m.Again, lost: m.Lost, released: m.Released != nil, softEnd: soft(ctx)}
	if customhandler.DryRun(ctx) {
		customhandler.Report(ctx, map[string]any{"wouldStore": m.Data})
		return nil
	}
	started := h.Now()
	manifest, err := job.run(ctx)
	if err != nil {
		return job.outcome(err)
	}
	customhandler.Report(ctx, Report{
		Batch: m.Data.ID(), Manifest: m.Data.ManifestName(), Bytes: manifest.StoredBytes(), Seconds: h.Now().Sub(started).Seconds(),
		Stored: manifest.Count(drop.Stored), Gone: manifest.Count(drop.Gone), HandedOn: manifest.Count(drop.HandedOn), Held: manifest.Count(drop.Held),
	})
	for _, e := range manifest.Files {
		if e.Outcome == drop.Held {
			return customhandler.Hold(fmt.Sprintf("%s: %s; it lies apart as %s", e.Path, e.Reason, e.Blob))
		}
	}
	return nil
}

func check(b drop.Batch) error {
	if len(b.Files) == 0 {
		return errors.New("the batch has no files")
	}
	if err := drop.CheckPath(b.Folder); err != nil {
		return fmt.Errorf("field folder: %w", err)
	}
	for i, f := range b.Files {
		if err := drop.CheckPath(f.Path); err != nil {
			return fmt.Errorf("field files[%d].path: %w", i, err)
		}
		if f.Size < 0 {
			return fmt.Errorf("field files[%d].size: %d, wanted bytes", i, f.Size)
		}
	}
	return nil
}

// serverError is a failure to get a connection: trouble of the server, not of a message.
type serverError struct{ error }

func (e serverError) Unwrap() error { return e.error }

// transient reports trouble in mid-transfer, of which nobody can say at first whether the server or the file causes it.
func transient(err error) bool {
	return errors.Is(err, ftp.ErrBusy) || errors.Is(err, ftp.ErrTimeout) || errors.Is(err, ftp.ErrLost)
}

// outcome says what the host is to do about an error. Trouble of the server costs the message none of its tries; trouble
// in mid-transfer is the server's at first, and the message's when it comes again.
func (j *job) outcome(err error) error {
	_, server := errors.AsType[serverError](err)
	switch {
	case errors.Is(err, errContinue):
		return later(err, laterContinue)
	case errors.Is(err, ftp.ErrDenied), errors.Is(err, ftp.ErrCert):
		return later(err, laterDenied)
	case server, transient(err) && !j.again:
		return later(err, laterBusy)
	}
	return err
}

func later(err error, d time.Duration) error {
	return fmt.Errorf("%w (%w)", err, customhandler.RetryAfter(d))
}

// job is the work on one message.
type job struct {
	*Handler
	batch    drop.Batch
	again    bool // an earlier delivery may have done some of it
	lost     int  // earlier deliveries whose handler died
	released bool // an operator has overruled the guard
	softEnd  time.Time
}

func (j *job) run(ctx context.Context) (drop.Manifest, error) {
	manifest, err := drop.ReadManifest(ctx, j.Blobs, j.batch.ManifestName())
	switch {
	case errors.Is(err, storage.ErrNotFound):
		if manifest, err = j.store(ctx); err != nil {
			return manifest, err
		}
	case err != nil:
		return manifest, err
	case j.released && manifest.Count(drop.Held) > 0:
		if manifest, err = j.release(ctx, manifest); err != nil {
			return manifest, err
		}
	}
	if err := j.deliver(ctx, manifest); err != nil {
		return manifest, err
	}
	return manifest, j.after(ctx, manifest)
}

// deliver hands what is stored on to the MIM server. A repeat does so again, and finds the work done there.
func (j *job) deliver(ctx context.Context, m drop.Manifest) error {
	if j.Deliver == nil || m.Count(drop.Stored) == 0 {
		return nil
	}
	body, err := customhandler.Encode(drop.Delivery{Manifest: m.Name()})
	if err != nil {
		return fmt.Errorf("encode the delivery of %s: %w", m.Name(), err)
	}
	if _, err := j.Deliver.Enqueue(ctx, body, 0); err != nil {
		return fmt.Errorf("hand the manifest %s on: %w", m.Name(), err)
	}
	return nil
}

// store fetches the files and writes the manifest.
func (j *job) store(ctx context.Context) (drop.Manifest, error) {
	if err := j.Blobs.Create(ctx); err != nil {
		return drop.Manifest{}, err
	}
	collect := j.fetchAll
	if j.lost > 0 && len(j.batch.Files) > 1 {
		collect = j.split
	}
	entries, err := collect(ctx)
	if err != nil {
		return drop.Manifest{}, err
	}
	manifest := drop.NewManifest(j.batch, j.Config.Server+j.Config.Source, entries, j.Now())
	_, err = j.Blobs.Write(ctx, j.batch.ManifestName(), manifest.Bytes(), storage.Cond{New: true}, storage.Meta{ContentType: "application/json"})
	if errors.Is(err, storage.ErrConflict) { // another delivery of this message was faster
		return drop.ReadManifest(ctx, j.Blobs, j.batch.ManifestName())
	}
	return manifest, err
}

// fetchAll fetches the files over several connections. The first trouble of the server stops it; when the time is up,
// nothing new is begun. Files that are stored by then are found by the next delivery.
func (j *job) fetchAll(ctx context.Context) ([]drop.Entry, error) {
	entries := make([]drop.Entry, len(j.batch.Files))
	group, groupCtx := errgroup.WithContext(ctx)
	next := make(chan int)
	for range min(2*j.Config.Connections, len(j.batch.Files)) { // while some write to storage, others use the connections
		group.Go(func() error { return j.work(groupCtx, next, entries) })
	}
	begun := 0
	group.Go(func() error {
		defer close(next)
		for ; begun < len(j.batch.Files); begun++ {
			if begun > 0 && time.Now().After(j.softEnd) {
				return nil // those that are under way may end
			}
			select {
			case next <- begun:
			case <-groupCtx.Done():
				return nil
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if begun < len(j.batch.Files) {
		return nil, errContinue
	}
	return entries, nil
}

// soft is when an invocation should begin nothing new, so that it can end what it began: four fifths of its time.
func soft(ctx context.Context) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Now().Add(24 * time.Hour)
	}
	return deadline.Add(-time.Until(deadline) / 5)
}

func (j *job) work(ctx context.Context, next <-chan int, entries []drop.Entry) error {
	for i := range next {
		entry, err := j.fetch(ctx, j.batch.Files[i])
		if err != nil && len(j.batch.Files) > 1 && j.alone(err) {
			entry, err = j.handOnAlone(ctx, j.batch.Files[i], err)
		}
		if err != nil {
			return fmt.Errorf("fetch %q: %w", j.batch.Files[i].Path, err)
		}
		entries[i] = entry
	}
	return nil
}
