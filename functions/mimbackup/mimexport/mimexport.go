// Package mimexport is the timer room of mimbackup: it has the MIM server export its configuration into a dated folder, has it
// ship the folder to blob storage as a zip, and hands the backup to mimverify.
//
// A run has three stages, each put on record before its work begins. The long work runs detached on the server under a key made
// of run and stage: an invocation that ends, is killed or loses the connection leaves it running, and the next tick adopts it.
// So one night makes one backup, or an error that says why there is none.
//
// A server that cannot be reached is tried again for half a day. A script that fails is tried again twice, each time into a
// new folder. A part that fails does not stop the others; it is an error in the log.
//
// Runs never overlap: a lease guards the record, and a run that loses it stops before its next write.
package mimexport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nightshift-hq/nightshift/functions/mimbackup/backup"
	"github.com/nightshift-hq/nightshift/pkg/cursor"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/mim"
	"github.com/nightshift-hq/nightshift/pkg/schedule/gate"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// Config says what to export, to where, and when to worry.
type Config struct {
	Root           string // folder on the server
	FolderFormat   FolderFormat
	Zone           *time.Location
	Engine         Engine
	MinFreeBytes   int64
	PortalURI      string
	PortalUser     string
	PortalPassword settings.Secret
	Proxy          string        // of the server, for its way to storage; empty: none
	KeyBackup      time.Time     // when the encryption keys were last backed up, for RESTORE.md; zero: nobody has said
	LateAfter      time.Duration // a run that is not verified by then is late
}

// Handler is the room. Now may be replaced in tests.
type Handler struct {
	Config  Config
	Gate    gate.Gate
	Server  Server
	Cursor  *cursor.Store[State]
	Backups *storage.Container
	Queue   *storage.Queue
	Now     func() time.Time
}

const (
	attempts = 3              // of a stage whose script fails
	giveUp   = 12 * time.Hour // after which a run is failed, whatever is in its way
	linkLife = 4 * time.Hour  // of the link that the server ships through
	forget   = 7 * 24 * time.Hour

	laterFailed  = 10 * time.Minute
	laterAbsent  = 10 * time.Minute
	laterRefused = time.Hour // a human must act, and accounts get locked
)

// Report is what a tick did.
type Report struct {
	Run      string        `json:"run"`
	Stage    string        `json:"stage"` // "handed on" at the end, else what goes on
	Folder   string        `json:"folder,omitempty"`
	Engine   string        `json:"engine,omitempty"`
	ZipBytes int64         `json:"zipBytes,omitempty"`
	Parts    []backup.Part `json:"parts,omitempty"`
}

// Plan is what a dry run reports.
type Plan struct {
	Folder string `json:"folder"`
	Engine Engine `json:"engine"`
	Blob   string `json:"blob"`
	Found  Probe  `json:"found"`
	Open   *Open  `json:"open,omitempty"` // a run under way, which would be continued instead
}

// Handle begins a run when its wall-clock time has come, or at once when started by hand, and takes the run under way as far
// as the time of this invocation allows.
func (h *Handler) Handle(ctx context.Context, t customhandler.Timer) error {
	if customhandler.DryRun(ctx) {
		return h.plan(ctx)
	}
	locked, lock, err := h.Cursor.Lock(ctx)
	if errors.Is(err, cursor.ErrLocked) && !t.Manual {
		customhandler.Log(ctx).Info("another invocation is at work; nothing to do")
		return nil
	}
	if err != nil {
		return fmt.Errorf("start backup: %w", err)
	}
	defer lock.Unlock(context.WithoutCancel(ctx))
	err = h.begin(locked, t)
	if err == nil {
		err = h.advance(locked, t.Manual)
	}
	if locked.Err() != nil {
		return err // the time of this invocation is up; the next one watches
	}
	return errors.Join(err, h.watch(locked))
}

// begin puts a run on record when it is time for one. A time that comes while a run is under way has its run: so the one that was
// begun by an invocation which died before the gate took note is not made twice.
func (h *Handler) begin(ctx context.Context, t customhandler.Timer) error {
	record, err := h.Cursor.Load(ctx)
	if err != nil {
		return err
	}
	begin := func(ctx context.Context) error {
		if record.Value.Open != nil {
			return nil
		}
		state := record.Value.clone()
		now := h.Now()
		state.Open = &Open{Run: backup.RunName(now), Folder: h.Config.FolderFormat.Format(now.In(h.Config.Zone))}
		state.Open.enter(StageExport)
		if _, err := h.Cursor.Swap(ctx, record, state); err != nil {
			return gate.Again(fmt.Errorf("record the run: %w", err))
		}
		return nil
	}
	if t.Manual {
		return begin(ctx)
	}
	_, err = h.Gate.Pass(ctx, t.Now, begin)
	return err
}

// advance takes the run under way through its stages.
func (h *Handler) advance(ctx context.Context, manual bool) error {
	record, err := h.Cursor.Load(ctx)
	if err != nil {
		return err
	}
	for record.Value.Open != nil {
		state := record.Value.clone()
		if state.Open.NotBefore.After(h.Now()) && !manual {
			return nil
		}
		if err := h.step(ctx, &state); err != nil {
			return h.setBack(ctx, record, err)
		}
		if record, err = h.Cursor.Swap(ctx, record, state); err != nil {
			return fmt.Errorf("record what was done: %w", err)
		}
	}
	return nil
}

// step does the work of the present stage and enters the next.
func (h *Handler) step(ctx context.Context, state *State) error {
	open := state.Open
	switch open.Stage {
	case StageExport:
		exported, err := h.export(ctx, *open)
		if err != nil {
			return err
		}
		open.Exported = &exported
		open.enter(StageShip)
	case StageShip:
		shipped, err := h.ship(ctx, *open)
		if err != nil {
			return err
		}
		open.ZipBytes = shipped.Bytes
		open.enter(StageHandOn)
	default:
		if err := h.handOn(ctx, *open); err != nil {
			return err
		}
		state.Open = nil
		state.Shipped = append(state.Shipped, Pending{Run: open.Run, Alarmed: open.Alarmed})
		h.report(ctx, *open, "handed on")
	}
	return nil
}

func (h *Handler) export(ctx context.Context, open Open) (Exported, error) {
	raw, err := h.Server.RunDetached(ctx, open.key(), ExportScript(), ExportParams{
		RunId: open.Run, Root: h.Config.Root, Name: open.Folder, Engine: h.Config.Engine,
		MinFreeBytes: h.Config.MinFreeBytes, PortalUri: h.Config.PortalURI, PortalUser: h.Config.PortalUser,
		PortalPassword: h.Config.PortalPassword.Reveal(),
	}, logEvents(ctx))
	if err != nil {
		return Exported{}, err
	}
	exported, err := decode[Exported](ExportScript(), raw)
	if err != nil {
		return Exported{}, err
	}
	for _, part := range exported.Manifest.Parts {
		switch part.Outcome {
		case mim.OutcomeFailed:
			customhandler.Log(ctx).Error("a part of the backup failed", "run", open.Run, "part", part.Name, "reason", part.Reason,
				"do", "see docs/mimbackup.md, \"What can go wrong\"; the other parts are backed up")
		case mim.OutcomeSkipped:
			customhandler.Log(ctx).Info("a part of the backup is not installed", "run", open.Run, "part", part.Name, "reason", part.Reason)
		}
	}
	return exported, nil
}

func (h *Handler) ship(ctx context.Context, open Open) (ShipResult, error) {
	if err := h.Backups.Create(ctx); err != nil {
		return ShipResult{}, err
	}
	link, err := h.Backups.SAS(ctx, backup.ZipName(open.Run), storage.SASCreateBlocks, linkLife)
	if err != nil {
		return ShipResult{}, err
	}
	guide, err := open.Exported.Manifest.RestoreGuide(h.Config.KeyBackup)
	if err != nil {
		return ShipResult{}, err
	}
	raw, err := h.Server.RunDetached(ctx, open.key(), ShipScript(), ShipParams{
		RunId: open.Run, Folder: open.Exported.Folder, Sas: link.Reveal(), RestoreText: string(guide), Proxy: h.Config.Proxy,
	}, logEvents(ctx))
	if err != nil {
		return ShipResult{}, err
	}
	return decode[ShipResult](ShipScript(), raw)
}

func (h *Handler) handOn(ctx context.Context, open Open) error {
	body, err := customhandler.Encode(open.shipped())
	if err != nil {
		return fmt.Errorf("hand on run %s: %w", open.Run, err)
	}
	if _, err := h.Queue.Enqueue(ctx, body, 0); err != nil {
		return fmt.Errorf("hand on run %s: %w", open.Run, err)
	}
	return nil
}

func (h *Handler) report(ctx context.Context, open Open, stage string) {
	r := Report{Run: open.Run, Stage: stage, ZipBytes: open.ZipBytes}
	if e := open.Exported; e != nil {
		r.Folder, r.Engine, r.Parts = e.Folder, e.Manifest.Engine, backup.PartsOf(e.Manifest)
	}
	customhandler.Report(ctx, r)
}

func (h *Handler) plan(ctx context.Context) error {
	record, err := h.Cursor.Load(ctx)
	if err != nil {
		return err
	}
	found, err := Look(ctx, h.Server, ProbeParams{Root: h.Config.Root})
	if err != nil {
		return err
	}
	now := h.Now()
	customhandler.Report(ctx, Plan{
		Folder: h.Config.Root + `\` + h.Config.FolderFormat.Format(now.In(h.Config.Zone)), Engine: h.Config.Engine,
		Blob: backup.ZipName(backup.RunName(now)), Found: found, Open: record.Value.Open,
	})
	return nil
}
