package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpscan"
	"github.com/nightshift-hq/nightshift/pkg/cursor"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// ftppull looks at what the app ftppull has done, where an operator would look: in its containers and queues.
type ftppull struct {
	blobs     *storage.Container
	cursor    *cursor.Store[ftpscan.State]
	queue     *storage.Queue
	poison    *storage.Queue
	target    string                   // blob prefix of the dated folders
	manifests map[string]drop.Manifest // by name; a manifest does not change once written
}

func watchFTPPull(account *storage.Account, environ []string) (*ftppull, error) {
	prefix, err := drop.TargetPrefix(lookup(environ, "FTPTargetDirectory"))
	if err != nil {
		return nil, fmt.Errorf("FTPTargetDirectory: %w", err)
	}
	container := lookup(environ, "FTPContainer")
	if container == "" {
		container = "ftppull"
	}
	return &ftppull{
		blobs:  account.Container(container),
		cursor: cursor.Open[ftpscan.State](account.Container("ftppull-state"), "ftpscan", ftpscan.StateVersion),
		queue:  account.Queue("ftpfetch"), poison: account.Queue("ftpfetch-poison"),
		target: prefix, manifests: map[string]drop.Manifest{},
	}, nil
}

// survey is everything there is to see at one time.
type survey struct {
	tally
	stored    map[string]storage.Properties // by blob name
	held      []drop.Entry
	manifests []string
	poisoned  int
	waiting   int  // messages
	finished  bool // every batch that was handed on has its manifest
}

func (f *ftppull) survey(ctx context.Context) (survey, error) {
	s := survey{stored: map[string]storage.Properties{}}
	if err := f.list(ctx, &s); err != nil {
		return s, err
	}
	record, err := f.cursor.Load(ctx)
	if err != nil {
		return s, err
	}
	for _, known := range record.Value.Known {
		s.plannedFiles++
		s.plannedBytes += known.File.Size
	}
	for _, e := range s.held { // they will not be stored until somebody releases them
		s.plannedFiles--
		s.plannedBytes -= e.Size
	}
	s.finished = len(record.Value.Plan) == 0
	for name := range record.Value.Open {
		s.finished = s.finished && f.ended(name)
	}
	if s.poisoned, err = length(ctx, f.poison); err != nil {
		return s, err
	}
	s.waiting, err = length(ctx, f.queue)
	return s, err
}

// list reads what lies below the target directory, manifests included.
func (f *ftppull) list(ctx context.Context, s *survey) error {
	for blob, err := range f.blobs.List(ctx, f.target+"/") {
		if errors.Is(err, storage.ErrNotFound) {
			return nil // nothing has been stored yet
		}
		if err != nil {
			return err
		}
		if strings.Contains(blob.Name, "/_manifests/") {
			if err := f.read(ctx, blob.Name); err != nil {
				return err
			}
			continue
		}
		s.stored[blob.Name] = blob
		s.files++
		s.bytes += blob.Size
	}
	for name, m := range f.manifests {
		s.manifests = append(s.manifests, name)
		for _, e := range m.Files {
			if e.Outcome == drop.Held {
				s.held = append(s.held, e)
			}
		}
	}
	return nil
}

func (f *ftppull) read(ctx context.Context, name string) error {
	if _, known := f.manifests[name]; known {
		return nil
	}
	m, err := drop.ReadManifest(ctx, f.blobs, name)
	if err == nil {
		f.manifests[name] = m
	}
	return err
}

// ended reports whether a batch, and every batch that a file of it travels on in, has its manifest.
func (f *ftppull) ended(manifest string) bool {
	m, ok := f.manifests[manifest]
	return ok && !slices.ContainsFunc(m.Files, func(e drop.Entry) bool { return e.Outcome == drop.HandedOn && !f.ended(e.Next) })
}

// length counts a queue's messages; a queue that nobody needed yet has none.
func length(ctx context.Context, q *storage.Queue) (int, error) {
	n, err := q.Len(ctx)
	if errors.Is(err, storage.ErrNotFound) {
		return 0, nil
	}
	return n, err
}

// compare holds what was stored against what was sown, byte for byte, and says what is not as it should be.
func (f *ftppull) compare(ctx context.Context, all []sown, s survey) ([]string, error) {
	var wrong []string
	arrived := map[string][]string{} // blobs by path below the dated folder
	for name := range s.stored {
		_, path, _ := strings.Cut(strings.TrimPrefix(name, f.target+"/"), "/")
		arrived[path] = append(arrived[path], name)
	}
	for _, file := range all {
		blobs := arrived[file.path]
		delete(arrived, file.path)
		problem, err := f.judge(ctx, file, blobs, s.held)
		if err != nil {
			return nil, err
		}
		if problem != "" {
			wrong = append(wrong, fmt.Sprintf("%s: %s", file.path, problem))
		}
	}
	for path := range arrived {
		wrong = append(wrong, fmt.Sprintf("%s: stored, but nobody sent it", path))
	}
	slices.Sort(wrong)
	return wrong, nil
}

// judge says what is wrong with the fate of one file, if anything.
func (f *ftppull) judge(ctx context.Context, file sown, blobs []string, heldFiles []drop.Entry) (string, error) {
	isHeld := slices.ContainsFunc(heldFiles, func(e drop.Entry) bool { return e.Path == file.path })
	switch {
	case isHeld != (file.fate == held) && isHeld:
		return "held by the guard, although nothing is wrong with it", nil
	case isHeld != (file.fate == held):
		return "not held by the guard, although it is cut off", nil
	case file.fate != arrives && len(blobs) > 0:
		return "stored, although it was not complete", nil
	case file.fate != arrives:
		return "", nil
	case len(blobs) != 1:
		return fmt.Sprintf("stored %d times, want once", len(blobs)), nil
	}
	sum, err := f.hash(ctx, blobs[0])
	if err != nil {
		return "", err
	}
	if sum != file.sha256 {
		return "the stored bytes are not the ones that were sent", nil
	}
	return "", nil
}

func (f *ftppull) hash(ctx context.Context, blob string) (string, error) {
	body, _, err := f.blobs.Open(ctx, blob)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, body)
	if err := errors.Join(err, body.Close()); err != nil {
		return "", fmt.Errorf("read %q: %w", blob, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
