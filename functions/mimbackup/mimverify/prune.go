package mimverify

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/nightshift-hq/nightshift/functions/mimbackup/backup"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/mim"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

//go:embed prune.ps1
var pruneText string

// PruneScript removes folders on the server.
func PruneScript() winrm.Script { return winrm.Script{Name: "prune.ps1", Text: pruneText} }

// PruneParams are those of prune.ps1.
type PruneParams struct {
	Root    string
	Backups []OnServer
}

// OnServer is a folder on the server, and the run whose manifest must be in it.
type OnServer struct {
	Run    string `json:"run"`
	Folder string `json:"folder"`
}

// PruneResult is what prune.ps1 returns.
type PruneResult struct {
	Folders []PrunedFolder `json:"folders"`
}

// PrunedFolder is what became of one folder: removed, absent, or kept with the reason.
type PrunedFolder struct {
	Run     string `json:"run"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason"`
}

// Pruned is what was removed.
type Pruned struct {
	OnServer    []string `json:"onServer,omitempty"`    // runs whose folder was removed
	InContainer []string `json:"inContainer,omitempty"` // runs whose blobs were removed
	Kept        []string `json:"kept,omitempty"`        // folders that should have gone, and why they did not
}

// prune removes old backups, first on the server, then in the container. A run whose folder could not be removed keeps its mark,
// without which the folder would never be removed.
func (h *Handler) prune(ctx context.Context) (Pruned, error) {
	var pruned Pruned
	runs, marks, err := backup.Runs(ctx, h.Backups)
	if err != nil {
		return pruned, fmt.Errorf("prune: %w", err)
	}
	expired := h.expired(runs, marks)
	stuck, err := h.pruneServer(ctx, h.surplus(runs, marks), &pruned)
	if err != nil {
		return pruned, fmt.Errorf("prune folders on the server: %w", err)
	}
	for _, run := range expired {
		if slices.Contains(stuck, run) {
			continue
		}
		if err := backup.Remove(ctx, h.Backups, run); err != nil {
			return pruned, fmt.Errorf("prune run %s: %w", run, err)
		}
		pruned.InContainer = append(pruned.InContainer, run)
	}
	return pruned, nil
}

// surplus are the folders that may go: of verified runs, but for the newest.
func (h *Handler) surplus(runs []string, marks map[string]backup.Verified) []OnServer {
	var verified []OnServer
	for _, run := range runs {
		if mark, ok := marks[run]; ok {
			verified = append(verified, OnServer{Run: run, Folder: mark.Folder})
		}
	}
	return verified[:max(0, len(verified)-max(1, h.Config.KeepOnServer))]
}

// expired are the runs that retention does not keep, and those whose removal was begun.
func (h *Handler) expired(runs []string, marks map[string]backup.Verified) []string {
	var all []mim.Run
	for _, run := range runs {
		due, err := backup.RunTime(run)
		if err != nil {
			continue
		}
		mark, ok := marks[run]
		all = append(all, mim.Run{Name: run, Time: due.In(h.Config.Zone), Verified: ok && !mark.Expired})
	}
	_, remove := h.Config.Retention.Plan(all)
	var names []string
	for _, r := range remove {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	return names
}

// pruneServer removes folders and returns the runs whose folder is still there.
func (h *Handler) pruneServer(ctx context.Context, surplus []OnServer, pruned *Pruned) (stuck []string, err error) {
	if len(surplus) == 0 {
		return nil, nil
	}
	script := PruneScript()
	raw, err := h.Server.Run(ctx, script, PruneParams{Root: h.Config.Root, Backups: surplus}, nil)
	if err != nil {
		return nil, err
	}
	var result PruneResult
	if err := json.Unmarshal(raw, &result); err != nil {
		return nil, fmt.Errorf("run script %q: decode its result: %w", script.Name, err)
	}
	for _, f := range result.Folders {
		switch f.Outcome {
		case "removed":
			pruned.OnServer = append(pruned.OnServer, f.Run)
		case "kept":
			stuck = append(stuck, f.Run)
			pruned.Kept = append(pruned.Kept, f.Run+": "+f.Reason)
			customhandler.Log(ctx).Warn("an old backup folder stays on the server", "run", f.Run, "reason", f.Reason)
		}
	}
	return stuck, nil
}
