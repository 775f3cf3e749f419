package mimexport

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/mim"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

//go:embed export.ps1
var exportText string

//go:embed ship.ps1
var shipText string

//go:embed probe.ps1
var probeText string

// ExportScript exports the configuration into a new folder on the server.
func ExportScript() winrm.Script { return winrm.Script{Name: "export.ps1", Text: exportText} }

// ShipScript zips that folder and pushes it to blob storage.
func ShipScript() winrm.Script { return winrm.Script{Name: "ship.ps1", Text: shipText} }

// ProbeScript looks what a backup would find, and changes nothing.
func ProbeScript() winrm.Script { return winrm.Script{Name: "probe.ps1", Text: probeText} }

// Server is the MIM server. *winrm.Client is one.
type Server interface {
	// Run runs a script and waits for its result.
	Run(ctx context.Context, script winrm.Script, params any, on func(winrm.Event)) (json.RawMessage, error)
	// RunDetached runs a script that outlives the connection and this process. Called again with the same key it waits for the
	// same run, or returns its result again. winrm.ErrStillRunning when ctx ends first.
	RunDetached(ctx context.Context, key string, script winrm.Script, params any, on func(winrm.Event)) (json.RawMessage, error)
}

// ExportParams are those of export.ps1.
type ExportParams struct {
	RunId          string
	Root           string
	Name           string
	Engine         Engine
	MinFreeBytes   int64
	PortalUri      string
	PortalUser     string
	PortalPassword string
}

// Exported is what export.ps1 returns.
type Exported struct {
	Folder         string       `json:"folder"`
	ManifestSHA256 string       `json:"manifestSha256"`
	Manifest       mim.Manifest `json:"manifest"`
}

// ShipParams are those of ship.ps1.
type ShipParams struct {
	RunId       string
	Folder      string
	Sas         string
	RestoreText string
	Proxy       string
}

// ShipResult is what ship.ps1 returns.
type ShipResult struct {
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
	Blocks  int    `json:"blocks"`
	Existed bool   `json:"existed"` // an earlier try had stored it
}

// ProbeParams are those of probe.ps1.
type ProbeParams struct {
	Root  string
	Sas   string
	Proxy string
}

// Probe is what probe.ps1 returns. The errors are empty where all is well.
type Probe struct {
	Computer      string `json:"computer"`
	User          string `json:"user"`
	PowerShell    string `json:"powershell"`
	Administrator bool   `json:"administrator"`
	SyncPath      string `json:"syncPath"` // empty where there is no Synchronization Service
	Lithnet       bool   `json:"lithnet"`
	Builtin       bool   `json:"builtin"`
	Portal        bool   `json:"portal"`
	Root          string `json:"root"`
	FolderError   string `json:"folderError"`
	FreeBytes     int64  `json:"freeBytes"`
	Agents        int    `json:"agents"`
	AgentsError   string `json:"agentsError"`
	EgressError   string `json:"egressError"`
}

// Look runs probe.ps1.
func Look(ctx context.Context, server Server, params ProbeParams) (Probe, error) {
	raw, err := server.Run(ctx, ProbeScript(), params, nil)
	if err != nil {
		return Probe{}, err
	}
	return decode[Probe](ProbeScript(), raw)
}

func decode[T any](script winrm.Script, raw json.RawMessage) (T, error) {
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, fmt.Errorf("run script %q: decode its result: %w", script.Name, err)
	}
	return v, nil
}

// logEvents passes on what a script says while it runs.
func logEvents(ctx context.Context) func(winrm.Event) {
	log := customhandler.Log(ctx)
	return func(e winrm.Event) {
		switch {
		case e.Type == "progress":
			log.Debug("progress", "step", e.Step, "item", e.Message, "done", e.Done, "total", e.Total)
		case e.Level == "warning" || e.Level == "error":
			log.Warn("the server says", "level", e.Level, "message", e.Message)
		default:
			log.Debug("the server says", "message", e.Message)
		}
	}
}
