package simwinrm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Drive is the file system of the server: each folder in its root is a drive. Names are those of Windows, such as
// C:\Backup\a.xml, and found without regard to case. It may be used by several processes at once.
type Drive struct {
	root string

	mu    sync.Mutex
	held  map[string]int // files that another program has open, by lower-case name
	free  int64
	bound bool // free counts
}

// WinError is an error of the file system as Windows numbers and words it.
type WinError struct {
	Code    uint32
	Message string
	Path    string
}

func (e *WinError) Error() string { return e.Message }

// Is has callers ask for fs.ErrNotExist and fs.ErrExist.
func (e *WinError) Is(target error) bool {
	switch target {
	case fs.ErrNotExist:
		return e.Code == errorFileNotFound || e.Code == errorPathNotFound
	case fs.ErrExist:
		return e.Code == errorAlreadyExists
	}
	return false
}

const (
	errorFileNotFound  = 2
	errorPathNotFound  = 3
	errorAccessDenied  = 5
	errorSharing       = 32
	errorDiskFull      = 112
	errorInvalidName   = 123
	errorDirNotEmpty   = 145
	errorAlreadyExists = 183
)

func (e *WinError) dotNet() string {
	switch e.Code {
	case errorFileNotFound:
		return "System.IO.FileNotFoundException"
	case errorPathNotFound:
		return "System.IO.DirectoryNotFoundException"
	case errorAccessDenied:
		return "System.UnauthorizedAccessException"
	case errorInvalidName:
		return "System.ArgumentException"
	}
	return "System.IO.IOException"
}

func winError(code uint32, path string) *WinError {
	texts := map[uint32]string{
		errorFileNotFound:  "Could not find file '%s'.",
		errorPathNotFound:  "Could not find a part of the path '%s'.",
		errorAccessDenied:  "Access to the path '%s' is denied.",
		errorSharing:       "The process cannot access the file '%s' because it is being used by another process.",
		errorDiskFull:      "There is not enough space on the disk. ('%s')",
		errorInvalidName:   "The given path's format is not supported: '%s'.",
		errorDirNotEmpty:   "The directory is not empty: '%s'.",
		errorAlreadyExists: "Cannot create a file when that file already exists: '%s'.",
	}
	return &WinError{Code: code, Path: path, Message: fmt.Sprintf(texts[code], path)}
}

func newDrive(root string) (*Drive, error) {
	if err := os.MkdirAll(filepath.Join(root, "C"), 0o755); err != nil {
		return nil, err
	}
	return &Drive{root: root, held: map[string]int{}}, nil
}

// Local is where a Windows path lies on this machine. What exists of it is found without regard to case; the rest is new.
func (d *Drive) Local(path string) (string, error) {
	parts, err := split(path)
	if err != nil {
		return "", err
	}
	local := d.root
	for i, part := range parts {
		found, err := entry(local, part)
		if err != nil {
			return "", winError(errorPathNotFound, path)
		}
		if found == "" && i == 0 {
			return "", winError(errorPathNotFound, path)
		}
		if found == "" {
			return filepath.Join(append([]string{local}, parts[i:]...)...), nil
		}
		local = filepath.Join(local, found)
	}
	return local, nil
}

// entry is how a name is written in a folder; empty when it is not there.
func entry(folder, name string) (string, error) {
	if _, err := os.Lstat(filepath.Join(folder, name)); err == nil {
		return name, nil
	}
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if strings.EqualFold(e.Name(), name) {
			return e.Name(), nil
		}
	}
	return "", nil
}

// split takes a Windows path apart: the drive letter, then the folders. It resolves . and .. and refuses what Windows does.
func split(path string) ([]string, error) {
	if len(path) < 2 || path[1] != ':' || !isLetter(path[0]) || len(path) > 2 && path[2] != '\\' && path[2] != '/' {
		return nil, winError(errorInvalidName, path)
	}
	parts := []string{strings.ToUpper(path[:1])}
	for _, part := range strings.FieldsFunc(path[2:], func(r rune) bool { return r == '\\' || r == '/' }) {
		switch {
		case part == ".":
			continue
		case part == "..":
			parts = parts[:max(len(parts)-1, 1)]
			continue
		case strings.ContainsAny(part, `<>:"|?*`) || strings.ContainsFunc(part, func(r rune) bool { return r < ' ' }) || isDevice(part):
			return nil, winError(errorInvalidName, path)
		}
		// Windows drops dots and spaces at the end of a name.
		if part = strings.TrimRight(part, ". "); part == "" {
			return nil, winError(errorInvalidName, path)
		}
		parts = append(parts, part)
	}
	return parts, nil
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// isDevice tells names that are devices, with any extension.
func isDevice(name string) bool {
	stem, _, _ := strings.Cut(strings.ToUpper(name), ".")
	stem = strings.TrimRight(stem, " ")
	switch stem {
	case "CON", "PRN", "AUX", "NUL":
		return true
	}
	return len(stem) == 4 && (stem[:3] == "COM" || stem[:3] == "LPT") && stem[3] >= '1' && stem[3] <= '9'
}

// Hold has another program keep a file open: it can be neither written, renamed nor removed before release.
func (d *Drive) Hold(path string) (release func()) {
	name := key(path)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held[name]++
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.held[name]--
	})
}

func key(path string) string {
	parts, err := split(path)
	if err != nil {
		return path
	}
	return strings.ToLower(strings.Join(parts, `\`))
}

func (d *Drive) isHeld(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.held[key(path)] > 0
}

// SetFree bounds the bytes that can still be written; what is removed afterwards is not given back. A negative number
// lifts the bound.
func (d *Drive) SetFree(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free, d.bound = bytes, bytes >= 0
}

// unbounded is the free space of a drive without a bound: 1 TiB.
const unbounded = 1 << 40

// Free is the free space in bytes.
func (d *Drive) Free() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.bound {
		return unbounded
	}
	return d.free
}

// spend takes n bytes from the free space, or as many as there are.
func (d *Drive) spend(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.bound {
		return n
	}
	n = int(min(int64(n), d.free))
	d.free -= int64(n)
	return n
}

// File is an open file of a Drive, for writing.
type File struct {
	file  *os.File
	drive *Drive
	path  string
}

// Write fails with what fits written when the disk is full.
func (f *File) Write(data []byte) (int, error) {
	fits := f.drive.spend(len(data))
	n, err := f.file.Write(data[:fits])
	if err == nil && fits < len(data) {
		err = winError(errorDiskFull, f.path)
	}
	return n, err
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// Create opens a file for writing and empties it. Its folder must exist.
func (d *Drive) Create(path string) (*File, error) {
	return d.open(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
}

// Append opens a file for writing at its end.
func (d *Drive) Append(path string) (*File, error) {
	return d.open(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND)
}

func (d *Drive) open(path string, flags int) (*File, error) {
	local, err := d.writable(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(local, flags, 0o644)
	if err != nil {
		return nil, translate(err, path)
	}
	return &File{f, d, path}, nil
}

func (d *Drive) writable(path string) (local string, err error) {
	if local, err = d.Local(path); err != nil {
		return "", err
	}
	if d.isHeld(path) {
		return "", winError(errorSharing, path)
	}
	return local, nil
}

// ReadFile reads a whole file.
func (d *Drive) ReadFile(path string) ([]byte, error) {
	local, err := d.Local(path)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(local)
	return data, translate(err, path)
}

// WriteFile creates a file with its folders.
func (d *Drive) WriteFile(path string, data []byte) error {
	if err := d.MkdirAll(path[:max(strings.LastIndexAny(path, `\/`), 0)]); err != nil {
		return err
	}
	f, err := d.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// MkdirAll makes a folder and those above it.
func (d *Drive) MkdirAll(path string) error {
	local, err := d.Local(path)
	if err != nil {
		return err
	}
	return translate(os.MkdirAll(local, 0o755), path)
}

// Stat describes a file or folder.
func (d *Drive) Stat(path string) (fs.FileInfo, error) {
	local, err := d.Local(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(local)
	return info, translate(err, path)
}

// ReadDir lists a folder, sorted by name.
func (d *Drive) ReadDir(path string) ([]fs.DirEntry, error) {
	local, err := d.Local(path)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(local)
	return entries, translate(err, path)
}

// Rename moves a file or folder; a target that exists is an error, as for File.Move, unless replace is set.
func (d *Drive) Rename(from, to string, replace bool) error {
	source, err := d.writable(from)
	if err != nil {
		return err
	}
	target, err := d.writable(to)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(target); err == nil && !replace && !strings.EqualFold(source, target) {
		return winError(errorAlreadyExists, to)
	}
	return translate(os.Rename(source, target), from)
}

// Remove deletes a file or an empty folder.
func (d *Drive) Remove(path string) error {
	local, err := d.writable(path)
	if err != nil {
		return err
	}
	return translate(os.Remove(local), path)
}

// RemoveAll deletes a folder with what is in it; a file in it that is held stops it.
func (d *Drive) RemoveAll(path string) error {
	local, err := d.writable(path)
	if err != nil {
		return err
	}
	d.mu.Lock()
	inside := key(path) + `\`
	for name, count := range d.held {
		if count > 0 && strings.HasPrefix(name, inside) {
			d.mu.Unlock()
			return winError(errorSharing, path)
		}
	}
	d.mu.Unlock()
	return translate(os.RemoveAll(local), path)
}

// translate words an error of this machine as Windows would.
func translate(err error, path string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return winError(errorFileNotFound, path)
	case errors.Is(err, fs.ErrExist):
		return winError(errorDirNotEmpty, path)
	case errors.Is(err, fs.ErrPermission):
		return winError(errorAccessDenied, path)
	}
	return fmt.Errorf("%s: %w", path, errors.Unwrap(err))
}
