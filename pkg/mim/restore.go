package mim

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"text/template"
	"time"
)

//go:embed restore.md.tmpl
var restoreTemplate string

// RestoreGuide is RESTORE.md: what is in the backup, what is not, and what to do with it, in order. keyBackup is when somebody
// last backed up the encryption keys, as the settings say; zero when nobody has said.
func (m Manifest) RestoreGuide(keyBackup time.Time) ([]byte, error) {
	guide, err := template.New("restore").Funcs(template.FuncMap{"bytes": humanBytes, "plural": plural, "cell": cell, "stamp": stamp}).Parse(restoreTemplate)
	if err != nil {
		return nil, fmt.Errorf("write restore guide: %w", err)
	}
	g := guideFacts{Manifest: m, KeyBackup: keyBackup}
	for _, name := range []string{PartExtensions, PartServerExport, PartAgents, PartPortal} {
		part, known := m.Part(name)
		if !known {
			part = Part{Name: name, Outcome: OutcomeSkipped, Reason: "this run did not export it"}
		}
		g.Inventory = append(g.Inventory, part)
	}
	var b bytes.Buffer
	if err := guide.Execute(&b, g); err != nil {
		return nil, fmt.Errorf("write restore guide: %w", err)
	}
	return b.Bytes(), nil
}

type guideFacts struct {
	Manifest
	Inventory []Part
	KeyBackup time.Time
}

// Has reports whether a part can be restored from.
func (g guideFacts) Has(name string) bool {
	part, _ := g.Part(name)
	return part.Outcome == OutcomeOK
}

// Size is the size of a part in bytes.
func (p Part) Size() int64 {
	var n int64
	for _, f := range p.Files {
		n += f.Size
	}
	return n
}

// cell keeps text inside a cell of a Markdown table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\r", "", "\n", " ", "`", "'", "<", "&lt;").Replace(s)
}

func stamp(t time.Time) string { return t.Format("2006-01-02 15:04 MST") }
