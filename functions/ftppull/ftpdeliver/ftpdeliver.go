// Package ftpdeliver is the queue room of ftppull that places the stored files of one manifest in the dated folder on the MIM
// server, and, where the settings say so, in the place of the file that a management agent reads.
//
// A file appears under its name in one step, complete, after its length and SHA-256 agree with the manifest; the manifest comes
// last, so that it stands for a complete delivery. Nothing is overwritten: a file with other content under a name is an error that
// names it, and the others are delivered. A repeat of the same message finds what is done and does the rest, a large file included,
// which is gone on with where it was left.
//
// The server fetches the files itself, by links that read one blob each and are valid for an hour. Where it has no way to storage
// they travel over WinRM, a hundred times slower. What is held is in no dated folder and never gets here.
package ftpdeliver

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// Via says how the bytes get to the server.
type Via string

// The ways to the server.
const (
	Link  Via = "link"  // the server fetches them from blob storage
	Stdin Via = "stdin" // they travel over WinRM
)

// UnmarshalText refuses anything else.
func (v *Via) UnmarshalText(text []byte) error {
	switch way := Via(text); way {
	case Link, Stdin:
		*v = way
		return nil
	}
	return fmt.Errorf("%q is not known; wanted link or stdin", text)
}

// Config says where files go and how.
type Config struct {
	Target  string // folder on the server for the dated folders
	Via     Via
	Publish Rules
	Proxy   string // through which the server reaches storage
}

// Handler is the room.
type Handler struct {
	Config Config
	Server Server             // nil while the settings name none; messages wait
	Blobs  *storage.Container // files and manifests
	State  *storage.Container // which version was published last
	Now    func() time.Time

	refusal refusal
}

// Report is what became of a delivery.
type Report struct {
	Manifest  string  `json:"manifest"`
	Folder    string  `json:"folder"` // on the server
	Placed    int     `json:"placed"`
	There     int     `json:"there,omitempty"` // an earlier delivery had placed them
	Bytes     int64   `json:"bytes"`           // of what was placed
	Published int     `json:"published,omitempty"`
	Seconds   float64 `json:"seconds"`
}

// Handle places the files of one manifest.
func (h *Handler) Handle(ctx context.Context, m customhandler.Message[drop.Delivery]) error {
	manifest, err := h.read(ctx, m.Data.Manifest)
	if err != nil {
		return err
	}
	j := &job{Handler: h, manifest: manifest, softEnd: soft(ctx), byHand: m.Manual,
		folder: strings.TrimRight(strings.ReplaceAll(h.Config.Target, "/", `\`), `\`) + `\` + manifest.Dated()}
	refused := j.plan()
	if customhandler.DryRun(ctx) {
		customhandler.Report(ctx, map[string]any{"wouldPlace": j.files, "refused": fmt.Sprint(errors.Join(refused...))})
		return nil
	}
	if h.Server == nil {
		return later(errors.New("MIMSyncServer is not set: there is nowhere to deliver to"), laterDenied)
	}
	if err := h.refusal.fresh(h.Now()); err != nil {
		return outcome(ctx, err)
	}
	started := h.Now()
	err = j.run(ctx, len(refused) == 0)
	h.refusal.note(err, h.Now())
	j.report.Manifest, j.report.Folder, j.report.Seconds = m.Data.Manifest, j.folder, h.Now().Sub(started).Seconds()
	customhandler.Report(ctx, j.report)
	if err != nil {
		return outcome(ctx, err)
	}
	return customhandler.Permanent(errors.Join(refused...))
}

var batchID = regexp.MustCompile(`^[0-9a-f]{16}$`)

// read loads the manifest and makes sure that it is one.
func (h *Handler) read(ctx context.Context, name string) (drop.Manifest, error) {
	manifest, err := drop.ReadManifest(ctx, h.Blobs, name)
	var service *storage.Error
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return manifest, customhandler.Permanent(fmt.Errorf("field manifest: there is no %q in %s: name the blob of a manifest, such as "+
			"E/Import/HR/2026-11-21/_manifests/3f0c9a….json", name, h.Blobs))
	case errors.As(err, &service):
		return manifest, err
	case err != nil:
		return manifest, customhandler.Permanent(fmt.Errorf("manifest %q: %w", name, err))
	case manifest.Name() != name || !batchID.MatchString(manifest.Batch):
		return manifest, customhandler.Permanent(fmt.Errorf("manifest %q: it says that it is %q: it was copied or changed", name, manifest.Name()))
	}
	return manifest, nil
}

// file is one file on its way.
type file struct {
	Path   string `json:"path"` // on the server
	Blob   string `json:"blob"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`

	entry drop.Entry
}

// job is the work on one message.
type job struct {
	*Handler
	manifest drop.Manifest
	folder   string // the dated folder on the server
	files    []file
	softEnd  time.Time
	byHand   bool // an operator ordered it
	report   Report

	there     []file   // are in their place
	different []string // names that are taken by other content
}

// plan finds the place of each stored file. What Windows could not store is refused, by name.
func (j *job) plan() (refused []error) {
	seen := map[string]string{}
	for i, e := range j.manifest.Files {
		if e.Outcome != drop.Stored {
			continue
		}
		place, err := drop.WindowsPath(j.folder, e.Path)
		if err == nil && (e.Blob != j.manifest.Folder+"/"+e.Path || e.Size < 0 || len(e.SHA256) != 64) {
			err = fmt.Errorf("field files[%d] of the manifest: its blob, size or sha256 is not what the manifest's writer makes", i)
		}
		if other, taken := seen[strings.ToLower(place)]; err == nil && taken {
			err = fmt.Errorf("to Windows it is the same file as %q", other)
		}
		if err != nil {
			refused = append(refused, fmt.Errorf("deliver %q: %w: have the sender rename it", e.Path, err))
			continue
		}
		seen[strings.ToLower(place)] = e.Path
		j.files = append(j.files, file{Path: place, Blob: e.Blob, Size: e.Size, SHA256: strings.ToLower(e.SHA256), entry: e})
	}
	return refused
}

// errContinue ends an invocation whose time is up, with all that is done safe.
var errContinue = errors.New("the time of this invocation is up")

// run places the files, then the manifest, and publishes what is to be published.
func (j *job) run(ctx context.Context, complete bool) error {
	place := j.fetch
	if j.Config.Via == Stdin {
		place = j.send
	}
	for _, portion := range portions(j.files) {
		if err := place(ctx, portion); err != nil {
			return err
		}
	}
	if complete && len(j.different) == 0 {
		if err := j.putManifest(ctx); err != nil {
			return err
		}
	}
	if err := j.publish(ctx); err != nil {
		return err
	}
	if len(j.different) > 0 {
		return fmt.Errorf("%s exists on the server with other content: delete or rename it there, then requeue the message", strings.Join(j.different, ", "))
	}
	return nil
}

// inPlace takes note of what became of one file.
func (j *job) inPlace(f file, outcome string) {
	switch outcome {
	case placed:
		j.report.Placed++
		j.report.Bytes += f.Size
	case there:
		j.report.There++
	case different:
		j.different = append(j.different, f.Path)
		return
	}
	j.there = append(j.there, f)
}

// Limits of one run of a script. A file beyond them travels alone.
const (
	portionFiles = 100
	portionBytes = 256 << 20
)

func portions(files []file) [][]file { return cut(files, portionFiles, portionBytes) }

func cut(files []file, count int, bytes int64) (all [][]file) {
	begin, sum := 0, int64(0)
	for i, f := range files {
		if i > begin && (i-begin >= count || sum+f.Size > bytes) {
			all = append(all, files[begin:i])
			begin, sum = i, 0
		}
		sum += f.Size
	}
	if begin < len(files) {
		all = append(all, files[begin:])
	}
	return all
}

// soft is when an invocation should begin nothing new, so that it can end what it began: four fifths of its time.
func soft(ctx context.Context) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Now().Add(24 * time.Hour)
	}
	return deadline.Add(-time.Until(deadline) / 5)
}

// refusal remembers that the server refused the login, so that the other messages do not lock the account.
type refusal struct {
	mu    sync.Mutex
	err   error
	until time.Time
}

func (r *refusal) fresh(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil && now.Before(r.until) {
		return fmt.Errorf("not tried again before %s: %w", r.until.UTC().Format(time.TimeOnly), r.err)
	}
	return nil
}
