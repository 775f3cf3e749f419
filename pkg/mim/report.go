package mim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Severity is how much a change deserves attention.
type Severity int

// The severities. The zero value takes over what holds for the place around.
const (
	Notice  Severity = iota + 1 // worth knowing
	Warning                     // changes what happens to data
	Danger                      // can delete, disconnect or hand over accounts: look at it today
)

var severityNames = map[Severity]string{Notice: "notice", Warning: "warning", Danger: "danger"}

func (s Severity) String() string { return severityNames[s] }

// MarshalText writes the severity's name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Severity) UnmarshalText(b []byte) error {
	for severity, name := range severityNames {
		if name == string(b) {
			*s = severity
			return nil
		}
	}
	return fmt.Errorf("read severity %q: expected notice, warning or danger", b)
}

// Action is what happened to something.
type Action string

// The actions.
const (
	Added     Action = "added"
	Removed   Action = "removed"
	Changed   Action = "changed"
	Renamed   Action = "renamed"
	Reordered Action = "reordered"
	Recreated Action = "recreated" // deleted and made again under the same name
)

// The areas of a report, in its order.
const (
	AreaBackup     = "Backup"
	AreaAgents     = "Management agents"
	AreaMetaverse  = "Metaverse"
	AreaPolicy     = "Portal policy"
	AreaSchema     = "Portal schema"
	AreaExtensions = "Extensions"
	AreaOther      = "Other files"
)

var areas = []string{AreaBackup, AreaAgents, AreaMetaverse, AreaPolicy, AreaSchema, AreaExtensions, AreaOther}

// Change is one difference, in words that an administrator knows.
type Change struct {
	Severity Severity `json:"severity"`
	Action   Action   `json:"action"`
	Area     string   `json:"area"`
	Object   string   `json:"object,omitempty"` // the management agent, portal object or file
	Path     []string `json:"path,omitempty"`   // the place in it, from the outside in
	Before   string   `json:"before,omitempty"`
	After    string   `json:"after,omitempty"`
	Note     string   `json:"note,omitempty"`    // why it matters
	Details  []string `json:"details,omitempty"` // what exactly is different, where Before and After only sum up
}

// Where is the place in one line.
func (c Change) Where() string {
	place := append([]string{c.Area}, c.Path...)
	if c.Object != "" {
		place = slices.Insert(place, 1, c.Object)
	}
	return strings.Join(place, " / ")
}

// String is one line: danger: removed Management agents / HR.
func (c Change) String() string {
	line := fmt.Sprintf("%s: %s %s", c.Severity, c.Action, c.Where())
	if c.Before != "" || c.After != "" {
		line += fmt.Sprintf(": %q -> %q", c.Before, c.After)
	}
	return line
}

// Side is one of the two backups of a report.
type Side struct {
	Name     string `json:"name,omitempty"`     // set by who asked for the report: the backup's folder
	Server   string `json:"server,omitempty"`   // as the export says
	Exported string `json:"exported,omitempty"` // as the export says, in the server's time
	Agents   int    `json:"agents"`
	Files    int    `json:"files"`
	Bytes    int64  `json:"bytes"`
}

// ReportVersion is the version of the JSON form of a Report.
const ReportVersion = 1

// Report is what changed between two backups, the dangerous first.
type Report struct {
	Version int      `json:"version"`
	Before  Side     `json:"before"`
	After   Side     `json:"after"`
	Changes []Change `json:"changes"`
}

// Count is the number of changes of that severity.
func (r Report) Count(s Severity) int {
	n := 0
	for _, c := range r.Changes {
		if c.Severity == s {
			n++
		}
	}
	return n
}

// JSON is the report for programs, with a line end.
func (r Report) JSON() ([]byte, error) {
	if r.Changes == nil {
		r.Changes = []Change{} // "no change" says so
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write drift report: %w", err)
	}
	return append(b, '\n'), nil
}

// gone is 1 for a management agent that is no longer there, which stands above everything.
func (c Change) gone() int {
	if c.Area == AreaAgents && len(c.Path) == 0 && (c.Action == Removed || c.Action == Recreated) {
		return 1
	}
	return 0
}

// sort puts the dangerous first, then goes by place. What two files of a backup both say is reported once.
func (r *Report) sort() {
	slices.SortStableFunc(r.Changes, func(a, b Change) int {
		return cmp.Or(
			cmp.Compare(b.Severity, a.Severity),
			cmp.Compare(b.gone(), a.gone()),
			cmp.Compare(slices.Index(areas, a.Area), slices.Index(areas, b.Area)),
			cmp.Compare(strings.ToLower(a.Object), strings.ToLower(b.Object)),
			slices.Compare(a.Path, b.Path),
			cmp.Compare(a.Action, b.Action),
			cmp.Compare(a.Before, b.Before),
			cmp.Compare(a.After, b.After),
		)
	})
	r.Changes = slices.CompactFunc(r.Changes, func(a, b Change) bool {
		return a.String() == b.String() && slices.Equal(a.Details, b.Details)
	})
}
