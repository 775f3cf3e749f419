package ftpfetch

import (
	"context"
	"errors"
	"fmt"
	"path"

	"golang.org/x/sync/errgroup"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/ftp"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// After says what happens to the source once its copy is stored and on record.
type After string

// What can happen to the source.
const (
	Keep    After = "keep"
	Delete  After = "delete"
	Archive After = "archive" // moved to a dated folder in the archive directory of the FTP server
)

// UnmarshalText refuses anything else.
func (a *After) UnmarshalText(text []byte) error {
	switch v := After(text); v {
	case Keep, Delete, Archive:
		*a = v
		return nil
	}
	return fmt.Errorf("%q is not known; wanted keep, delete or archive", text)
}

// after does to the stored files' sources what the settings say. What is already gone is done; a source that has become
// another version since is left for the next scan.
func (j *job) after(ctx context.Context, m drop.Manifest) error {
	if j.Config.After == Keep {
		return nil
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(j.Config.Connections)
	for _, e := range m.Files {
		if e.Outcome == drop.Stored {
			group.Go(func() error {
				return j.connected(groupCtx, func(conn *ftp.Conn) error { return j.clear(groupCtx, conn, e.File) })
			})
		}
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("%s sources after storing them: %w", j.Config.After, err)
	}
	return nil
}

func (j *job) clear(ctx context.Context, conn *ftp.Conn, f drop.File) error {
	now, err := j.stat(ctx, conn, f)
	switch {
	case errors.Is(err, ftp.ErrNotFound):
		return nil
	case err != nil:
		return err
	case !now.Same(f):
		customhandler.Log(ctx).Warn("the source has changed since it was stored; it stays for the next scan", "file", f.Path)
		return nil
	}
	if j.Config.DoneSuffix != "" {
		companion := f
		companion.Path += j.Config.DoneSuffix
		if err := j.remove(ctx, conn, companion); err != nil && !errors.Is(err, ftp.ErrNotFound) {
			return err
		}
	}
	return j.remove(ctx, conn, f)
}

// remove deletes or archives one source. The companion goes first, so that a kill in between leaves a file without its
// companion, which no scan takes, rather than a companion that vouches for the next version.
func (j *job) remove(ctx context.Context, conn *ftp.Conn, f drop.File) error {
	from := j.source(f)
	if j.Config.After == Delete {
		return conn.Delete(ctx, from)
	}
	to := path.Join(j.Config.Archive, path.Base(j.batch.Folder), f.Path)
	if err := conn.MakeDir(ctx, path.Dir(to)); err != nil {
		return err
	}
	return conn.Rename(ctx, from, to)
}

// release passes on what the guard had stopped: the copy that lies apart gets the file's own name.
func (j *job) release(ctx context.Context, m drop.Manifest) (drop.Manifest, error) {
	for i, e := range m.Files {
		if e.Outcome != drop.Held {
			continue
		}
		_, err := j.Blobs.Copy(ctx, e.Blob, j.batch.BlobName(e.File), storage.Cond{New: true}, storage.Meta{})
		if err != nil && !errors.Is(err, storage.ErrConflict) && !errors.Is(err, storage.ErrNotFound) {
			return m, err
		}
		stored, err := j.find(ctx, e.File)
		if err != nil {
			return m, fmt.Errorf("release %q: %w", e.Path, err)
		}
		if stored.SHA256 != e.SHA256 {
			return m, fmt.Errorf("release %q: %q exists with other content: delete or rename that blob, then release again", e.Path, stored.Blob)
		}
		stored.Reason = "released by an operator; the guard had said: " + e.Reason
		m.Files[i] = stored
		if err := j.Blobs.Delete(ctx, e.Blob, storage.Cond{}); err != nil {
			return m, err
		}
	}
	m.Finished = j.Now().UTC()
	_, err := j.Blobs.Write(ctx, j.batch.ManifestName(), m.Bytes(), storage.Cond{}, storage.Meta{ContentType: "application/json"})
	return m, err
}
