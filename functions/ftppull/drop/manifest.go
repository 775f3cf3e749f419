package drop

import (
	"encoding/json"
	"fmt"
	"time"
)

// Outcome says what became of one file of a batch.
type Outcome string

// The outcomes of a file.
const (
	Stored   Outcome = "stored"   // lies verified under its blob name
	Gone     Outcome = "gone"     // was no longer on the FTP server
	Changing Outcome = "changing" // kept changing; left for the next scan
	Held     Outcome = "held"     // stopped by the guard; stored apart
	HandedOn Outcome = "handedOn" // travels on in a smaller batch, whose manifest tells the end
)

// Entry is one file's line in a manifest.
type Entry struct {
	File
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"`
	Blob    string  `json:"blob,omitempty"`
	SHA256  string  `json:"sha256,omitempty"` // hex
	MD5     string  `json:"md5,omitempty"`    // hex
	Lines   int64   `json:"lines,omitempty"`
	Text    bool    `json:"text,omitempty"`
	Next    string  `json:"next,omitempty"` // with HandedOn: the manifest that tells the end
}

// Manifest proves what became of a batch. It is written when every file of the batch has its outcome.
type Manifest struct {
	Version  int       `json:"version"`
	Batch    string    `json:"batch"`
	Run      string    `json:"run"`
	Source   string    `json:"source"` // ftp address and directory, without credentials
	Folder   string    `json:"folder"`
	Files    []Entry   `json:"files"`
	Finished time.Time `json:"finished"`
}

const manifestVersion = 1

// NewManifest starts the manifest of a batch.
func NewManifest(b Batch, source string, files []Entry, now time.Time) Manifest {
	return Manifest{Version: manifestVersion, Batch: b.ID(), Run: b.Run, Source: source, Folder: b.Folder, Files: files,
		Finished: now.UTC()}
}

// ParseManifest reads a manifest back.
func ParseManifest(data []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return Manifest{}, fmt.Errorf("read manifest: %w", err)
	}
	if m.Version != manifestVersion {
		return Manifest{}, fmt.Errorf("read manifest: version %d, this program knows %d", m.Version, manifestVersion)
	}
	return m, nil
}

// Bytes renders the manifest for its blob.
func (m Manifest) Bytes() []byte {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		panic(err) // strings, numbers and times always marshal
	}
	return append(data, '\n')
}

// Count is the number of files with the outcome.
func (m Manifest) Count(o Outcome) int {
	n := 0
	for _, e := range m.Files {
		if e.Outcome == o {
			n++
		}
	}
	return n
}

// StoredBytes is the size of all stored files together.
func (m Manifest) StoredBytes() int64 {
	var n int64
	for _, e := range m.Files {
		if e.Outcome == Stored {
			n += e.Size
		}
	}
	return n
}
