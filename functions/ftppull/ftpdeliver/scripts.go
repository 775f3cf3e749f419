package ftpdeliver

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

//go:embed deliver.ps1
var deliverText string

//go:embed put.ps1
var putText string

//go:embed publish.ps1
var publishText string

//go:embed reach.ps1
var reachText string

// DeliverScript has the server fetch files from blob storage.
func DeliverScript() winrm.Script { return winrm.Script{Name: "deliver.ps1", Text: deliverText} }

// PutScript writes pieces of files that come with it.
func PutScript() winrm.Script { return winrm.Script{Name: "put.ps1", Text: putText} }

// PublishScript puts a delivered file in the place of another.
func PublishScript() winrm.Script { return winrm.Script{Name: "publish.ps1", Text: publishText} }

// ReachScript looks whether files could be delivered.
func ReachScript() winrm.Script { return winrm.Script{Name: "reach.ps1", Text: reachText} }

// Server is the MIM server. *winrm.Client is one.
type Server interface {
	// Run runs a script and waits for its result.
	Run(ctx context.Context, script winrm.Script, params any, on func(winrm.Event)) (json.RawMessage, error)
}

// DeliverParams are those of deliver.ps1.
type DeliverParams struct {
	Folder  string
	Files   []Fetch
	Seconds int
	Proxy   string
}

// Fetch is one file that the server is to fetch.
type Fetch struct {
	Path   string `json:"path"`
	Link   string `json:"link"` // a secret
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// PutParams are those of put.ps1.
type PutParams struct {
	Folder string
	Pieces []Piece
	Need   int64 // bytes that are still to come
}

// Piece is a part of a file.
type Piece struct {
	Path    string `json:"path"`
	Offset  int64  `json:"offset"`
	Size    int64  `json:"size"` // of the whole file
	SHA256  string `json:"sha256"`
	Data    []byte `json:"data"`
	Replace bool   `json:"replace"`
}

// PublishParams are those of publish.ps1.
type PublishParams struct {
	Source string
	Target string
	Sha256 string
}

// ReachParams are those of reach.ps1.
type ReachParams struct {
	Folder string
	Link   string
	Proxy  string
}

// Reached is what reach.ps1 returns. The errors are empty where all is well.
type Reached struct {
	Computer    string `json:"computer"`
	User        string `json:"user"`
	PowerShell  string `json:"powershell"`
	FreeBytes   int64  `json:"freeBytes"`
	FolderError string `json:"folderError"`
	EgressError string `json:"egressError"`
}

// What a script says of a file.
const (
	placed     = "placed"
	there      = "there"
	different  = "different"
	part       = "part"
	unfinished = "later"
	published  = "published"
)

// answer is what deliver.ps1, put.ps1 and publish.ps1 return; each a part of it.
type answer struct {
	Outcome string   `json:"outcome"`
	Files   []answer `json:"files"`
	Pieces  []answer `json:"pieces"`
	Have    int64    `json:"have"`
}

func (j *job) ask(ctx context.Context, script winrm.Script, params any) (answer, error) {
	log := customhandler.Log(ctx)
	raw, err := j.Server.Run(ctx, script, params, func(e winrm.Event) {
		if e.Level == "warning" || e.Level == "error" {
			log.Warn("the server says", "level", e.Level, "message", e.Message)
			return
		}
		log.Debug("the server says", "step", e.Step, "message", e.Message, "done", e.Done, "total", e.Total)
	})
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return a, fmt.Errorf("run script %q: decode its result: %w", script.Name, err)
	}
	return a, nil
}

// Reach runs reach.ps1.
func Reach(ctx context.Context, server Server, params ReachParams) (Reached, error) {
	var r Reached
	raw, err := server.Run(ctx, ReachScript(), params, nil)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, fmt.Errorf("run script %q: decode its result: %w", ReachScript().Name, err)
	}
	return r, nil
}
