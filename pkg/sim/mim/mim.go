// Package simmim makes up a Microsoft Identity Manager installation and exports it as the real one does: a dozen management agents
// from 10 kB to 2 MB in both forms of export, the metaverse, rules extensions, and portal policy and schema of 3 to 4 MB. The same
// Options give the same installation, byte for byte.
//
// A Night passes between two exports: what always moves has moved (versions, times, cookies, computed members), and what its
// mutations changed has changed. It says what a drift report must contain for them.
//
// The XML has the shape of real exports: no declaration, a pseudo comment, attributes in both kinds of quotes, CRLF, a schema on
// lines of 64 kB. Nothing in it is copied from one.
package simmim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// Options say what to make up. The zero value is a dozen agents and a portal of real size.
type Options struct {
	Seed       uint64
	Server     string // default SYNC01
	Agents     int    // default 12
	AgentBytes int    // size of each agent's export, about; by default they differ, from 10 kB to 2 MB
	NoPortal   bool   // a server without the MIM Service
	PortalSize int    // objects of policy and of schema each, default 1200: 3 to 4 MB
}

// Installation is a made-up MIM server at some night. It is not safe for concurrent use.
type Installation struct {
	server     string
	night      int
	agents     []*agent
	metaverse  *metaverse
	extensions map[string][]byte
	policy     []*object
	schema     []*object
	noPortal   bool
}

// New makes up an installation.
func New(o Options) *Installation {
	if o.Server == "" {
		o.Server = "SYNC01"
	}
	if o.Agents == 0 {
		o.Agents = 12
	}
	if o.PortalSize == 0 {
		o.PortalSize = 1200
	}
	g := &generator{rand.New(rand.NewPCG(o.Seed, 0x4d494d))}
	in := &Installation{server: o.Server, noPortal: o.NoPortal, extensions: map[string][]byte{}}
	for i := range o.Agents {
		in.agents = append(in.agents, g.agent(i, o.AgentBytes))
	}
	in.metaverse = g.metaverse(in.agents)
	for _, name := range append(in.extensionNames(), "MVExtension.dll", "Logging.dll") {
		in.extensions[name] = g.program()
	}
	in.extensions["MVExtension.dll.config"] = []byte("<configuration><appSettings/></configuration>\r\n")
	if !o.NoPortal {
		in.policy, in.schema = g.policy(o.PortalSize), g.schemaObjects(o.PortalSize)
	}
	return in
}

func (in *Installation) extensionNames() []string {
	var names []string
	for _, a := range in.agents {
		if a.assembly != "" {
			names = append(names, a.assembly)
		}
	}
	return names
}

// Server is the name of the server.
func (in *Installation) Server() string { return in.server }

// AgentNames are the names of the management agents.
func (in *Installation) AgentNames() []string {
	var names []string
	for _, a := range in.agents {
		names = append(names, a.name)
	}
	return names
}

// ExportAgent is the export of one management agent, with its import attribute flows; ok is false when there is no such agent.
func (in *Installation) ExportAgent(name string) (xml []byte, ok bool) {
	for _, a := range in.agents {
		if a.name == name {
			return in.writeAgent(a, true), true
		}
	}
	return nil, false
}

// ServerExport is what the export of the server configuration writes: MV.XML, and MA-{GUID}.XML for each agent.
func (in *Installation) ServerExport() map[string][]byte {
	files := map[string][]byte{"MV.XML": in.writeMetaverse()}
	for _, a := range in.agents {
		files["MA-"+a.id+".XML"] = in.writeAgent(a, false)
	}
	return files
}

// Extensions are the files of the Extensions folder.
func (in *Installation) Extensions() map[string][]byte { return maps.Clone(in.extensions) }

// PortalExport is policy.xml and schema.xml; ok is false on a server without the MIM Service.
func (in *Installation) PortalExport() (files map[string][]byte, ok bool) {
	if in.noPortal {
		return nil, false
	}
	return map[string][]byte{"policy.xml": in.writeObjects(in.policy), "schema.xml": in.writeObjects(in.schema)}, true
}

// Files is a whole backup: every part, by path.
func (in *Installation) Files() map[string][]byte {
	files := map[string][]byte{}
	for _, name := range in.AgentNames() {
		files["MAExports/"+FileName(name)+".xml"], _ = in.ExportAgent(name)
	}
	portal, _ := in.PortalExport()
	for folder, part := range map[string]map[string][]byte{"ServerExport": in.ServerExport(), "MAExtensions": in.extensions, "PortalExport": portal} {
		for name, content := range part {
			files[folder+"/"+name] = content
		}
	}
	return files
}

// FileName is a management agent's name without the characters that file names must not have.
func FileName(agent string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`\/:*?"<>|`, r) {
			return '_'
		}
		return r
	}, agent)
}

// Night lets a day of synchronization pass, in which somebody made these changes. It returns everything that a drift report must
// say about them. The error names a mutation that found nothing to change.
func (in *Installation) Night(mutations ...Mutation) ([]Expect, error) {
	in.night++
	var want []Expect
	for _, m := range mutations {
		expected, err := m.apply(in)
		if err != nil {
			return nil, fmt.Errorf("change the installation: %s: %w", m.Name, err)
		}
		want = append(want, expected...)
	}
	return want, nil
}

func (in *Installation) agent(name string) (*agent, error) {
	i := slices.IndexFunc(in.agents, func(a *agent) bool { return a.name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no management agent %q", name)
	}
	return in.agents[i], nil
}
