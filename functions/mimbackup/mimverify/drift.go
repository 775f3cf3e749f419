package mimverify

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"

	"github.com/nightshift-hq/nightshift/functions/mimbackup/backup"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/mim"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// drift compares a backup with the verified one before it and writes the report beside it. It returns the number of changes.
// The first backup has nothing to be compared with and gets no report.
func (h *Handler) drift(ctx context.Context, now *fetched, run string, previous backup.Verified, found bool) (int, error) {
	if !found {
		return 0, nil
	}
	then, err := h.fetch(ctx, backup.ZipName(previous.Run))
	if errors.Is(err, storage.ErrNotFound) {
		customhandler.Log(ctx).Error("the previous backup is gone, so there is no drift report", "run", run, "previous", previous.Run,
			"do", "find out who deleted it; the container should keep deleted blobs for a while (soft delete)")
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer then.close()
	before, err := then.read()
	if err != nil {
		return 0, fmt.Errorf("compare with run %s: %w", previous.Run, err)
	}
	after, err := now.read()
	if err != nil {
		return 0, fmt.Errorf("compare run %s: %w", run, err)
	}
	report, err := mim.Compare(ctx, before, after)
	if err != nil {
		return 0, err
	}
	report.Before.Name, report.After.Name = previous.Run, run
	return len(report.Changes), h.writeDrift(ctx, run, report)
}

func (h *Handler) writeDrift(ctx context.Context, run string, report mim.Report) error {
	data, err := report.JSON()
	if err != nil {
		return err
	}
	page, err := report.HTML()
	if err != nil {
		return err
	}
	if _, err := h.Backups.Write(ctx, backup.DriftName(run), data, storage.Cond{}, storage.Meta{ContentType: "application/json"}); err != nil {
		return err
	}
	_, err = h.Backups.Write(ctx, backup.DriftPageName(run), page, storage.Cond{}, storage.Meta{ContentType: "text/html; charset=utf-8"})
	return err
}

func (f *fetched) read() (*mim.Backup, error) {
	archive, err := zip.NewReader(f.file, f.size)
	if err != nil {
		return nil, err
	}
	return mim.ReadBackup(archive)
}
