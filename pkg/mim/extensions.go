package mim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"strings"
)

// fileJobs compares, by hash, what is no configuration in XML: extensions, and whatever else lies in a backup.
func (c *comparison) fileJobs() []job {
	var jobs []job
	opaque := func(f *File) bool { return f.Root == "" }
	for _, kind := range []Kind{KindExtension, KindOther} {
		c.eachPair(kind, opaque, func(before, after *File) {
			jobs = append(jobs, func(*[2]document) error { return c.compareFiles(kind, before, after) })
		})
	}
	return jobs
}

func (c *comparison) compareFiles(kind Kind, before, after *File) error {
	change := Change{Severity: Notice, Area: AreaOther, Object: pathOf(before, after)}
	if kind == KindExtension {
		change.Area, change.Object = AreaExtensions, extensionPath(change.Object)
		change.Severity = Warning
		if isProgram(change.Object) {
			change.Severity, change.Note = Danger, "This program decides about the data of management agents."
		}
	}
	was, err := c.fingerprint(0, before)
	if err != nil {
		return err
	}
	is, err := c.fingerprint(1, after)
	if err != nil || was == is {
		return err
	}
	change.Before, change.After = was, is
	switch {
	case before == nil:
		change.Action = Added
		change.Severity = min(change.Severity, Warning)
		change.Note = ""
	case after == nil:
		change.Action = Removed
	default:
		change.Action = Changed
	}
	c.add(change)
	return nil
}

func isProgram(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".dll", ".exe":
		return true
	}
	return false
}

// fingerprint is size and hash of a file, empty without one.
func (c *comparison) fingerprint(side int, f *File) (string, error) {
	if f == nil {
		return "", nil
	}
	r, err := c.sides[side].fsys.Open(f.Path)
	if err != nil {
		return "", err
	}
	defer r.Close()
	h := sha256.New()
	var start bytes.Buffer
	n, err := io.Copy(io.MultiWriter(h, &start), io.LimitReader(r, maxProgram))
	if err != nil {
		return "", fileError("read", f.Path, err)
	}
	rest, err := io.Copy(h, r)
	if err != nil {
		return "", fileError("read", f.Path, err)
	}
	version := ""
	if isProgram(f.Path) {
		version = prefixed("version ", fileVersion(start.Bytes()))
	}
	size := fmt.Sprintf("%d bytes", n+rest)
	return strings.Join(dropEmpty([]string{version, size, "SHA-256 " + hex.EncodeToString(h.Sum(nil))}), ", "), nil
}

// maxProgram is how much of a file is searched for its version. Rules extensions have a few hundred kilobytes.
const maxProgram = 8 << 20

// fileVersion is the version that a program's resources state, empty without one. Windows keeps it as a string in UTF-16 behind
// the key "FileVersion" (VS_VERSIONINFO, String structure).
func fileVersion(program []byte) string {
	var key []byte
	for _, c := range []byte("FileVersion\x00") {
		key = append(key, c, 0)
	}
	_, value, found := bytes.Cut(program, key)
	if !found {
		return ""
	}
	var version []byte
	for i := 0; i+1 < len(value) && len(version) < 64; i += 2 {
		c := value[i]
		switch {
		case c == 0 && value[i+1] == 0:
			if len(version) > 0 {
				return string(version)
			}
		case c < ' ' || c > '~' || value[i+1] != 0:
			return ""
		default:
			version = append(version, c)
		}
	}
	return ""
}
