package ftpfetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/ftp"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

const (
	legBlocks  = 16               // blocks of one leg, after which the progress is saved
	legTime    = 30 * time.Second // a slow leg ends earlier
	uploading  = 4                // blocks of one file on their way to storage at a time; bounds the memory
	progressMB = 1 << 20          // bound of a progress record
)

// progress is how far a large file has come: the bytes that are staged, and the tally over them.
type progress struct {
	File  drop.File  `json:"file"`
	Blob  string     `json:"blob"`
	Tally tallyState `json:"tally"`
}

func (t *transferred) progressName() string {
	return "progress/" + t.batch.ID() + "/" + t.file.Key() + ".json"
}

// blockID names a block by the version of the file and the place in it, so that a repeat stages the same block again.
func (t *transferred) blockID(n int64) string { return fmt.Sprintf("%s-%08d", t.file.Key(), n) }

// large carries a file over in blocks and saves its progress after each leg. The blob appears with the last step.
func (t *transferred) large(ctx context.Context, buffers [][]byte) error {
	var tally *tally
	err := t.connected(ctx, func(conn *ftp.Conn) (err error) {
		if err := t.listed(ctx, conn, t.file); err != nil {
			return err
		}
		if tally, err = t.resume(ctx); err != nil {
			return err
		}
		if err := t.copy(ctx, conn, tally, buffers); err != nil {
			return err
		}
		if err := t.unchanged(ctx, conn, tally.total); err != nil {
			return errors.Join(err, t.forget(ctx))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := t.judge(tally); err != nil {
		return err
	}
	_, err = t.Blobs.Commit(ctx, t.blob(), t.blockIDs(tally.total), t.cond(), t.meta(tally))
	if err = t.place(ctx, tally, err); errors.Is(err, storage.ErrUnavailable) {
		return err // the blocks are as good as before
	}
	return errors.Join(err, t.forget(ctx))
}

// copy reads the rest of the file and stages it.
func (t *transferred) copy(ctx context.Context, conn *ftp.Conn, tally *tally, buffers [][]byte) error {
	r, err := conn.Open(ctx, t.source(t.file), tally.total)
	if err != nil {
		return err
	}
	if err := t.legs(ctx, r, tally, buffers); err != nil {
		r.Close()
		return err
	}
	return r.Close()
}

// forget drops the progress: the file is stored, or its blocks are of no use.
func (t *transferred) forget(ctx context.Context) error {
	return t.State.Delete(ctx, t.progressName(), storage.Cond{})
}

func (t *transferred) blockIDs(total int64) []string {
	var ids []string
	for n := int64(0); n*blockSize < total; n++ {
		ids = append(ids, t.blockID(n))
	}
	return ids
}

// resume takes up the progress of an earlier invocation, if its blocks are still there; else it starts anew.
func (t *transferred) resume(ctx context.Context) (*tally, error) {
	data, _, err := t.State.Read(ctx, t.progressName(), progressMB)
	if errors.Is(err, storage.ErrNotFound) {
		return newTally(), nil
	}
	if err != nil {
		return nil, err
	}
	var p progress
	if err := json.Unmarshal(data, &p); err != nil || !p.File.Same(t.file) || p.Blob != t.blob() {
		return newTally(), nil
	}
	staged, err := t.Blobs.Staged(ctx, t.blob())
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, err
	}
	have := make(map[string]bool, len(staged))
	for _, b := range staged {
		have[b.ID] = true
	}
	for _, id := range t.blockIDs(p.Tally.Total) {
		if !have[id] {
			return newTally(), nil
		}
	}
	customhandler.Log(ctx).Info("a large file is continued", "file", t.file.Path, "from", p.Tally.Total, "of", t.file.Size)
	return p.Tally.restore()
}

func (t *transferred) save(ctx context.Context, tally *tally) error {
	state, err := tally.save()
	if err != nil {
		return err
	}
	data, err := json.Marshal(progress{File: t.file, Blob: t.blob(), Tally: state})
	if err != nil {
		return fmt.Errorf("save progress of %q: %w", t.file.Path, err)
	}
	_, err = t.State.Write(ctx, t.progressName(), data, storage.Cond{}, storage.Meta{ContentType: "application/json"})
	return err
}

// legs reads to the end of the file. Between two legs all that was read is staged and on record.
func (t *transferred) legs(ctx context.Context, r io.Reader, tally *tally, buffers [][]byte) error {
	free := make(chan []byte, len(buffers))
	for _, block := range buffers {
		free <- block
	}
	for {
		end, err := t.leg(ctx, r, tally, free)
		if err != nil || end {
			return err
		}
		if err := t.save(ctx, tally); err != nil {
			return err
		}
		if time.Now().After(t.softEnd) {
			return errContinue
		}
	}
}

// leg reads some blocks; while one is hashed, others are on their way to storage.
func (t *transferred) leg(ctx context.Context, r io.Reader, tally *tally, free chan []byte) (end bool, err error) {
	group, groupCtx := errgroup.WithContext(ctx)
	started := time.Now()
	for n := 0; n < legBlocks && !end && time.Since(started) < legTime && groupCtx.Err() == nil; n++ {
		block := <-free
		length, readErr := io.ReadFull(r, block[:blockSize])
		if end = errors.Is(readErr, io.EOF) || errors.Is(readErr, io.ErrUnexpectedEOF); readErr != nil && !end {
			free <- block
			return false, errors.Join(readErr, group.Wait())
		}
		if length == 0 {
			free <- block
			break
		}
		id := t.blockID(tally.total / blockSize)
		group.Go(func() error {
			err := t.Blobs.Stage(groupCtx, t.blob(), id, block[:length])
			free <- block
			return err
		})
		tally.add(block[:length])
	}
	return end, group.Wait()
}
