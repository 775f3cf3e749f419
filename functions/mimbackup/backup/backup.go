// Package backup is what the rooms of mimbackup share: the names under which a backup lies in its container, the message that
// hands it from mimexport to mimverify, and the mark that makes it count.
//
//	<run>/backup.zip      what the server shipped
//	<run>/verified.json   the mark: a backup without it does not count
//	<run>/drift.json      what changed since the verified backup before it, for programs
//	<run>/drift.html      the same, for people
//
// Runs are named by the time in UTC when they were due, so that their names sort by age.
package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/mim"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// runLayout must not look like a time to PowerShell, whose JSON reader would make one of it.
const runLayout = "20060102T150405Z"

// RunName is the name of the run that was due at t.
func RunName(t time.Time) string { return t.UTC().Format(runLayout) }

// RunTime is when the run of that name was due.
func RunTime(run string) (time.Time, error) {
	t, err := time.Parse(runLayout, run)
	if err != nil {
		return time.Time{}, fmt.Errorf("run %q: want a time such as %s", run, runLayout)
	}
	return t, nil
}

// Names of a run's blobs.
func ZipName(run string) string       { return run + "/backup.zip" }
func DriftName(run string) string     { return run + "/drift.json" }
func DriftPageName(run string) string { return run + "/drift.html" }
func verifiedName(run string) string  { return run + "/verified.json" }

// Shipped is the message from mimexport to mimverify: one backup that lies in the container.
type Shipped struct {
	Run            string `json:"run"`
	Folder         string `json:"folder"`         // on the server
	ManifestSHA256 string `json:"manifestSha256"` // of manifest.json, as the export reported it: what the zip is held against
	Bytes          int64  `json:"bytes"`          // of the zip
}

// MessageVersion is that of Shipped.
func (Shipped) MessageVersion() int { return 1 }

// Check finds what no run of mimexport would have sent.
func (s Shipped) Check() error {
	if _, err := RunTime(s.Run); err != nil {
		return fmt.Errorf("field run: %w", err)
	}
	if s.Folder == "" {
		return errors.New("field folder: it is empty, want the folder on the server")
	}
	if len(s.ManifestSHA256) != 64 {
		return fmt.Errorf("field manifestSha256: %q, want 64 hex digits", s.ManifestSHA256)
	}
	return nil
}

// Verified is the mark of a backup that was read back and found whole. Its parts are what the next night is compared with.
type Verified struct {
	Version  int       `json:"version"`
	Run      string    `json:"run"`
	Server   string    `json:"server"`
	Folder   string    `json:"folder"`
	Verified time.Time `json:"verified"`
	SHA256   string    `json:"sha256"` // of the zip
	Bytes    int64     `json:"bytes"`  // of the zip
	Parts    []Part    `json:"parts"`

	Previous string   `json:"previous,omitempty"` // the run it was compared with
	Changes  int      `json:"changes"`            // since then
	Worries  []string `json:"worries,omitempty"`  // what is missing or smaller than it was

	// Expired says that retention is removing this backup. It no longer counts, and whoever finds it finishes the removal.
	Expired bool `json:"expired,omitempty"`
}

// Part is how one part of a backup went.
type Part struct {
	Name    string      `json:"name"`
	Outcome mim.Outcome `json:"outcome"`
	Reason  string      `json:"reason,omitempty"`
	Files   int         `json:"files"`
	Bytes   int64       `json:"bytes"`
}

// PartsOf sums a manifest up.
func PartsOf(m mim.Manifest) []Part {
	var all []Part
	for _, p := range m.Parts {
		all = append(all, Part{Name: p.Name, Outcome: p.Outcome, Reason: p.Reason, Files: len(p.Files), Bytes: p.Size()})
	}
	return all
}

const (
	verifiedVersion = 1
	markLimit       = 1 << 20 // bytes
)

// Mark writes the mark of a verified backup.
func Mark(ctx context.Context, c *storage.Container, v Verified) error {
	v.Version = verifiedVersion
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the mark of run %s: %w", v.Run, err)
	}
	_, err = c.Write(ctx, verifiedName(v.Run), append(data, '\n'), storage.Cond{}, storage.Meta{ContentType: "application/json"})
	return err
}

// ReadMark reads the mark of a run; storage.ErrNotFound when it has none.
func ReadMark(ctx context.Context, c *storage.Container, run string) (Verified, error) {
	data, _, err := c.Read(ctx, verifiedName(run), markLimit)
	if err != nil {
		return Verified{}, err
	}
	var v Verified
	if err := json.Unmarshal(data, &v); err != nil {
		return Verified{}, fmt.Errorf("read the mark of run %s in %s: %w", run, c, err)
	}
	if v.Version != verifiedVersion || v.Run != run {
		return Verified{}, fmt.Errorf("read the mark of run %s in %s: it has version %d of run %q, want version %d of this run", run, c, v.Version, v.Run, verifiedVersion)
	}
	return v, nil
}

// Runs lists the runs that have anything in the container, the oldest first, with the marks of those that have one.
func Runs(ctx context.Context, c *storage.Container) (runs []string, marks map[string]Verified, err error) {
	marks = map[string]Verified{}
	for p, err := range c.List(ctx, "") {
		if err != nil {
			return nil, nil, err
		}
		run, file, _ := strings.Cut(p.Name, "/")
		if _, err := RunTime(run); err != nil {
			continue // not ours
		}
		if len(runs) == 0 || runs[len(runs)-1] != run {
			runs = append(runs, run)
		}
		if file != "verified.json" {
			continue
		}
		mark, err := ReadMark(ctx, c, run)
		if errors.Is(err, storage.ErrNotFound) {
			continue // removed since it was listed
		}
		if err != nil {
			return nil, nil, err
		}
		marks[run] = mark
	}
	return runs, marks, nil
}

// Remove deletes everything of a run. Its mark, which says that this is going on, goes last.
func Remove(ctx context.Context, c *storage.Container, run string) error {
	mark, err := ReadMark(ctx, c, run)
	switch {
	case errors.Is(err, storage.ErrNotFound): // it never counted
	case err != nil:
		return err
	case !mark.Expired:
		mark.Expired = true
		if err := Mark(ctx, c, mark); err != nil {
			return err
		}
	}
	for p, err := range c.List(ctx, run+"/") {
		if err != nil {
			return err
		}
		if p.Name == verifiedName(run) {
			continue
		}
		if err := c.Delete(ctx, p.Name, storage.Cond{}); err != nil {
			return err
		}
	}
	return c.Delete(ctx, verifiedName(run), storage.Cond{})
}
