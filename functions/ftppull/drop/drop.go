// Package drop is the vocabulary that the rooms of ftppull share: a file as it lay on the FTP server, a batch of them as
// it travels in a queue, the manifest that proves what became of a batch, and the names of the blobs involved.
//
// Everything here is a value. A batch and its blobs have names that follow from their content alone, so that a repeat of
// any step finds the work of the first try and does no harm.
package drop

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// File is one file as it lay on the FTP server when it was listed.
type File struct {
	Path     string     `json:"path"`               // below the source directory, separated by "/"
	Size     int64      `json:"size"`               // bytes
	ModTime  time.Time  `json:"modTime,omitzero"`   // UTC
	Precise  bool       `json:"precise,omitempty"`  // ModTime is exact to the second, not a listing's minute or day
	Previous *Delivered `json:"previous,omitempty"` // what was last delivered in this file's series, for the guard
}

// Same reports whether two sightings show the same version of a file. Times that a listing rounds to minutes or days
// cannot be told apart from exact ones, so they count only when both are of one kind.
func (f File) Same(other File) bool {
	if f.Path != other.Path || f.Size != other.Size {
		return false
	}
	return f.Precise != other.Precise || f.ModTime.Equal(other.ModTime)
}

// Delivered is what the guard remembers of the last version that was passed on.
type Delivered struct {
	Blob   string    `json:"blob"`
	Size   int64     `json:"size"`
	Lines  int64     `json:"lines"`
	Text   bool      `json:"text"`
	SHA256 string    `json:"sha256"`
	At     time.Time `json:"at"`
}

// Batch is the message of the ftpfetch queue: files to store together under one dated folder.
type Batch struct {
	Run    string `json:"run"`    // the scan that planned it
	Folder string `json:"folder"` // target directory and dated folder, as a blob prefix without a trailing "/"
	Files  []File `json:"files"`
	Chase  int    `json:"chase,omitempty"` // how often the file of this batch has changed before it could be stored
}

// MessageVersion is the version of Batch on the wire.
func (Batch) MessageVersion() int { return 1 }

// ID names the batch by what it holds. Two batches with the same files for the same folder have the same ID.
func (b Batch) ID() string {
	files := slices.Clone(b.Files)
	slices.SortFunc(files, func(x, y File) int { return cmp.Compare(x.Path, y.Path) })
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n", b.Folder)
	for _, f := range files {
		fmt.Fprintf(sum, "%s\n", f.identity())
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// identity is the file's version as text, the key of everything that must happen once to it.
func (f File) identity() string {
	return fmt.Sprintf("%q %d %s", f.Path, f.Size, f.ModTime.UTC().Format(time.RFC3339))
}

// Key is a short name for this version of the file, stable over retries.
func (f File) Key() string {
	sum := sha256.Sum256([]byte(f.identity()))
	return hex.EncodeToString(sum[:8])
}

// With is the follow-up batch that carries some of b's files on.
func (b Batch) With(files ...File) Batch {
	return Batch{Run: b.Run, Folder: b.Folder, Files: files, Chase: b.Chase}
}

// Bytes is the size of all files together.
func (b Batch) Bytes() int64 {
	var n int64
	for _, f := range b.Files {
		n += f.Size
	}
	return n
}

// BlobName is where the file lies once it is stored and verified.
func (b Batch) BlobName(f File) string { return b.Folder + "/" + f.Path }

// HeldName is where a file that the guard stopped lies apart, until an operator decides.
func (b Batch) HeldName(f File) string { return "_held/" + b.Folder + "/" + f.Path }

// ManifestName is the blob that proves what became of the batch.
func (b Batch) ManifestName() string { return b.Folder + "/" + manifests + "/" + b.ID() + ".json" }

// manifests is the folder, beside the files of a dated folder, that holds the manifests of its batches.
const manifests = "_manifests"

// TargetPrefix turns FTPTargetDirectory, a Windows or a POSIX path, into a blob prefix: `E:\Import\HR` becomes
// `E/Import/HR`.
func TargetPrefix(directory string) (string, error) {
	p := strings.ReplaceAll(directory, `\`, "/")
	if len(p) >= 2 && p[1] == ':' {
		p = p[:1] + p[2:]
	}
	p = strings.Trim(path.Clean("/"+p), "/")
	if p == "" {
		return "", fmt.Errorf("%q names no folder", directory)
	}
	return p, CheckPath(p)
}

// Blob names may have 1,024 characters (Microsoft Learn, "Naming and referencing containers, blobs, and metadata");
// the folder and the "_held/" prefix need their share.
const maxPath = 700

// CheckPath reports why a path cannot become a blob name, or a file on a Windows server, as it is.
func CheckPath(p string) error {
	switch {
	case p == "":
		return fmt.Errorf("an empty name")
	case len([]rune(p)) > maxPath:
		return fmt.Errorf("a name of %d characters; %d are allowed", len([]rune(p)), maxPath)
	case strings.ToValidUTF8(p, "") != p:
		return fmt.Errorf("a name that is not UTF-8: %q", p)
	}
	for _, r := range p {
		if r < ' ' || r == 0x7f || r == '\\' {
			return fmt.Errorf("the character %q in the name %q", r, p)
		}
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." || part == manifests || strings.HasSuffix(part, ".") {
			return fmt.Errorf("the part %q in the name %q", part, p)
		}
	}
	return nil
}
