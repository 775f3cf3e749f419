package mimexport

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/functions/mimbackup/backup"
)

// StateVersion is that of State, for cursor.Open.
const StateVersion = 1

// State is what the room remembers between its ticks.
type State struct {
	Open    *Open     `json:"open,omitempty"`    // the run under way
	Shipped []Pending `json:"shipped,omitempty"` // handed to mimverify and not seen verified yet
}

// Stage is how far a run is.
type Stage string

// The stages. Each is on record before its work begins, so that a kill repeats work and loses none.
const (
	StageExport Stage = "export"
	StageShip   Stage = "ship"
	StageHandOn Stage = "hand on"
)

// Open is a run that has begun and is not handed on.
type Open struct {
	Run       string    `json:"run"`
	Folder    string    `json:"folder"` // name wanted; the server may append a number
	Stage     Stage     `json:"stage"`
	Attempt   int       `json:"attempt"` // of this stage, from 1
	NotBefore time.Time `json:"notBefore,omitzero"`
	Alarmed   bool      `json:"alarmed,omitempty"` // that it is late has been said

	Exported *Exported `json:"exported,omitempty"`
	ZipBytes int64     `json:"zipBytes,omitempty"`
}

// Pending is a run whose verification is awaited.
type Pending struct {
	Run     string `json:"run"`
	Alarmed bool   `json:"alarmed,omitempty"`
}

func (s State) clone() State {
	if s.Open != nil {
		open := *s.Open
		s.Open = &open
	}
	s.Shipped = slices.Clone(s.Shipped)
	return s
}

// key names the detached work of the present stage on the server: the same for every invocation that tries to do it.
func (o Open) key() string {
	return "mimbackup-" + strings.ToLower(o.Run) + "-" + strings.ReplaceAll(string(o.Stage), " ", "") + "-" + strconv.Itoa(o.Attempt)
}

// enter begins a stage.
func (o *Open) enter(stage Stage) {
	o.Stage, o.Attempt, o.NotBefore = stage, 1, time.Time{}
}

func (o Open) shipped() backup.Shipped {
	return backup.Shipped{Run: o.Run, Folder: o.Exported.Folder, ManifestSHA256: o.Exported.ManifestSHA256, Bytes: o.ZipBytes}
}
