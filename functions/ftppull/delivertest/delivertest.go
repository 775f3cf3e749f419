// Package delivertest has a simulated Windows server do what the scripts of ftpdeliver do, where there is no PowerShell to run them.
package delivertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpdeliver"
	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
)

// The texts that the emulations were written for. Read a script that has changed before changing its hash.
const (
	deliverHash = "983f863fe41a6bf9c5c39638462068ff71684f8b37d7e550f05583f4b19b9cd7"
	putHash     = "c3bd52ae44b8fae540aa49ba30b9ca1da4aa2786cee1f17176836127e422da97"
	publishHash = "e658d825dcb5cca92feb6ac15577423f0711a9755387495b90edebf1eb9b5334"
	reachHash   = "135f8e4b89c258a18df3c43331363fce70c104cf2d96ccbb9612631225b10d2e"
)

// Emulate registers the scripts.
func Emulate(s *simwinrm.Server) {
	opened := &opened{paths: map[string]bool{}}
	s.Emulate("deliver.ps1", deliverHash, script(opened, deliver))
	s.Emulate("put.ps1", putHash, script(opened, put))
	s.Emulate("publish.ps1", publishHash, script(opened, publish))
	s.Emulate("reach.ps1", reachHash, script(opened, reach))
}

// script wraps an emulation in what the scripts have around them: an error of the file system gets its id.
func script[P any](opened *opened, run func(context.Context, *server, P) (any, error)) func(context.Context, *simwinrm.Call) error {
	return func(ctx context.Context, c *simwinrm.Call) error {
		var params P
		if err := c.Decode(&params); err != nil {
			return err
		}
		result, err := run(ctx, &server{c, opened}, params)
		if err != nil {
			if id := troubleID(err); id != "" {
				return stop(id, "%s", err)
			}
			return err
		}
		return c.Result(result)
	}
}

func stop(id, format string, args ...any) error {
	return &simwinrm.ScriptError{ID: id, Type: "System.InvalidOperationException", Message: fmt.Sprintf(format, args...)}
}

func troubleID(err error) string {
	var windows *simwinrm.WinError
	if !errors.As(err, &windows) {
		return ""
	}
	switch windows.Code {
	case 32, 33:
		return "sharing-violation"
	case 39, 112:
		return "disk-full"
	}
	return ""
}

// server is what a script sees of its server.
type server struct {
	*simwinrm.Call
	opened *opened
}

// opened are the files that scripts have open with FileShare.None.
type opened struct {
	mu    sync.Mutex
	paths map[string]bool
}

// open has a file to itself until release. Another script that wants it fails as on Windows.
func (o *opened) open(path string) (release func(), err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	path = strings.ToLower(path)
	if o.paths[path] {
		return nil, &simwinrm.WinError{Code: 32, Path: path,
			Message: "The process cannot access the file '" + path + "' because it is being used by another process."}
	}
	o.paths[path] = true
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.paths, path)
	}, nil
}

const part = ".part"

func (s *server) length(path string) int64 {
	info, err := s.Drive.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

func (s *server) exists(path string) bool {
	info, err := s.Drive.Stat(path)
	return err == nil && !info.IsDir()
}

func (s *server) hash(path string) (string, error) {
	data, err := s.Drive.ReadFile(path)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), err
}

func (s *server) holds(path string, size int64, sum string) (bool, error) {
	if s.length(path) != size {
		return false, nil
	}
	got, err := s.hash(path)
	return got == sum, err
}

func parent(path string) string { return path[:max(strings.LastIndexByte(path, '\\'), 0)] }

// room makes sure that the folder's drive exists and has the space.
func (s *server) room(folder string, need int64) error {
	if _, err := s.Drive.Stat(folder[:min(3, len(folder))]); err != nil {
		return stop("no-drive", "there is no drive for %s", folder)
	}
	if free := s.Drive.Free(); free < need {
		return stop("disk-full", "the drive of %s has %d bytes free, the files need %d", folder, free, need)
	}
	return nil
}

func deliver(ctx context.Context, s *server, p ftpdeliver.DeliverParams) (any, error) {
	clock := time.Now()
	up := func() bool { return time.Since(clock) >= time.Duration(p.Seconds)*time.Second }
	var need int64
	for _, f := range p.Files {
		if !s.exists(f.Path) {
			need += max(0, f.Size-s.length(f.Path+part))
		}
	}
	if err := s.room(p.Folder, need); err != nil {
		return nil, err
	}
	outcomes := []map[string]any{}
	for i, f := range p.Files {
		outcome := "later"
		if i == 0 || !up() {
			var err error
			if outcome, err = s.install(ctx, f); err != nil {
				return nil, err
			}
		}
		outcomes = append(outcomes, map[string]any{"path": f.Path, "outcome": outcome})
		if err := s.Progress("deliver", f.Path, int64(i+1), int64(len(p.Files))); err != nil {
			return nil, err
		}
	}
	return map[string]any{"files": outcomes}, nil
}

func (s *server) install(ctx context.Context, f ftpdeliver.Fetch) (string, error) {
	release, err := s.opened.open(f.Path + part)
	if err != nil {
		return "", err
	}
	defer release()
	if s.exists(f.Path) {
		same, err := s.holds(f.Path, f.Size, f.SHA256)
		if same {
			return "there", err
		}
		return "different", err
	}
	if err := s.Drive.MkdirAll(parent(f.Path)); err != nil {
		return "", err
	}
	for begun := s.length(f.Path+part) > 0; ; begun = false {
		if err := s.receive(ctx, f); err != nil {
			return "", err
		}
		same, err := s.holds(f.Path+part, f.Size, f.SHA256)
		if err != nil {
			return "", err
		}
		if same {
			return "placed", s.Drive.Rename(f.Path+part, f.Path, false)
		}
		if err := s.Drive.Remove(f.Path + part); err != nil {
			return "", err
		}
		if !begun {
			return "", stop("wrong-content", "what storage sent for %s has not the size and SHA-256 of the manifest", f.Path)
		}
	}
}

// receive fills the .part. The pauses between its tries are left out.
func (s *server) receive(ctx context.Context, f ftpdeliver.Fetch) error {
	for try := 1; ; try++ {
		file, err := s.Drive.Append(f.Path + part)
		if err != nil {
			return err
		}
		status, said, err := s.get(ctx, f, file)
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
		switch {
		case err != nil:
			return err
		case status == http.StatusOK:
			return nil
		case status == http.StatusForbidden, status == http.StatusUnauthorized:
			return stop("sas-refused", "storage refused the link to %s: %d %s", f.Path, status, said)
		case status == http.StatusNotFound:
			return stop("blob-missing", "the blob for %s is gone: %d %s", f.Path, status, said)
		case status != 0 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests && status < 500:
			return stop("storage-refused", "storage answered for %s: %d %s", f.Path, status, said)
		case try >= 3:
			return stop("storage-unreachable", "no success for %s after %d tries: %d %s", f.Path, try, status, said)
		}
	}
}

// get fetches what is still missing. Status 0 means that there was no answer, or that it broke off.
func (s *server) get(ctx context.Context, f ftpdeliver.Fetch, file io.Writer) (status int, said string, err error) {
	have := s.length(f.Path + part)
	if have > f.Size {
		if err := s.Drive.WriteFile(f.Path+part, nil); err != nil {
			return 0, "", err
		}
		have = 0
	}
	if have == f.Size {
		return http.StatusOK, "", nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.Link, nil)
	if err != nil {
		return 0, "", errors.New("the link is no address")
	}
	request.Header.Set("x-ms-version", "2021-12-02")
	if have > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	response, err := s.HTTP.Do(request)
	if err != nil {
		return 0, "Unable to connect to the remote server", nil
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return response.StatusCode, response.Header.Get("x-ms-error-code"), nil
	}
	n, err := io.Copy(file, response.Body)
	var windows *simwinrm.WinError
	switch {
	case errors.As(err, &windows):
		return 0, "", err
	case err != nil || have+n < f.Size:
		return 0, "the answer ended early", nil
	}
	return http.StatusOK, "", nil
}

func put(_ context.Context, s *server, p ftpdeliver.PutParams) (any, error) {
	if err := s.room(p.Folder, p.Need); err != nil {
		return nil, err
	}
	answers := []map[string]any{}
	for _, piece := range p.Pieces {
		outcome, have, err := s.add(piece)
		if err != nil {
			return nil, err
		}
		answers = append(answers, map[string]any{"outcome": outcome, "have": have})
	}
	return map[string]any{"pieces": answers}, nil
}

func (s *server) add(p ftpdeliver.Piece) (outcome string, have int64, err error) {
	release, err := s.opened.open(p.Path + part)
	if err != nil {
		return "", 0, err
	}
	defer release()
	exists := s.exists(p.Path)
	if exists {
		same, err := s.holds(p.Path, p.Size, p.SHA256)
		if err != nil || same {
			return "there", p.Size, err
		}
		if !p.Replace {
			return "different", 0, nil
		}
	}
	if len(p.Data) == 0 && p.Size > 0 {
		return "part", s.length(p.Path + part), nil
	}
	if err := s.Drive.MkdirAll(parent(p.Path)); err != nil {
		return "", 0, err
	}
	if have, err = s.write(p); err != nil || have < p.Size {
		return "part", have, err
	}
	same, err := s.holds(p.Path+part, p.Size, p.SHA256)
	if err != nil {
		return "", 0, err
	}
	if !same {
		return "part", 0, s.Drive.Remove(p.Path + part)
	}
	return "placed", p.Size, s.Drive.Rename(p.Path+part, p.Path, exists)
}

// write appends where the piece follows what is there; the drive has no other way of writing, so that a piece which overlaps is
// written with what stood before it.
func (s *server) write(p ftpdeliver.Piece) (int64, error) {
	have := s.length(p.Path + part)
	if have > p.Size {
		have = 0
	}
	if p.Offset > have {
		return have, nil
	}
	open, data := s.Drive.Append, p.Data
	if p.Offset < have || have == 0 {
		before, err := s.Drive.ReadFile(p.Path + part)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		whole := bytes.Clone(before[:min(have, int64(len(before)))])
		whole = append(whole[:p.Offset], append(bytes.Clone(p.Data), whole[min(int64(len(whole)), p.Offset+int64(len(p.Data))):]...)...)
		open, data = s.Drive.Create, whole
	}
	file, err := open(p.Path + part)
	if err != nil {
		return 0, err
	}
	_, err = file.Write(data)
	return s.length(p.Path + part), errors.Join(err, file.Close())
}

// publish tries once what the script tries for some seconds.
func publish(_ context.Context, s *server, p ftpdeliver.PublishParams) (any, error) {
	release, err := s.opened.open(p.Target + part)
	if err != nil {
		return nil, err
	}
	defer release()
	if _, err := s.Drive.Stat(parent(p.Target)); err != nil {
		return nil, stop("no-folder", "the folder of %s does not exist: correct FTPPublish, or create it", p.Target)
	}
	if s.exists(p.Target) {
		if got, err := s.hash(p.Target); err != nil || got == p.Sha256 {
			return map[string]any{"outcome": "there"}, err
		}
	}
	data, err := s.Drive.ReadFile(p.Source)
	if err != nil {
		return nil, err
	}
	if s.Drive.Free() < int64(len(data)) {
		return nil, stop("disk-full", "the drive of %s has no room for %s", p.Target, p.Source)
	}
	if err := s.Drive.WriteFile(p.Target+part, data); err != nil {
		return nil, err
	}
	if got, err := s.hash(p.Target + part); err != nil || got != p.Sha256 {
		return nil, errors.Join(err, s.Drive.Remove(p.Target+part), stop("wrong-content", "%s is no longer what was delivered", p.Source))
	}
	if err := s.Drive.Rename(p.Target+part, p.Target, true); err != nil {
		if id := troubleID(err); id != "" {
			return nil, stop(id, "publish %s: %s", p.Target, err)
		}
		return nil, err
	}
	return map[string]any{"outcome": "published"}, nil
}

func reach(ctx context.Context, s *server, p ftpdeliver.ReachParams) (any, error) {
	found := ftpdeliver.Reached{Computer: "MIM01", User: s.User, PowerShell: "5.1 (emulated)"}
	if _, err := s.Drive.Stat(p.Folder[:min(3, len(p.Folder))]); err != nil {
		found.FolderError = "there is no drive for " + p.Folder
	} else {
		found.FreeBytes = s.Drive.Free()
	}
	if p.Link != "" {
		found.EgressError = s.tryLink(ctx, p.Link)
	}
	return found, nil
}

func (s *server) tryLink(ctx context.Context, link string) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return "the link is no address"
	}
	response, err := s.HTTP.Do(request)
	if err != nil {
		return "Unable to connect to the remote server"
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return "The remote server returned an error: (" + response.Status + ")"
	}
	return ""
}
