// Package mimverify is the queue room of mimbackup: it reads a shipped backup back, and only then lets it count.
//
// A message goes through these steps, and a repeat of it finds what is done:
//
//   - The zip is read back from blob storage and held against its manifest, which is held against what the server reported when
//     it wrote it. Any problem poisons the message with the list: the backup does not count, and nothing is removed.
//   - It is compared with the verified backup before it: drift.json and drift.html lie beside it.
//   - It gets its mark, verified.json.
//   - What is missing, or smaller than yesterday by more than the limit, is an error in the log.
//   - Old backups are removed: first on the server, then in the container. The newest verified backup is never removed, neither
//     here nor there, nor is a folder on the server whose copy was not verified.
//
// The zip is kept in a temporary file, not in memory.
package mimverify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nightshift-hq/nightshift/functions/mimbackup/backup"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/mim"
	"github.com/nightshift-hq/nightshift/pkg/storage"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

// Config says what to complain about and what to keep.
type Config struct {
	Root             string // folder on the server
	KeepOnServer     int    // newest verified folders that stay on the server
	Retention        mim.Retention
	Zone             *time.Location // whose days, weeks and months retention counts
	MaxShrinkPercent int            // a part that lost more than this is an error in the log; 0: never
}

// Server is the MIM server. *winrm.Client is one.
type Server interface {
	Run(ctx context.Context, script winrm.Script, params any, on func(winrm.Event)) (json.RawMessage, error)
}

// Handler is the room. Now may be replaced in tests.
type Handler struct {
	Config  Config
	Server  Server
	Backups *storage.Container
	Now     func() time.Time
}

// Report is what became of the backup.
type Report struct {
	Run      string        `json:"run"`
	Bytes    int64         `json:"bytes"` // of the zip
	Parts    []backup.Part `json:"parts"`
	Previous string        `json:"previous,omitempty"` // the run it was compared with
	Changes  int           `json:"changes"`            // since then
	Worries  []string      `json:"worries,omitempty"`  // what is missing or smaller
	Pruned   *Pruned       `json:"pruned,omitempty"`
}

// How long a message is put off when only pruning failed for want of the server.
const laterServer = 30 * time.Minute

// Handle verifies one backup.
func (h *Handler) Handle(ctx context.Context, m customhandler.Message[backup.Shipped]) error {
	if err := m.Data.Check(); err != nil {
		return customhandler.Permanent(err)
	}
	if customhandler.DryRun(ctx) {
		return h.plan(ctx, m.Data)
	}
	mark, err := backup.ReadMark(ctx, h.Backups, m.Data.Run)
	if errors.Is(err, storage.ErrNotFound) {
		mark, err = h.verify(ctx, m.Data)
	}
	if err != nil {
		return err
	}
	if mark.Expired {
		return nil // verified long ago, and being removed
	}
	report := Report{Run: mark.Run, Bytes: mark.Bytes, Parts: mark.Parts, Previous: mark.Previous, Changes: mark.Changes, Worries: mark.Worries}
	pruned, err := h.prune(ctx)
	report.Pruned = &pruned
	customhandler.Report(ctx, report)
	if errors.Is(err, winrm.ErrUnreachable) || errors.Is(err, winrm.ErrTimeout) || errors.Is(err, winrm.ErrBusy) || errors.Is(err, winrm.ErrDenied) {
		return fmt.Errorf("%w; the backup itself is verified (%w)", err, customhandler.RetryAfter(laterServer))
	}
	return err
}

// verify reads the backup back, compares it, and marks it.
func (h *Handler) verify(ctx context.Context, shipped backup.Shipped) (backup.Verified, error) {
	zip, err := h.fetch(ctx, backup.ZipName(shipped.Run))
	if errors.Is(err, storage.ErrNotFound) {
		return backup.Verified{}, customhandler.Permanent(fmt.Errorf("run %s: there is no backup to verify: %w", shipped.Run, err))
	}
	if err != nil {
		return backup.Verified{}, err
	}
	defer zip.close()
	manifest, err := zip.judge(ctx, shipped)
	if err != nil {
		return backup.Verified{}, err
	}
	mark := backup.Verified{Run: shipped.Run, Server: manifest.Server, Folder: shipped.Folder, Verified: h.Now().UTC(),
		SHA256: zip.sha256, Bytes: zip.size, Parts: backup.PartsOf(manifest)}
	previous, found, err := h.previous(ctx, shipped.Run)
	if err != nil {
		return backup.Verified{}, err
	}
	if mark.Changes, err = h.drift(ctx, zip, shipped.Run, previous, found); err != nil {
		return backup.Verified{}, err
	}
	if found {
		mark.Previous = previous.Run
		mark.Worries = worries(previous, mark, h.Config.MaxShrinkPercent)
	}
	for _, worry := range mark.Worries {
		customhandler.Log(ctx).Error("the backup has less in it than the one before", "run", mark.Run, "previous", mark.Previous, "what", worry,
			"do", "see drift.html beside the backup, and the errors of mimexport")
	}
	return mark, backup.Mark(ctx, h.Backups, mark)
}

// previous is the newest verified backup before a run.
func (h *Handler) previous(ctx context.Context, run string) (mark backup.Verified, found bool, err error) {
	runs, marks, err := backup.Runs(ctx, h.Backups)
	if err != nil {
		return mark, false, err
	}
	for _, earlier := range runs {
		if m, ok := marks[earlier]; ok && !m.Expired && earlier < run {
			mark, found = m, true
		}
	}
	return mark, found, nil
}

// worries are the parts that were there before and are not now, or lost more than the limit in files or bytes.
func worries(before, after backup.Verified, maxShrinkPercent int) []string {
	now := map[string]backup.Part{}
	for _, p := range after.Parts {
		now[p.Name] = p
	}
	var all []string
	for _, was := range before.Parts {
		is := now[was.Name]
		switch {
		case was.Outcome != mim.OutcomeOK:
		case is.Outcome != mim.OutcomeOK:
			all = append(all, fmt.Sprintf("%s was there and is %s now: %s", was.Name, orMissing(is.Outcome), is.Reason))
		case shrunk(was.Bytes, is.Bytes, maxShrinkPercent):
			all = append(all, fmt.Sprintf("%s had %d bytes and has %d", was.Name, was.Bytes, is.Bytes))
		case shrunk(int64(was.Files), int64(is.Files), maxShrinkPercent):
			all = append(all, fmt.Sprintf("%s had %d files and has %d", was.Name, was.Files, is.Files))
		}
	}
	return all
}

func orMissing(outcome mim.Outcome) mim.Outcome {
	if outcome == "" {
		return "missing"
	}
	return outcome
}

// shrunk tells whether more than the limit was lost; a limit of 0 means never.
func shrunk(was, is int64, percent int) bool {
	return percent > 0 && is < was && (was-is)*100 > was*int64(percent)
}

// plan reports what a run would do.
func (h *Handler) plan(ctx context.Context, shipped backup.Shipped) error {
	mark, err := backup.ReadMark(ctx, h.Backups, shipped.Run)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	runs, marks, err := backup.Runs(ctx, h.Backups)
	if err != nil {
		return err
	}
	expired := h.expired(runs, marks)
	customhandler.Report(ctx, map[string]any{"wouldVerify": shipped, "verifiedAlready": !mark.Verified.IsZero(),
		"wouldRemoveFromContainer": expired, "wouldRemoveOnServer": h.surplus(runs, marks)})
	return nil
}
