// Package ftpscan is the timer room of ftppull: it lists the FTP server, subtracts what is known, and hands the rest to
// ftpfetch in batches.
//
// A run first finishes what an earlier one left (a plan that a kill kept from the queue), learns from the manifests what
// became of earlier batches, then lists. New and changed files that have settled become a plan. The plan is put on record,
// then into the queue, and only then does the record say that its files are known: a kill at any point repeats messages and
// loses none, and a repeated message finds its work done. A dry run reports the plan and writes nothing.
//
// Runs never overlap: a lease guards the record, and a run that loses it stops before its next write.
package ftpscan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/pkg/cursor"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/ftp"
	"github.com/nightshift-hq/nightshift/pkg/schedule/gate"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// Config says what to look for and how to hand it on.
type Config struct {
	Source       string // directory on the FTP server
	Depth        int    // levels of folders below Source; 0 takes the files of Source itself
	Filter       Filter
	Settle       time.Duration // two listings this far apart must agree on a file
	Target       string        // blob prefix of everything that is stored
	FolderFormat FolderFormat  // names the dated folder
	Zone         *time.Location
	Limits       drop.Limits
	Expect       Expectations
}

// Handler is the room. Now may be replaced in tests.
type Handler struct {
	Config Config
	Gate   gate.Gate
	FTP    *ftp.Pool
	Cursor *cursor.Store[State]
	Blobs  *storage.Container
	Queue  *storage.Queue
	Now    func() time.Time
}

// Parallel storage calls of one run.
const parallel = 8

// Report is what a run did, or what a dry run would do.
type Report struct {
	Listed   int          `json:"listed"`   // wanted files on the server
	HandedOn int          `json:"handedOn"` // new or changed ones, now in the queue
	Bytes    int64        `json:"bytes"`
	Waiting  []string     `json:"waiting,omitempty"`  // new, but still changing or without their companion
	Refused  []string     `json:"refused,omitempty"`  // entries of the listing that cannot be taken, and why
	Late     []string     `json:"late,omitempty"`     // earlier batches without a manifest: look among the held and poisoned
	Batches  []drop.Batch `json:"batches,omitempty"`  // in a dry run only
	Finished []string     `json:"finished,omitempty"` // manifests that came in since the last run
}

// Handle runs the scan when its wall-clock time has come, or at once when started by hand.
func (h *Handler) Handle(ctx context.Context, t customhandler.Timer) error {
	locked, lock, err := h.Cursor.Lock(ctx)
	if errors.Is(err, cursor.ErrLocked) && !t.Manual {
		customhandler.Log(ctx).Info("another scan is under way; nothing to do")
		return nil
	}
	if errors.Is(err, cursor.ErrLocked) {
		return fmt.Errorf("start scan: %w: try again when it has ended; the lock of a run that was killed ends after a minute", err)
	}
	if err != nil {
		return fmt.Errorf("start scan: %w", err)
	}
	defer lock.Unlock(context.WithoutCancel(ctx))
	if t.Manual {
		return h.scan(locked)
	}
	_, err = h.Gate.Pass(locked, t.Now, func(ctx context.Context) error {
		err := h.scan(ctx)
		if passing(err) {
			return gate.Again(err)
		}
		return err
	})
	return errors.Join(err, h.checkExpectations(locked))
}

// passing reports trouble that the next tick, minutes later, may no longer meet. A refused login is none: accounts get locked.
func passing(err error) bool {
	return errors.Is(err, ftp.ErrBusy) || errors.Is(err, ftp.ErrTimeout) || errors.Is(err, ftp.ErrLost) || errors.Is(err, storage.ErrUnavailable)
}

func (h *Handler) scan(ctx context.Context) error {
	record, err := h.Cursor.Load(ctx)
	if err != nil {
		return err
	}
	dry := customhandler.DryRun(ctx)
	if !dry {
		if record, err = h.publish(ctx, record); err != nil {
			return err
		}
	}
	state := record.Value.clone()
	var report Report
	if report.Finished, err = h.learn(ctx, &state); err != nil {
		return err
	}
	fresh, err := h.look(ctx, &state, &report)
	if err != nil {
		return err
	}
	state.Plan = h.plan(state, fresh)
	report.Late = state.late(h.Now())
	for _, b := range state.Plan {
		report.HandedOn += len(b.Files)
		report.Bytes += b.Bytes()
	}
	if dry {
		report.Batches = state.Plan
		customhandler.Report(ctx, report)
		return nil
	}
	if record, err = h.Cursor.Swap(ctx, record, state); err != nil {
		return fmt.Errorf("record the plan: %w", err)
	}
	if _, err = h.publish(ctx, record); err != nil {
		return err
	}
	h.warn(ctx, report)
	customhandler.Report(ctx, report)
	return nil
}

// publish puts the recorded plan into the queue, then records that it is there.
func (h *Handler) publish(ctx context.Context, record cursor.Record[State]) (cursor.Record[State], error) {
	if len(record.Value.Plan) == 0 {
		return record, nil
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, batch := range record.Value.Plan {
		group.Go(func() error {
			body, err := customhandler.Encode(batch)
			if err != nil {
				return fmt.Errorf("encode batch %s: %w", batch.ID(), err)
			}
			_, err = h.Queue.Enqueue(groupCtx, body, 0)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return record, fmt.Errorf("hand on %d batches: %w", len(record.Value.Plan), err)
	}
	state := record.Value.clone()
	state.handOver(h.Now())
	record, err := h.Cursor.Swap(ctx, record, state)
	if err != nil {
		return record, fmt.Errorf("record what was handed on: %w", err)
	}
	return record, nil
}

// learn reads the manifests that have come in for open batches.
func (h *Handler) learn(ctx context.Context, state *State) ([]string, error) {
	names := make([]string, 0, len(state.Open))
	for name := range state.Open {
		names = append(names, name)
	}
	slices.Sort(names)
	found := make([]*drop.Manifest, len(names))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, name := range names {
		group.Go(func() error {
			m, err := drop.ReadManifest(groupCtx, h.Blobs, name)
			if errors.Is(err, storage.ErrNotFound) {
				return nil
			}
			found[i] = &m
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("read manifests: %w", err)
	}
	var finished []string
	for i, m := range found {
		if m == nil {
			continue
		}
		if state.learn(names[i], *m, h.Now()); m.Count(drop.Held) == 0 {
			finished = append(finished, names[i])
		}
	}
	return finished, nil
}

// plan cuts the fresh files into batches. All go to the dated folder of today, except a file that was handed to that
// folder before: its new version gets a folder of its own, so that nothing stored is ever overwritten.
func (h *Handler) plan(state State, fresh []drop.File) []drop.Batch {
	now := h.Now()
	run := now.UTC().Format("20060102T150405Z")
	today := h.Config.Target + "/" + h.Config.FolderFormat.Format(now.In(h.Config.Zone))
	var first, again []drop.File
	for _, f := range fresh {
		if latest, ok := state.Latest[drop.Series(f.Path)]; ok {
			f.Previous = &latest
		}
		if state.handedTo(today, f.Path) {
			again = append(again, f)
		} else {
			first = append(first, f)
		}
	}
	batches := drop.Cut(first, run, today, h.Config.Limits)
	return append(batches, drop.Cut(again, run, today+"-"+now.UTC().Format("150405"), h.Config.Limits)...)
}

func (s State) handedTo(folder, path string) bool {
	known, ok := s.Known[path]
	return ok && (known.Folder == folder || len(known.Folder) > len(folder) && known.Folder[:len(folder)+1] == folder+"-")
}

// checkExpectations reports files that are not there at their time of day. Before it complains it looks once more.
func (h *Handler) checkExpectations(ctx context.Context) error {
	if len(h.Config.Expect) == 0 {
		return nil
	}
	record, err := h.Cursor.Load(ctx)
	if err != nil {
		return err
	}
	state := record.Value.clone()
	before := len(state.Alarmed)
	missed := state.missed(h.Config.Expect, h.Now(), h.Config.Zone)
	if len(missed) == 0 {
		if len(state.Alarmed) == before {
			return nil
		}
		_, err := h.Cursor.Swap(ctx, record, state)
		return err
	}
	scanErr := h.scan(ctx)
	if record, err = h.Cursor.Load(ctx); err != nil {
		return errors.Join(scanErr, err)
	}
	state = record.Value.clone()
	for _, e := range state.missed(h.Config.Expect, h.Now(), h.Config.Zone) {
		customhandler.Log(ctx).Error("an expected file has not arrived", "expected", e.String(), "source", h.Config.Source,
			"do", "ask the sender; the file is taken as soon as a scan sees it")
		state.Alarmed[e.String()] = e.deadline(h.Now(), h.Config.Zone)
	}
	_, err = h.Cursor.Swap(ctx, record, state)
	return errors.Join(scanErr, err)
}

func (h *Handler) warn(ctx context.Context, r Report) {
	log := customhandler.Log(ctx)
	for _, problem := range r.Refused {
		log.Warn("an entry of the listing cannot be taken", "problem", problem)
	}
	for _, name := range r.Late {
		log.Error("a batch handed on over a day ago is not finished", "manifest", name,
			"do", "look among the held and poisoned messages: GET /api/invoke")
	}
}

func sortByPath(files []drop.File) {
	slices.SortFunc(files, func(a, b drop.File) int { return cmp.Compare(a.Path, b.Path) })
}
