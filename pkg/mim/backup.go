package mim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Names of what lies in a backup's folder.
const (
	ManifestName = "manifest.json"
	RestoreName  = "RESTORE.md"
	DriftName    = "drift.html"
)

// Kind is what a file of a backup is, by what is in it.
type Kind string

// The kinds of files.
const (
	KindAgent     Kind = "management agent"
	KindMetaverse Kind = "metaverse"
	KindPortal    Kind = "portal"
	KindExtension Kind = "extension"
	KindOther     Kind = "other"
)

// rootKinds are the root elements that MIM writes.
var rootKinds = map[string]Kind{
	"saved-ma-configuration": KindAgent,
	"saved-mv-configuration": KindMetaverse,
	"Results":                KindPortal,
}

// File is one file of a backup.
type File struct {
	Path string // in the backup, with slashes
	Kind Kind
	Root string // the XML root element, empty when it is no XML
	Size int64
	// Of a management agent only.
	ID, Name, Category string
	// ServerForm is the form without import attribute flows, which only "Import Server Configuration" reads.
	ServerForm bool
}

// Backup is what lies in a backup, and who wrote it. The files are read again when backups are compared.
type Backup struct {
	Files    []File // by path
	Server   string // as the exports name it, empty when there is no export of the synchronization service
	Exported string // as the exports say, in the server's time
	fsys     fs.FS
}

// Agents are the management agents, each once, by name. The server's export stands before that of the agent alone.
func (b *Backup) Agents() []File {
	byID := map[string]File{}
	for _, f := range b.Files {
		if other, seen := byID[f.ID]; f.Kind == KindAgent && (!seen || f.ServerForm && !other.ServerForm) {
			byID[f.ID] = f
		}
	}
	agents := make([]File, 0, len(byID))
	for _, f := range byID {
		agents = append(agents, f)
	}
	slices.SortFunc(agents, func(a, b File) int {
		return strings.Compare(strings.ToLower(a.Name)+a.ID, strings.ToLower(b.Name)+b.ID)
	})
	return agents
}

// ReadBackup finds out what is in a folder or a zip: a *zip.Reader is an fs.FS. Files are told by what is in them, so the layout
// does not matter, except that a folder named MAExtensions or Extensions holds extensions. Every problem is in the error.
func ReadBackup(fsys fs.FS) (*Backup, error) {
	b := &Backup{fsys: fsys}
	var problems []error
	sniff := &document{}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || ours(name) {
			return err
		}
		if !entry.Type().IsRegular() {
			problems = append(problems, fileError("read", name, errors.New("it is no regular file")))
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		f, err := b.identify(sniff, name)
		if err != nil {
			problems = append(problems, fileError("read", name, err))
		}
		f.Size = info.Size()
		b.Files = append(b.Files, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read backup: %w", err)
	}
	if len(b.Files) == 0 && len(problems) == 0 {
		problems = append(problems, errors.New("read backup: there is nothing in it"))
	}
	b.markServerForm()
	return b, errors.Join(problems...)
}

// ours are the files that Nightshift adds to what the server exported.
func ours(name string) bool {
	return strings.EqualFold(name, ManifestName) || strings.EqualFold(name, RestoreName) || strings.EqualFold(name, DriftName)
}

// markServerForm tells the two forms of an agent's export apart: the server's lies beside the metaverse.
func (b *Backup) markServerForm() {
	folders := map[string]bool{}
	for _, f := range b.Files {
		if f.Kind == KindMetaverse {
			folders[path.Dir(f.Path)] = true
		}
	}
	for i, f := range b.Files {
		b.Files[i].ServerForm = f.Kind == KindAgent && folders[path.Dir(f.Path)]
	}
}

func (b *Backup) identify(d *document, name string) (File, error) {
	f := File{Path: name, Kind: KindOther}
	if extensionPath(name) != "" {
		f.Kind = KindExtension
		return f, nil
	}
	if !strings.EqualFold(path.Ext(name), ".xml") {
		return f, nil
	}
	r, err := b.fsys.Open(name)
	if err != nil {
		return f, err
	}
	defer r.Close()
	h, err := d.readHead(r)
	if err != nil {
		return f, err
	}
	f.Root = h.root
	if kind, ok := rootKinds[h.root]; ok {
		f.Kind = kind
	}
	if f.Kind == KindAgent {
		f.ID, f.Name, f.Category = h.id, h.name, h.category
		if f.ID == "" {
			return f, errors.New("it is the export of a management agent, but has no id")
		}
	}
	if h.server != "" && b.Server == "" {
		b.Server, b.Exported = h.server, h.exported
	}
	return f, nil
}

// extensionPath is the path of a file below the folder of extensions, empty when it is not in one.
func extensionPath(name string) string {
	folders := strings.Split(name, "/")
	for i, folder := range folders[:len(folders)-1] {
		if strings.EqualFold(folder, "MAExtensions") || strings.EqualFold(folder, "Extensions") {
			return strings.Join(folders[i+1:], "/")
		}
	}
	return ""
}

// head is what the start of an export says.
type head struct{ root, server, exported, id, name, category string }

// readHead reads as little of an export as tells what it is.
func (d *document) readHead(r io.Reader) (head, error) {
	if err := d.begin(r); err != nil {
		return head{}, err
	}
	t, err := d.prologue()
	if err != nil {
		return head{}, err
	}
	h := head{root: string(d.scan.bytes(t.name))}
	for _, a := range t.attrs {
		switch value := d.attributeValue(a); string(d.scan.bytes(a.name)) {
		case "server":
			h.server = value
		case "export-date":
			h.exported = value
		}
	}
	if rootKinds[h.root] != KindAgent {
		return h, nil
	}
	err = d.readAgentHead(&h)
	return h, err
}

// readAgentHead reads on until it knows the agent: those elements stand before the schema in what MIM writes, but need not.
func (d *document) readAgentHead(h *head) error {
	fields := map[string]*string{"id": &h.id, "name": &h.name, "category": &h.category}
	var field *string
	for depth, known := 0, 0; depth >= 0 && known < len(fields); {
		t, err := d.scan.next()
		if err != nil {
			return d.scan.cut(err, "the management agent")
		}
		switch t.kind {
		case startTag:
			depth++
			if depth == 2 {
				field = fields[string(d.scan.bytes(t.name))]
			}
		case endTag:
			depth--
		default:
			if field != nil {
				*field += strings.TrimSpace(string(decodeText(nil, d.scan.bytes(t.body))))
			}
		}
		if t.empty {
			depth--
		}
		if field != nil && depth == 1 {
			field = nil
			known++
		}
	}
	return nil
}
