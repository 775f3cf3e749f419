package mim

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

// ManifestVersion is the version of the manifest that this package reads.
const ManifestVersion = 1

// maxManifest is far more than the manifest of an installation with thousands of files.
const maxManifest = 32 << 20

// The parts of a backup, in the order in which a server is restored from them.
const (
	PartExtensions   = "MAExtensions"
	PartServerExport = "ServerExport"
	PartAgents       = "MAExports"
	PartPortal       = "PortalExport"
)

// Outcome is how the export of a part ended.
type Outcome string

// The outcomes.
const (
	OutcomeOK      Outcome = "ok"
	OutcomeSkipped Outcome = "skipped" // there is nothing to export: the part is not installed
	OutcomeFailed  Outcome = "failed"
)

// Manifest is what the export script writes beside the folders: what it exported, from where, and how that ended.
type Manifest struct {
	Version  int       `json:"version"`
	RunID    string    `json:"runId"`
	Server   string    `json:"server"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Folder   string    `json:"folder"`          // on the server
	Engine   string    `json:"engine"`          // lithnet or builtin
	Build    string    `json:"build,omitempty"` // of the synchronization service, where the script could read it
	Parts    []Part    `json:"parts"`
}

// Part is one of the folders of a backup.
type Part struct {
	Name    string         `json:"name"`
	Outcome Outcome        `json:"outcome"`
	Reason  string         `json:"reason,omitempty"` // why it was skipped or failed
	Files   []ManifestFile `json:"files"`
}

// ManifestFile is one file of a part.
type ManifestFile struct {
	Path   string `json:"path"`             // in the backup; written with slashes or backslashes, read with slashes
	Size   int64  `json:"size"`             // in bytes
	SHA256 string `json:"sha256"`           // in hexadecimal
	Source string `json:"source,omitempty"` // what it is an export or copy of: the name of a management agent, a path on the server
}

// ParseManifest reads a manifest, also as Windows PowerShell writes files: with byte order mark, as UTF-16. The error lists all
// that is wrong with it.
func ParseManifest(r io.Reader) (Manifest, error) {
	text, err := decode(r)
	if err != nil {
		return Manifest{}, fmt.Errorf("read manifest: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(text, maxManifest+1))
	if err != nil {
		return Manifest{}, fmt.Errorf("read manifest: %w", err)
	}
	if len(b) > maxManifest {
		return Manifest{}, fmt.Errorf("read manifest: it is larger than %d MiB", maxManifest>>20)
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return Manifest{}, fmt.Errorf("read manifest: %w", err)
	}
	for i := range m.Parts {
		for j := range m.Parts[i].Files {
			f := &m.Parts[i].Files[j]
			f.Path, f.SHA256 = strings.ReplaceAll(f.Path, `\`, "/"), strings.ToLower(f.SHA256)
		}
	}
	if err := m.check(); err != nil {
		return Manifest{}, fmt.Errorf("read manifest: %w", err)
	}
	return m, nil
}

// JSON is the manifest as ParseManifest reads it.
func (m Manifest) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	return append(b, '\n'), nil
}

// Files are the files of all parts.
func (m Manifest) Files() []ManifestFile {
	var all []ManifestFile
	for _, p := range m.Parts {
		all = append(all, p.Files...)
	}
	return all
}

// Part is the part of that name; ok is false when the manifest has none.
func (m Manifest) Part(name string) (p Part, ok bool) {
	for _, p := range m.Parts {
		if p.Name == name {
			return p, true
		}
	}
	return Part{}, false
}

// check lists what is wrong with a manifest by itself.
func (m Manifest) check() error {
	if m.Version != ManifestVersion {
		return fmt.Errorf("version is %d, expected %d: was it written by another version of the export script?", m.Version, ManifestVersion)
	}
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if m.RunID == "" {
		problem("runId is missing")
	}
	if m.Server == "" {
		problem("server is missing")
	}
	if m.Started.IsZero() {
		problem("started is missing")
	}
	if m.Finished.Before(m.Started) {
		problem("finished (%s) is before started (%s)", m.Finished.Format(time.RFC3339), m.Started.Format(time.RFC3339))
	}
	if len(m.Parts) == 0 {
		problem("parts is empty")
	}
	parts, files := map[string]bool{}, map[string]bool{}
	for _, p := range m.Parts {
		if parts[p.Name] {
			problem("part %q is there twice", p.Name)
		}
		parts[p.Name] = true
		problems = append(problems, p.check(files)...)
	}
	return errors.Join(problems...)
}

func (p Part) check(seen map[string]bool) []error {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	switch p.Name {
	case PartExtensions, PartServerExport, PartAgents, PartPortal:
	default:
		problem("part %q is unknown: expected %s, %s, %s or %s", p.Name, PartAgents, PartServerExport, PartExtensions, PartPortal)
	}
	switch p.Outcome {
	case OutcomeOK:
		if len(p.Files) == 0 && p.Name != PartExtensions {
			problem("part %q: the outcome is ok, but there are no files", p.Name)
		}
	case OutcomeSkipped, OutcomeFailed:
		if p.Reason == "" {
			problem("part %q: the outcome is %s, but there is no reason", p.Name, p.Outcome)
		}
	default:
		problem("part %q: outcome is %q, expected ok, skipped or failed", p.Name, p.Outcome)
	}
	for _, f := range p.Files {
		for _, what := range f.check(p.Name) {
			problem("part %q: file %q: %s", p.Name, f.Path, what)
		}
		if key := strings.ToLower(f.Path); seen[key] {
			problem("part %q: file %q is there twice (Windows does not tell upper and lower case apart)", p.Name, f.Path)
		} else {
			seen[key] = true
		}
	}
	return problems
}

func (f ManifestFile) check(part string) []string {
	var problems []string
	if why := unsafeName(f.Path); why != "" {
		problems = append(problems, why)
	}
	if folder, _, _ := strings.Cut(f.Path, "/"); folder != part || path.Clean(f.Path) == part {
		problems = append(problems, "it is not in the folder "+part)
	}
	if f.Size < 0 {
		problems = append(problems, fmt.Sprintf("size is %d", f.Size))
	}
	if hash, err := hex.DecodeString(f.SHA256); err != nil || len(hash) != 32 {
		problems = append(problems, fmt.Sprintf("sha256 is %q, expected 64 hexadecimal digits", f.SHA256))
	}
	return problems
}

// unsafeName says why a file must not be created under that name on a Windows machine, or nothing.
func unsafeName(name string) string {
	switch {
	case name == "":
		return "the path is empty"
	case strings.HasPrefix(name, "/"), len(name) > 1 && name[1] == ':':
		return "the path is absolute"
	case strings.ContainsAny(name, "\x00:*?\"<>|"):
		return "the path has characters that Windows does not allow"
	}
	for folder := range strings.SplitSeq(name, "/") {
		switch {
		case folder == "..":
			return "the path leads out of the backup"
		case folder == "" || folder == ".":
			return "the path has an empty or meaningless step"
		case strings.HasSuffix(folder, ".") || strings.HasSuffix(folder, " "):
			return "a name ends with a dot or a space, which Windows drops"
		case deviceName(folder):
			return "a name is that of a Windows device"
		}
	}
	return ""
}

// deviceName reports whether Windows takes a name for a device, with any extension.
func deviceName(name string) bool {
	base, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch base {
	case "CON", "PRN", "AUX", "NUL":
		return true
	}
	return len(base) == 4 && (base[:3] == "COM" || base[:3] == "LPT") && base[3] >= '0' && base[3] <= '9'
}
