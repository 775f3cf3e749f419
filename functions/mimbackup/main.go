// Command mimbackup is the Function App that backs up the configuration of a MIM server every night: mimexport has the server
// export and ship it, mimverify reads it back and compares it. docs/mimbackup.md is its manual.
package main

import (
	"cmp"
	"time"

	"github.com/nightshift-hq/nightshift/functions/mimbackup/config"
	"github.com/nightshift-hq/nightshift/functions/mimbackup/mimexport"
	"github.com/nightshift-hq/nightshift/functions/mimbackup/mimverify"
	"github.com/nightshift-hq/nightshift/pkg/cursor"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/schedule/gate"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/storage"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

// queue is the name that mimverify's function.json gives it.
const queue = "mimverify"

// version is filled in by deploy/pack.
var version = "dev"

func main() { customhandler.Main("mimbackup", build) }

func build(environ []string) (customhandler.App, error) {
	var s config.Settings
	problem := settings.Load(&s, environ)
	account, err := storage.Open(s.Storage)
	if err != nil {
		return customhandler.App{}, cmp.Or(problem, err)
	}
	state := account.Container("mimbackup-state")
	backups := account.Container(s.Container)
	var checks []customhandler.Check
	server, err := winrm.New(s.Client())
	if problem == nil && err != nil {
		problem = err
	}
	if err == nil {
		checks = allChecks(&s, server, backups)
	}

	export := &mimexport.Handler{
		Config:  s.Export(),
		Gate:    gate.Gate{Schedule: s.Schedule, Zone: s.Zone, Passed: cursor.Open[gate.Passed](state, "mimexport-gate", gate.Version)},
		Server:  server,
		Cursor:  cursor.Open[mimexport.State](state, "mimexport", mimexport.StateVersion),
		Backups: backups,
		Queue:   account.Queue(queue),
		Now:     time.Now,
	}
	verify := &mimverify.Handler{
		Config: mimverify.Config{
			Root: s.Root(), KeepOnServer: s.KeepOnServer, Retention: s.Retention(), Zone: s.Zone.Location(), MaxShrinkPercent: s.MaxShrinkPercent,
		},
		Server: server, Backups: backups, Now: time.Now,
	}
	return customhandler.App{
		Version: version,
		Functions: []customhandler.Function{
			customhandler.TimerFunc("mimexport", export.Handle),
			customhandler.QueueFunc("mimverify", verify.Handle),
		},
		Checks:  checks,
		Storage: account, State: state, Secrets: settings.Secrets(s), Problem: problem,
	}, nil
}
