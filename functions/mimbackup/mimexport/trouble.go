package mimexport

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nightshift-hq/nightshift/functions/mimbackup/backup"
	"github.com/nightshift-hq/nightshift/pkg/cursor"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/storage"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

// hopeless are errors of the scripts that a repeat would meet again.
var hopeless = []string{"no-sync-service", "no-engine", "folder-taken"}

// setBack decides what an error means for the run under way, and puts that on record.
func (h *Handler) setBack(ctx context.Context, record cursor.Record[State], err error) error {
	open := *record.Value.Open
	if errors.Is(err, winrm.ErrStillRunning) || ctx.Err() != nil {
		customhandler.Log(ctx).Info("the work goes on at the server; the next tick looks after it", "run", open.Run, "stage", string(open.Stage))
		h.report(ctx, open, string(open.Stage))
		return nil
	}
	state := record.Value.clone()
	begun, timeErr := backup.RunTime(open.Run)
	if timeErr != nil {
		return timeErr
	}
	wait, again := h.judge(err, state.Open)
	if again && h.Now().Sub(begun) < giveUp {
		state.Open.NotBefore = h.Now().Add(wait)
		err = fmt.Errorf("%s of run %s: %w (to be tried again in %v)", open.Stage, open.Run, err, wait)
	} else {
		state.Open = nil
		err = fmt.Errorf("there is no backup of run %s: %s: %w", open.Run, open.Stage, err)
	}
	if _, swapErr := h.Cursor.Swap(context.WithoutCancel(ctx), record, state); swapErr != nil {
		return errors.Join(err, fmt.Errorf("record the failure: %w", swapErr))
	}
	return err
}

// judge says whether and when to try again. A script that failed, or died with its server, costs an attempt: its next try has a
// key of its own, and so begins from the start.
func (h *Handler) judge(err error, open *Open) (wait time.Duration, again bool) {
	var thrown *winrm.ScriptError
	switch {
	case errors.Is(err, winrm.ErrDenied), errors.Is(err, winrm.ErrForbidden), errors.Is(err, winrm.ErrCert), errors.Is(err, winrm.ErrTimeSkew):
		return laterRefused, true
	case errors.As(err, &thrown):
		open.Attempt++
		return laterFailed, open.Attempt <= attempts && !slices.Contains(hopeless, thrown.ID)
	case errors.Is(err, winrm.ErrNoResult):
		open.Attempt++
		return 0, open.Attempt <= attempts
	}
	return laterAbsent, true // the server or storage is in trouble
}

// watch complains, once a run, when a backup is not verified in time.
func (h *Handler) watch(ctx context.Context) error {
	record, err := h.Cursor.Load(ctx)
	if err != nil {
		return err
	}
	state, changed := record.Value.clone(), false
	if open := state.Open; open != nil && !open.Alarmed && h.late(open.Run) {
		customhandler.Log(ctx).Error("the backup is late", "run", open.Run, "stage", string(open.Stage), "do", "look for the errors of mimexport above")
		open.Alarmed, changed = true, true
	}
	var waiting []Pending
	for _, p := range state.Shipped {
		_, err := backup.ReadMark(ctx, h.Backups, p.Run)
		switch {
		case err == nil, h.age(p.Run) > forget:
			changed = true
			continue
		case !errors.Is(err, storage.ErrNotFound):
			return err
		case !p.Alarmed && h.late(p.Run):
			customhandler.Log(ctx).Error("the backup is shipped and not verified", "run", p.Run,
				"do", "look among the held and poisoned messages: GET /api/invoke")
			p.Alarmed, changed = true, true
		}
		waiting = append(waiting, p)
	}
	if !changed {
		return nil
	}
	state.Shipped = waiting
	_, err = h.Cursor.Swap(ctx, record, state)
	return err
}

func (h *Handler) late(run string) bool { return h.age(run) > h.Config.LateAfter }

// age is how long ago a run was due; a name that is none is very old.
func (h *Handler) age(run string) time.Duration {
	begun, err := backup.RunTime(run)
	if err != nil {
		return forget + time.Hour
	}
	return h.Now().Sub(begun)
}
