package ftpscan

import (
	"maps"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
)

// StateVersion is the version of State on record.
const StateVersion = 1

// State is what ftpscan remembers between runs: the record behind its cursor.
type State struct {
	Known   map[string]Known          `json:"known"`   // by path: the version last handed on
	Seen    map[string]Sighting       `json:"seen"`    // by path: new versions that have not settled yet
	Plan    []drop.Batch              `json:"plan"`    // decided, perhaps not yet in the queue
	Open    map[string]Open           `json:"open"`    // by manifest: handed on, end not yet known
	Latest  map[string]drop.Delivered `json:"latest"`  // by series: the version last delivered, for the guard
	Alarmed map[string]time.Time      `json:"alarmed"` // by expectation: the deadline last reported as missed
}

// Known is a version of a file that was handed on.
type Known struct {
	File   drop.File `json:"file"`
	Folder string    `json:"folder"`
	Handed time.Time `json:"handed"`
	Listed time.Time `json:"listed"` // when the server last showed it
}

// Sighting is a version of a file that may still be growing.
type Sighting struct {
	File  drop.File `json:"file"`
	Since time.Time `json:"since"`
}

// Open is a batch whose manifest is awaited.
type Open struct {
	Since time.Time `json:"since"`
	Held  bool      `json:"held,omitempty"` // the guard stopped it: an operator decides, so nobody is late
}

// How long things are remembered.
const (
	forgetUnlisted = 35 * 24 * time.Hour // a file that left the server
	forgetHeld     = 30 * 24 * time.Hour // a held batch that nobody released
	overdue        = 24 * time.Hour      // a batch without a manifest after this long is reported by every run
)

func (s State) clone() State {
	return State{
		Known:   cloned(s.Known),
		Seen:    cloned(s.Seen),
		Plan:    s.Plan,
		Open:    cloned(s.Open),
		Latest:  cloned(s.Latest),
		Alarmed: cloned(s.Alarmed),
	}
}

func cloned[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return maps.Clone(m)
}

// handOver turns the plan into knowledge, once all of it is in the queue.
func (s *State) handOver(now time.Time) {
	for _, batch := range s.Plan {
		s.Open[batch.ManifestName()] = Open{Since: now}
		for _, f := range batch.Files {
			f.Previous = nil
			s.Known[f.Path] = Known{File: f, Folder: batch.Folder, Handed: now, Listed: now}
			delete(s.Seen, f.Path)
		}
	}
	s.Plan = nil
}

// learn takes in what a manifest tells of a batch.
func (s *State) learn(name string, m drop.Manifest, now time.Time) {
	held := false
	for _, e := range m.Files {
		switch e.Outcome {
		case drop.Stored:
			s.delivered(e, m)
		case drop.Gone, drop.Changing:
			if s.Known[e.Path].File.Same(e.File) || e.Outcome == drop.Changing {
				delete(s.Known, e.Path)
			}
		case drop.HandedOn:
			s.Open[e.Next] = Open{Since: now}
		case drop.Held:
			held = true
		}
	}
	open := s.Open[name]
	if held && now.Sub(open.Since) < forgetHeld {
		s.Open[name] = Open{Since: open.Since, Held: true}
		return
	}
	delete(s.Open, name)
}

func (s *State) delivered(e drop.Entry, m drop.Manifest) {
	series := drop.Series(e.Path)
	if s.Latest[series].At.Before(m.Finished) {
		s.Latest[series] = drop.Delivered{Blob: e.Blob, Size: e.Size, Lines: e.Lines, Text: e.Text, SHA256: e.SHA256, At: m.Finished}
	}
	// A file that changed between scan and fetch was stored as a later version than the one handed on.
	if known, ok := s.Known[e.Path]; ok && known.Handed.Before(m.Finished) {
		e.File.Previous = nil
		known.File = e.File
		s.Known[e.Path] = known
	}
}

// forget drops what is no longer of use.
func (s *State) forget(now time.Time) {
	maps.DeleteFunc(s.Known, func(_ string, k Known) bool { return now.Sub(k.Listed) > forgetUnlisted })
}

// late lists the batches that nobody has finished in time.
func (s *State) late(now time.Time) []string {
	var names []string
	for name, open := range s.Open {
		if !open.Held && now.Sub(open.Since) > overdue {
			names = append(names, name)
		}
	}
	return names
}
