package mim

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"slices"
	"strings"
)

// Limits bound what Verify reads, whatever an archive and a manifest claim.
type Limits struct {
	Files int   // entries of the archive
	Bytes int64 // of all files, unpacked
}

// DefaultLimits are far above what MIM installations have.
var DefaultLimits = Limits{Files: 50_000, Bytes: 8 << 30}

// Problem is one reason why a backup does not count.
type Problem struct {
	File string `json:"file,omitempty"` // in the archive; empty when it is about the whole
	What string `json:"what"`
}

func (p Problem) String() string {
	if p.File == "" {
		return p.What
	}
	return p.File + ": " + p.What
}

// Verify reads a backup back and compares it with its manifest: nothing missing, nothing extra, sizes and hashes equal, every XML
// well-formed and of the kind that its place asks for, no name that would leave the folder it is unpacked in, no more unpacked
// than announced. It returns every problem; a backup without one can be trusted. An error means that the archive could not be
// read, which says nothing about it: try again.
func Verify(ctx context.Context, archive io.ReaderAt, size int64, m Manifest, limits Limits) ([]Problem, error) {
	source := &watchedReader{ctx: ctx, r: archive}
	v := &verification{manifest: m, wanted: map[string]ManifestFile{}, seen: map[string]bool{}, broken: map[string]bool{}}
	z, err := zip.NewReader(source, size)
	if source.err != nil {
		return nil, fmt.Errorf("verify backup: %w", source.err)
	}
	if err != nil {
		return []Problem{{What: fmt.Sprintf("the archive cannot be opened: %v", err)}}, nil
	}
	if !v.plan(len(z.File), limits) {
		return v.problems, nil
	}
	for _, entry := range z.File {
		v.entry(entry)
		if source.err != nil {
			return nil, fmt.Errorf("verify backup: %w", source.err)
		}
	}
	v.finish()
	return v.problems, nil
}

// watchedReader remembers a failure of the source, which must not be mistaken for a broken archive.
type watchedReader struct {
	ctx context.Context
	r   io.ReaderAt
	err error
}

func (w *watchedReader) ReadAt(p []byte, off int64) (int, error) {
	if err := w.ctx.Err(); err != nil {
		w.err = err
		return 0, err
	}
	n, err := w.r.ReadAt(p, off)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

type verification struct {
	manifest Manifest
	wanted   map[string]ManifestFile // by path in lower case
	seen     map[string]bool
	agents   map[string]map[string]File // by part and GUID
	broken   map[string]bool            // parts with a problem
	doc      document
	problems []Problem
}

func (v *verification) problem(file, format string, args ...any) {
	part, _, _ := strings.Cut(file, "/")
	v.broken[part] = true
	v.problems = append(v.problems, Problem{file, fmt.Sprintf(format, args...)})
}

// plan takes in the manifest, and says whether reading the archive is worth while.
func (v *verification) plan(entries int, limits Limits) bool {
	v.agents = map[string]map[string]File{PartAgents: {}, PartServerExport: {}}
	if err := v.manifest.check(); err != nil {
		v.problem(ManifestName, "%v", err)
		return false
	}
	total := int64(0)
	for _, f := range v.manifest.Files() {
		v.wanted[strings.ToLower(f.Path)] = f
		if total += f.Size; total > limits.Bytes || total < 0 {
			v.problem(ManifestName, "the files are larger than the limit of %d bytes", limits.Bytes)
			return false
		}
	}
	if entries > limits.Files {
		v.problem("", "the archive has %d entries, more than the limit of %d", entries, limits.Files)
		return false
	}
	return true
}

// entry checks one file of the archive. .NET up to 4.6 writes backslashes in names.
func (v *verification) entry(entry *zip.File) {
	name := strings.ReplaceAll(entry.Name, `\`, "/")
	if strings.HasSuffix(name, "/") {
		if why := unsafeName(strings.TrimSuffix(name, "/")); why != "" {
			v.problem(name, "%s", why)
		}
		return
	}
	if why := unsafeName(name); why != "" {
		v.problem(name, "%s", why)
		return
	}
	key := strings.ToLower(name)
	if v.seen[key] {
		v.problem(name, "it is in the archive twice (Windows does not tell upper and lower case apart)")
		return
	}
	v.seen[key] = true
	want, known := v.wanted[key]
	switch {
	case !entry.Mode().IsRegular():
		v.problem(name, "it is no regular file")
	case known:
		v.file(entry, name, want)
	case !ours(name):
		v.problem(name, "it is not in the manifest")
	}
}

// file reads a file once: for size and hash, and for its XML.
func (v *verification) file(entry *zip.File, name string, want ManifestFile) {
	if entry.UncompressedSize64 != uint64(want.Size) {
		v.problem(name, "it has %d bytes, the manifest says %d", entry.UncompressedSize64, want.Size)
		return
	}
	r, err := entry.Open()
	if err != nil {
		v.problem(name, "it cannot be unpacked: %v", err)
		return
	}
	defer r.Close()
	t := &tally{r: io.LimitReader(r, want.Size+1), hash: sha256.New()}
	kindProblem := v.content(name, t)
	if _, err := io.Copy(io.Discard, t); err != nil || t.err != nil {
		v.problem(name, "it cannot be unpacked: %v", errors.Join(t.err, err))
		return
	}
	switch got := hex.EncodeToString(t.hash.Sum(nil)); {
	case t.n != want.Size:
		v.problem(name, "it has %d bytes, the manifest says %d", t.n, want.Size)
	case got != strings.ToLower(want.SHA256):
		v.problem(name, "its SHA-256 is %s, the manifest says %s", got, want.SHA256)
	}
	if kindProblem != "" {
		v.problem(name, "%s", kindProblem)
	}
}

// tally counts and hashes what is read through it, and remembers a failure.
type tally struct {
	r    io.Reader
	hash hash.Hash
	n    int64
	err  error
}

func (t *tally) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.n += int64(n)
	t.hash.Write(p[:n])
	if err != nil && err != io.EOF {
		t.err = err
	}
	return n, err
}

// content says what is wrong with what is in a file, by the place where it lies.
func (v *verification) content(name string, r io.Reader) string {
	part, _, _ := strings.Cut(name, "/")
	if part == PartExtensions {
		return ""
	}
	if !strings.EqualFold(path.Ext(name), ".xml") {
		if part == PartServerExport {
			return `it is no XML: "Import Server Configuration" fails when another file is in this folder`
		}
		return ""
	}
	want := KindAgent
	switch {
	case part == PartPortal:
		want = KindPortal
	case part == PartServerExport && strings.EqualFold(path.Base(name), "MV.XML"):
		want = KindMetaverse
	}
	if want == KindPortal {
		return v.portal(r)
	}
	if err := v.doc.readDocument(r); err != nil {
		return fmt.Sprintf("it is not well-formed XML: %v", err)
	}
	if got := rootKinds[v.doc.root().name()]; got != want {
		return fmt.Sprintf("its root element is <%s>: expected the export of a %s", v.doc.root().name(), want)
	}
	if want == KindAgent {
		return v.agent(part, name)
	}
	return ""
}

// portal checks an export of the portal. Export-FIMConfig writes an empty list, and no error, when it may not read anything.
func (v *verification) portal(r io.Reader) string {
	objects := 0
	root, err := v.doc.readRecords(r, func() error { objects++; return nil })
	switch {
	case root != "" && rootKinds[root] != KindPortal:
		return fmt.Sprintf("its root element is <%s>: expected an export of the %s", root, KindPortal)
	case err != nil:
		return fmt.Sprintf("it is not well-formed XML: %v", err)
	case objects == 0:
		return "it holds no objects: may the account read the portal?"
	}
	return ""
}

// agent checks that an export says whose it is.
func (v *verification) agent(part, name string) string {
	data, ok := v.doc.root().child("ma-data")
	if !ok || data.textOf("id") == "" || data.textOf("name") == "" {
		return "it does not say which management agent it is an export of"
	}
	f := File{Path: name, ID: data.textOf("id"), Name: data.textOf("name")}
	if other, twice := v.agents[part][guid(f.ID)]; twice {
		return fmt.Sprintf("it is the export of management agent %q, as is %s", f.Name, other.Path)
	}
	v.agents[part][guid(f.ID)] = f
	if named := strings.TrimSuffix(strings.ToLower(path.Base(name)), ".xml"); part == PartServerExport && named != "ma-{"+guid(f.ID)+"}" {
		return fmt.Sprintf("it is the export of management agent %s: the names do not fit", f.ID)
	}
	return ""
}

// finish looks for what is missing.
func (v *verification) finish() {
	for _, f := range v.manifest.Files() {
		if !v.seen[strings.ToLower(f.Path)] {
			v.problem(f.Path, "it is in the manifest, but not in the archive")
		}
	}
	if part, _ := v.manifest.Part(PartServerExport); part.Outcome == OutcomeOK && !v.seen["serverexport/mv.xml"] {
		v.problem(PartServerExport+"/MV.XML", "the metaverse is missing from the server's export")
	}
	if !v.broken[PartAgents] && !v.broken[PartServerExport] { // else they differ for a reason that is named already
		v.compareForms(PartAgents, PartServerExport)
		v.compareForms(PartServerExport, PartAgents)
	}
	slices.SortStableFunc(v.problems, func(a, b Problem) int { return strings.Compare(a.File, b.File) })
}

// compareForms checks that every agent of one part is in the other, where both were exported.
func (v *verification) compareForms(have, want string) {
	for _, name := range []string{have, want} {
		if part, _ := v.manifest.Part(name); part.Outcome != OutcomeOK {
			return
		}
	}
	for id, f := range v.agents[have] {
		if _, there := v.agents[want][id]; !there {
			v.problem(f.Path, "management agent %q is not in %s", f.Name, want)
		}
	}
}
