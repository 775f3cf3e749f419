package ftpfetch

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/ftp"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// changedError says that the file is no longer the version that was listed.
type changedError struct{ now drop.File }

func (e changedError) Error() string {
	return fmt.Sprintf("the file has changed since it was listed: now %d bytes of %s", e.now.Size, e.now.ModTime.Format(time.RFC3339))
}

// suspectError says what the guard holds against a file.
type suspectError struct{ reason string }

func (e suspectError) Error() string { return e.reason }

// alone reports whether the error is about one file, so that the rest of the batch can proceed without it.
func (j *job) alone(err error) bool {
	if _, server := errors.AsType[serverError](err); server || transient(err) && !j.again {
		return false
	}
	return !errors.Is(err, errContinue) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) &&
		!errors.Is(err, storage.ErrUnavailable) && !errors.Is(err, storage.ErrDenied)
}

// A file that keeps changing is followed this often, each time twice as long after, and then left for the next scan.
const maxChase = 5

// handOnAlone sends one file on in a batch of its own.
func (j *job) handOnAlone(ctx context.Context, f drop.File, cause error) (drop.Entry, error) {
	next := j.batch.With(f)
	var delay time.Duration
	if changed, ok := errors.AsType[changedError](cause); ok {
		if j.batch.Chase >= maxChase {
			customhandler.Log(ctx).Warn("a file keeps changing; the next scan will see it again", "file", f.Path)
			return drop.Entry{File: f, Outcome: drop.Changing, Reason: cause.Error()}, nil
		}
		changed.now.Previous = f.Previous
		next = j.batch.With(changed.now)
		delay = max(j.Config.Settle, time.Second) << next.Chase
		next.Chase++
	}
	customhandler.Log(ctx).Warn("a file is handed on alone", "file", f.Path, "because", cause.Error(), "batch", next.ID())
	return drop.Entry{File: f, Outcome: drop.HandedOn, Reason: cause.Error(), Next: next.ManifestName()}, j.handOn(ctx, next, delay)
}

func (j *job) handOn(ctx context.Context, next drop.Batch, delay time.Duration) error {
	body, err := customhandler.Encode(next)
	if err != nil {
		return fmt.Errorf("encode batch %s: %w", next.ID(), err)
	}
	if _, err := j.Queue.Enqueue(ctx, body, delay); err != nil {
		return fmt.Errorf("hand on %d files: %w", len(next.Files), err)
	}
	return nil
}

// split hands the files that are not stored yet on in two halves. A batch over which handlers died gets so a fresh count of
// tries for every step of its way, and the file that kills them, if it is one, ends alone.
func (j *job) split(ctx context.Context) ([]drop.Entry, error) {
	var entries []drop.Entry
	var rest []drop.File
	for _, f := range j.batch.Files {
		entry, err := j.find(ctx, f)
		switch {
		case errors.Is(err, storage.ErrNotFound):
			rest = append(rest, f)
		case err != nil:
			return nil, err
		default:
			entries = append(entries, entry)
		}
	}
	middle := (len(rest) + 1) / 2
	for _, half := range [][]drop.File{rest[:middle], rest[middle:]} {
		if len(half) == 0 {
			continue
		}
		next := j.batch.With(half...)
		if err := j.handOn(ctx, next, 0); err != nil {
			return nil, err
		}
		for _, f := range half {
			entries = append(entries, drop.Entry{File: f, Outcome: drop.HandedOn, Next: next.ManifestName(),
				Reason: "handlers died over the batch; it goes on in halves"})
		}
	}
	return entries, nil
}

// fetch stores one file, or says what became of it.
func (j *job) fetch(ctx context.Context, f drop.File) (drop.Entry, error) {
	if j.again {
		if entry, err := j.find(ctx, f); err == nil || !errors.Is(err, storage.ErrNotFound) {
			return entry, err
		}
	}
	suspicion := ""
	if !j.released {
		suspicion = j.Config.Guard.early(f)
	}
	entry, err := j.transfer(ctx, f, suspicion)
	changed, isChanged := errors.AsType[changedError](err)
	suspect, isSuspect := errors.AsType[suspectError](err)
	switch {
	case errors.Is(err, ftp.ErrNotFound):
		customhandler.Log(ctx).Warn("a file is no longer on the server", "file", f.Path)
		return drop.Entry{File: f, Outcome: drop.Gone, Reason: "no longer on the server"}, nil
	case isChanged && len(j.batch.Files) == 1:
		return j.handOnAlone(ctx, f, changed)
	case isSuspect && len(j.batch.Files) == 1:
		return j.transfer(ctx, f, suspect.reason)
	}
	return entry, err
}

// transfer moves one file to its name, or, with a suspicion, apart. Suspicion in a batch of several files is an error: the
// file is to travel alone first.
func (j *job) transfer(ctx context.Context, f drop.File, suspicion string) (drop.Entry, error) {
	if suspicion != "" && len(j.batch.Files) > 1 {
		return drop.Entry{}, suspectError{suspicion}
	}
	t := transferred{job: j, file: f, suspicion: suspicion}
	carry, blocks := t.small, 1
	if f.Size > blockSize {
		carry, blocks = t.large, uploading
	}
	err := j.blocks.lend(ctx, blocks, j.Config.Connections, func(buffers [][]byte) error { return carry(ctx, buffers) })
	if errors.Is(err, ftp.ErrChanged) {
		err = cmp.Or(j.connected(ctx, func(conn *ftp.Conn) error { return t.listed(ctx, conn, f) }), err)
	}
	return t.entry, err
}

// connected lends a connection to use.
func (j *job) connected(ctx context.Context, use func(*ftp.Conn) error) error {
	conn, err := j.FTP.Get(ctx)
	if err != nil {
		return serverError{err}
	}
	err = use(conn)
	j.FTP.Put(conn, err)
	return err
}

// stat asks the server for the file's present version.
func (j *job) stat(ctx context.Context, conn *ftp.Conn, f drop.File) (drop.File, error) {
	now, err := conn.Stat(ctx, j.source(f))
	if err != nil {
		return drop.File{}, err
	}
	f.Size, f.ModTime, f.Precise = now.Size, now.ModTime.UTC().Truncate(time.Second), now.Precise
	return f, nil
}

func (j *job) source(f drop.File) string { return path.Join(j.Config.Source, f.Path) }

// transferred is one file on its way.
type transferred struct {
	*job
	file      drop.File
	suspicion string // not empty: the file goes apart
	entry     drop.Entry
}

// listed makes sure that the server still has the version that was listed, and takes over what it knows more exactly.
func (t *transferred) listed(ctx context.Context, conn *ftp.Conn, f drop.File) error {
	now, err := t.stat(ctx, conn, f)
	if err != nil {
		return err
	}
	if !now.Same(f) {
		return changedError{now}
	}
	t.file = now
	return nil
}

// small carries a file over in one piece. The connection is free again while the bytes go to storage.
func (t *transferred) small(ctx context.Context, buffers [][]byte) error {
	var content []byte
	err := t.connected(ctx, func(conn *ftp.Conn) (err error) {
		if !t.file.Precise {
			if err := t.listed(ctx, conn, t.file); err != nil {
				return err
			}
		}
		if content, err = t.read(ctx, conn, buffers[0][:t.file.Size+1]); err != nil {
			return err
		}
		return t.unchanged(ctx, conn, int64(len(content)))
	})
	if err != nil {
		return err
	}
	tally := newTally()
	tally.add(content)
	if err := t.judge(tally); err != nil {
		return err
	}
	_, err = t.Blobs.Write(ctx, t.blob(), content, t.cond(), t.meta(tally))
	return t.place(ctx, tally, err)
}

// read fills the buffer, which is one byte longer than the file should be, so that a file that has grown is noticed.
func (t *transferred) read(ctx context.Context, conn *ftp.Conn, buffer []byte) ([]byte, error) {
	r, err := conn.Open(ctx, t.source(t.file), 0)
	if err != nil {
		return nil, err
	}
	n, err := io.ReadFull(r, buffer)
	closeErr := r.Close()
	switch {
	case err == nil:
		return nil, fmt.Errorf("more than %d bytes came: %w", t.file.Size, ftp.ErrChanged)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return buffer[:n], closeErr
	}
	return nil, err
}

// unchanged makes sure, after the transfer, that the bytes that came are all of the version that was listed.
func (t *transferred) unchanged(ctx context.Context, conn *ftp.Conn, n int64) error {
	if err := t.listed(ctx, conn, t.file); err != nil {
		return err
	}
	if n != t.file.Size {
		return fmt.Errorf("the server sent %d bytes of %d without an error", n, t.file.Size)
	}
	return nil
}

// judge asks the guard about the content, unless the file is to lie apart anyway or an operator has decided.
func (t *transferred) judge(tally *tally) error {
	if t.suspicion != "" || t.released {
		return nil
	}
	reason := t.Config.Guard.late(t.file, tally)
	if reason == "" {
		return nil
	}
	if len(t.batch.Files) == 1 && t.file.Size <= blockSize {
		t.suspicion = reason
		return nil
	}
	return suspectError{reason}
}

func (t *transferred) blob() string {
	if t.suspicion != "" {
		return t.batch.HeldName(t.file)
	}
	return t.batch.BlobName(t.file)
}

// cond lets nothing stored be overwritten; what lies apart may be, by a later try.
func (t *transferred) cond() storage.Cond { return storage.Cond{New: t.suspicion == ""} }

// The metadata of a stored file.
const (
	metaSize    = "sourcesize"
	metaModTime = "sourcemodtime"
	metaPrecise = "sourcemodtimeprecise"
	metaSHA256  = "sha256"
	metaMD5     = "md5"
	metaLines   = "lines"
	metaText    = "text"
	metaBatch   = "batch"
)

func (t *transferred) meta(tally *tally) storage.Meta {
	return storage.Meta{MD5: tally.sumMD5(), Metadata: map[string]string{
		metaSize:    strconv.FormatInt(t.file.Size, 10),
		metaModTime: t.file.ModTime.Format(time.RFC3339),
		metaPrecise: strconv.FormatBool(t.file.Precise),
		metaSHA256:  tally.sumSHA256(),
		metaMD5:     hex.EncodeToString(tally.sumMD5()),
		metaLines:   strconv.FormatInt(tally.lines, 10),
		metaText:    strconv.FormatBool(tally.text),
		metaBatch:   t.batch.ID(),
	}}
}

// place makes the entry from the outcome of the final write. A name that is taken is fine if it holds the same bytes.
func (t *transferred) place(ctx context.Context, tally *tally, err error) error {
	if errors.Is(err, storage.ErrConflict) {
		there, findErr := t.find(ctx, t.file)
		if findErr != nil {
			return findErr
		}
		if there.SHA256 != tally.sumSHA256() {
			return fmt.Errorf("%q exists with other content (SHA-256 %s, the source has %s): delete or rename that blob, then requeue", t.blob(), there.SHA256, tally.sumSHA256())
		}
		t.entry = there
		return nil
	}
	if err != nil {
		return err
	}
	t.entry = drop.Entry{File: t.file, Outcome: drop.Stored, Blob: t.blob(), SHA256: tally.sumSHA256(),
		MD5: hex.EncodeToString(tally.sumMD5()), Lines: tally.lines, Text: tally.text}
	if t.suspicion != "" {
		t.entry.Outcome, t.entry.Reason = drop.Held, t.suspicion
	}
	return nil
}

// find makes the entry of a file that an earlier delivery has stored; storage.ErrNotFound means that none has.
func (j *job) find(ctx context.Context, f drop.File) (drop.Entry, error) {
	p, err := j.Blobs.Stat(ctx, j.batch.BlobName(f))
	if err != nil {
		return drop.Entry{}, err
	}
	stored := f
	stored.Size = p.Size
	stored.ModTime, _ = time.Parse(time.RFC3339, p.Metadata[metaModTime])
	stored.Precise = p.Metadata[metaPrecise] == "true"
	if !stored.Same(f) {
		return drop.Entry{}, fmt.Errorf("%q exists, but it was made from another version of the file (%d bytes of %s): delete or rename that blob, then requeue",
			p.Name, p.Size, p.Metadata[metaModTime])
	}
	lines, _ := strconv.ParseInt(p.Metadata[metaLines], 10, 64)
	return drop.Entry{File: stored, Outcome: drop.Stored, Blob: p.Name, SHA256: p.Metadata[metaSHA256],
		MD5: p.Metadata[metaMD5], Lines: lines, Text: p.Metadata[metaText] == "true"}, nil
}
