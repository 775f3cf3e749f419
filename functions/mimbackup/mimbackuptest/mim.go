package mimbackuptest

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/nightshift-hq/nightshift/functions/mimbackup/mimexport"
	"github.com/nightshift-hq/nightshift/functions/mimbackup/mimverify"
	simmim "github.com/nightshift-hq/nightshift/pkg/sim/mim"
	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
	"github.com/nightshift-hq/nightshift/pkg/winrm/winrmtest"
)

// MIM is the installation on a simulated server, with what tests want of it.
type MIM struct {
	// Fail and Skip name parts, such as PortalExport, that fail or are not installed, with the reason.
	Fail, Skip map[string]string

	// Step, if not nil, is called before each step of a script, such as "export MAExports" or "ship block 0"; its error is the
	// script's. A test may wait in it: ctx ends when the server loses power.
	Step func(ctx context.Context, what string) error

	mu           sync.Mutex // guards installation
	installation *simmim.Installation
	server       *simwinrm.Server
	detached     *winrmtest.Detached
}

// NewMIM is a server that has this installation.
func NewMIM(installation *simmim.Installation) *MIM {
	return &MIM{Fail: map[string]string{}, Skip: map[string]string{}, installation: installation}
}

// Night lets a day pass in which somebody made these changes.
func (m *MIM) Night(mutations ...simmim.Mutation) ([]simmim.Expect, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.installation.Night(mutations...)
}

// emulation stands for the script whose text has this hash. It returns the script's result.
type emulation struct {
	script winrm.Script
	hash   string
	run    func(context.Context, *simwinrm.Call) (any, error)
}

func (m *MIM) emulations() []emulation {
	return []emulation{
		{mimexport.ExportScript(), "eb5586824b75c8ee1eb87e57174f9b0da63fbbcacbbfc526580e5a4d43f2be0d", m.export},
		{mimexport.ShipScript(), "d3942f8dc0b2373ea6f5565fabf8908fe32f029f2de9766372c47165c1774d16", m.ship},
		{mimexport.ProbeScript(), "8475fc2877887f3830d045f5be1343e47b760dc54f3bacbdca87b079404fdb25", m.probe},
		{mimverify.PruneScript(), "f08ffda194ac2e71da5bcaf26887c8c700e6a8e9941babfbdf29de21cf5b5e6f", m.prune},
	}
}

// Install has the server run the emulations, attached and detached.
func (m *MIM) Install(server *simwinrm.Server) {
	for _, e := range m.emulations() {
		server.Emulate(e.script.Name, e.hash, func(ctx context.Context, c *simwinrm.Call) error {
			result, err := e.run(ctx, c)
			if err != nil {
				return err
			}
			return c.Result(result)
		})
	}
	m.server, m.detached = server, winrmtest.Emulate(server)
}

// PowerLoss ends all detached work of the server as when its power fails: nothing is written any more.
func (m *MIM) PowerLoss() {
	for _, r := range m.server.Runs() {
		var order struct{ Key string }
		if r.Name == winrm.DetachedScript().Name && json.Unmarshal(r.Params, &order) == nil {
			m.detached.Kill(order.Key)
		}
	}
}

// step tells the test where the script is.
func (m *MIM) step(ctx context.Context, what string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.Step == nil {
		return nil
	}
	return m.Step(ctx, what)
}

// Mutations are all the changes that somebody can make to this installation.
func (m *MIM) Mutations() []simmim.Mutation {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.installation.Mutations()
}
