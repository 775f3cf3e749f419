package ftpscan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/pkg/ftp"
)

// look lists the server and returns the files that are new or changed and have settled. It updates the sightings in state.
func (h *Handler) look(ctx context.Context, state *State, report *Report) ([]drop.File, error) {
	listing, err := h.list(ctx)
	if err != nil {
		return nil, err
	}
	report.Refused = listing.refused
	report.Listed = len(listing.wanted)
	fresh := h.fresh(state, listing)
	settled, waiting := h.settled(state, fresh, listing)
	if len(waiting) > 0 && h.Config.Filter.DoneSuffix == "" && h.Config.Settle > 0 {
		if err := pause(ctx, h.Config.Settle); err != nil {
			return nil, err
		}
		if listing, err = h.list(ctx); err != nil {
			return nil, err
		}
		settled, waiting = h.settled(state, h.fresh(state, listing), listing)
	}
	for _, f := range waiting {
		report.Waiting = append(report.Waiting, f.Path)
	}
	state.forget(h.Now())
	sortByPath(settled)
	return settled, nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait %s for files to settle: %w", d, context.Cause(ctx))
	}
}

// fresh is what the listing shows and the record does not know.
func (h *Handler) fresh(state *State, l listing) []drop.File {
	now := h.Now()
	var fresh []drop.File
	for _, f := range l.wanted {
		known, ok := state.Known[f.Path]
		if ok && known.File.Same(f) {
			known.Listed = now
			state.Known[f.Path] = known
			continue
		}
		fresh = append(fresh, f)
	}
	return fresh
}

// settled splits fresh files into those that are complete and those that may still grow, and remembers the latter. A file
// is complete when its companion is there, or when it looked the same Settle ago.
func (h *Handler) settled(state *State, fresh []drop.File, l listing) (settled, waiting []drop.File) {
	now := h.Now()
	seen := make(map[string]Sighting, len(fresh))
	for _, f := range fresh {
		if suffix := h.Config.Filter.DoneSuffix; suffix != "" {
			if l.companions[f.Path+suffix] {
				settled = append(settled, f)
			} else {
				waiting = append(waiting, f)
			}
			continue
		}
		sighting, ok := state.Seen[f.Path]
		if !ok || !sighting.File.Same(f) {
			sighting = Sighting{File: f, Since: now}
		}
		if now.Sub(sighting.Since) >= h.Config.Settle {
			settled = append(settled, f)
			continue
		}
		seen[f.Path] = sighting
		waiting = append(waiting, f)
	}
	state.Seen = seen
	return settled, waiting
}

// listing is one look at the server.
type listing struct {
	wanted     []drop.File
	companions map[string]bool
	refused    []string
}

func (h *Handler) list(ctx context.Context) (l listing, err error) {
	conn, err := h.FTP.Get(ctx)
	if err != nil {
		return l, fmt.Errorf("list %q: %w", h.Config.Source, err)
	}
	defer func() { h.FTP.Put(conn, err) }()
	now := h.Now()
	l.companions = map[string]bool{}
	for entry, err := range conn.Walk(ctx, h.Config.Source, h.Config.Depth) {
		switch {
		case err != nil && (entry.Path == "" || conn.Broken()):
			return l, listFailure(err)
		case err != nil: // one folder below; the others can be read
			l.refused = append(l.refused, err.Error())
			continue
		}
		l.add(entry, h.Config.Filter, now)
	}
	return l, nil
}

// listFailure names the setting of a directory that cannot be listed.
func listFailure(err error) error {
	if errors.Is(err, ftp.ErrNotFound) || errors.Is(err, ftp.ErrForbidden) {
		return fmt.Errorf("list FTPSourceDirectory: %w: see that it exists and that FTPUsername may list it", err)
	}
	return fmt.Errorf("list FTPSourceDirectory: %w", err)
}

func (l *listing) add(entry ftp.Entry, filter Filter, now time.Time) {
	if entry.Problem != nil {
		l.refused = append(l.refused, fmt.Sprintf("%q: %v", entry.Name, entry.Problem))
		return
	}
	if entry.Kind != ftp.File {
		return
	}
	file := drop.File{Path: entry.Path, Size: entry.Size, ModTime: entry.ModTime.UTC().Truncate(time.Second), Precise: entry.Precise}
	if filter.DoneSuffix != "" {
		l.companions[file.Path] = true
	}
	if !filter.wants(file, now) {
		return
	}
	if err := drop.CheckPath(file.Path); err != nil {
		l.refused = append(l.refused, fmt.Sprintf("%q: %v; rename it on the server", file.Path, err))
		return
	}
	l.wanted = append(l.wanted, file)
}
