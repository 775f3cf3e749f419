// Command ftppull is the Function App that pulls files from an FTP server into blob storage every night, and from there to a MIM
// server: ftpscan plans, ftpfetch stores, ftpdeliver places. docs/ftppull.md is its manual.
package main

import (
	"cmp"
	"path"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/config"
	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpdeliver"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpfetch"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpscan"
	"github.com/nightshift-hq/nightshift/pkg/cursor"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/ftp"
	"github.com/nightshift-hq/nightshift/pkg/schedule/gate"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/storage"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

// The names that function.json gives to the queues of ftpfetch and ftpdeliver.
const (
	queue        = "ftpfetch"
	deliverQueue = "ftpdeliver"
)

// version is filled in by deploy/pack.
var version = "dev"

func main() { customhandler.Main("ftppull", build) }

func build(environ []string) (customhandler.App, error) {
	var s config.Settings
	problem := settings.Load(&s, environ)
	account, err := storage.Open(s.Storage)
	if err != nil {
		return customhandler.App{}, cmp.Or(problem, err)
	}
	state := account.Container("ftppull-state")
	files := account.Container(s.Container)
	pool := ftp.NewPool(s.Client(), s.Connections)
	target, _ := drop.TargetPrefix(s.TargetDirectory) // judged by Settings.Problems
	source, archive := path.Clean("/"+s.SourceDirectory), path.Clean("/"+s.ArchiveDirectory)

	scan := &ftpscan.Handler{
		Config: ftpscan.Config{
			Source: source, Depth: s.Depth, Filter: s.Filter(source), Settle: s.Settle.Std(), Target: target,
			FolderFormat: s.FolderFormat, Zone: s.Zone.Location(), Expect: s.Expect,
			Limits: drop.Limits{Files: s.BatchFiles, Bytes: int64(s.BatchBytes)},
		},
		Gate:   gate.Gate{Schedule: s.Schedule, Zone: s.Zone, Passed: cursor.Open[gate.Passed](state, "ftpscan-gate", gate.Version)},
		FTP:    pool,
		Cursor: cursor.Open[ftpscan.State](state, "ftpscan", ftpscan.StateVersion),
		Blobs:  files,
		Queue:  account.Queue(queue),
		Now:    time.Now,
	}
	fetch := &ftpfetch.Handler{
		Config: ftpfetch.Config{
			Source: source, Server: "ftp://" + s.Server, Connections: s.Connections, Settle: s.Settle.Std(),
			Guard: ftpfetch.Guard{HoldEmpty: s.HoldEmpty, MaxShrinkPercent: s.MaxShrinkPercent, Headers: s.RequireHeader, Trailers: s.RequireTrailer},
			After: s.After, Archive: archive, DoneSuffix: s.DoneSuffix,
		},
		FTP: pool, Blobs: files, State: state, Queue: account.Queue(queue), Now: time.Now,
	}
	deliver, err := delivery(&s, files, state)
	if err == nil && s.Delivers() {
		fetch.Deliver = account.Queue(deliverQueue)
	}
	return customhandler.App{
		Version: version,
		Functions: []customhandler.Function{
			customhandler.TimerFunc("ftpscan", scan.Handle),
			customhandler.QueueFunc("ftpfetch", fetch.Handle),
			customhandler.QueueFunc("ftpdeliver", deliver.Handle),
		},
		Checks:  append(checks(&s, pool, source, archive, files), deliveryChecks(&s, deliver.Server, files)...),
		Storage: account, State: state, Secrets: settings.Secrets(s), Problem: cmp.Or(problem, err),
	}, nil
}

// delivery is the room that brings files to the MIM server. Without a server it waits for the settings that name one.
func delivery(s *config.Settings, files, state *storage.Container) (*ftpdeliver.Handler, error) {
	h := &ftpdeliver.Handler{Config: s.Delivery(), Blobs: files, State: state, Now: time.Now}
	if !s.Delivers() {
		return h, nil
	}
	server, err := winrm.New(s.MIM.Client())
	if err != nil {
		return h, err
	}
	h.Server = server
	return h, nil
}
