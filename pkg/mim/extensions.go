package mim

import (
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
	n, err := io.Copy(h, r)
	if err != nil {
		return "", fileError("read", f.Path, err)
	}
	return fmt.Sprintf("%d bytes, SHA-256 %s", n, hex.EncodeToString(h.Sum(nil))), nil
}
