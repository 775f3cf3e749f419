package simmim

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// generator makes things up, always the same from the same seed.
type generator struct{ *rand.Rand }

func (g *generator) guid() string {
	return fmt.Sprintf("%08X-%04X-%04X-%04X-%012X", g.Uint32(), g.Uint32()&0xffff, g.Uint32()&0xffff, g.Uint32()&0xffff, g.Uint64()&(1<<48-1))
}

func (g *generator) braced() string { return "{" + g.guid() + "}" }

// program is a rules extension as far as anybody but Windows can tell.
func (g *generator) program() []byte {
	b := append([]byte("MZ\x90\x00"), make([]byte, 4096+g.IntN(8192))...)
	for i := 4; i < len(b); i++ {
		b[i] = byte(g.Uint32())
	}
	return b
}

// agent is a management agent: what somebody configured, and what moves by itself.
type agent struct {
	id, name, category string
	created            string
	version            int // moves
	assembly           string
	deprovisioning     string
	schema             string
	included           []string
	filters            []filter
	joins              []join
	projections        []projection
	exports            []flow
	imports            []flow
	partitions         []partition
	profiles           []profile
	connection         [][2]string
}

type filter struct{ id, class, attribute, operator, value string }

type join struct{ id, class, target, attribute, source string }

type projection struct{ id, class, target string }

// flow is an attribute flow; on import the target is in the metaverse.
type flow struct{ id, class, target, attribute, kind, source string }

type partition struct {
	id, name   string
	selected   bool
	classes    []string
	inclusions []string
	exclusions []string
}

type profile struct {
	id, name, step  string
	subtype         string
	partition       string
	deleteThreshold int // 0 for none
}

// system is a kind of connected system that real estates have.
type system struct {
	name, category, class, target string
	bytes                         int
}

var systems = []system{
	{"Contoso AD", "AD", "user", "person", 2 << 20},
	{"HR Database", "MSSQL", "person", "person", 26 << 10},
	{"MIM Service", "FIM", "Person", "person", 80 << 10},
	{"Fabrikam AD", "AD", "user", "person", 1 << 20},
	{"Phone System", "Extensible2", "subscriber", "person", 40 << 10},
	{"Exchange GAL", "GALSync", "contact", "contact", 600 << 10},
	{"Organisation Units", "MSSQL", "organization", "organization", 10 << 10},
	{"Badge Reader", "Delimited text", "badge", "person", 16 << 10},
	{"Partner LDAP", "ADAM", "inetOrgPerson", "person", 100 << 10},
	{"Cost Centres", "Fixed-width text", "costCentre", "organization", 12 << 10},
	{"SAP \"PRD\" & QAS", "Extensible2", "employee", "person", 120 << 10},
	{"Zürich Directory", "LDAP", "inetOrgPerson", "person", 60 << 10},
}

var attributes = []string{"accountName", "displayName", "givenName", "sn", "mail", "department", "employeeID", "manager", "title",
	"company", "telephoneNumber", "mobile", "l", "co", "postalCode", "streetAddress", "employeeType", "initials"}

func (g *generator) agent(i, size int) *agent {
	s := systems[i%len(systems)]
	a := &agent{id: g.braced(), name: s.name, category: s.category, version: 20 + g.IntN(3000), deprovisioning: "make-normal-disconnector",
		created: fmt.Sprintf("2019-%02d-%02d 09:%02d:11.127", 1+g.IntN(12), 1+g.IntN(28), g.IntN(60))}
	if i >= len(systems) {
		a.name = fmt.Sprintf("%s %d", s.name, 1+i/len(systems))
	}
	if i%3 == 0 {
		a.assembly = strings.ReplaceAll(FileName(a.name), " ", "") + "Extension.dll"
	}
	a.filters = []filter{{g.braced(), s.class, "accountName", "equality", "svc-" + strings.ToLower(FileName(s.name))}}
	a.joins = []join{{g.braced(), s.class, s.target, "employeeID", "employeeID"}, {g.braced(), s.class, s.target, "accountName", "accountName"}}
	a.projections = []projection{{g.braced(), s.class, s.target}}
	for n, attribute := range attributes {
		kind := []string{"direct", "direct", "constant", "scripted"}[g.IntN(4)]
		a.exports = append(a.exports, flow{g.braced(), s.class, s.target, attribute, kind, attribute})
		if (n+i)%4 == 0 {
			a.imports = append(a.imports, flow{g.braced(), s.class, s.target, attribute, "direct", attribute})
		}
	}
	g.connect(a, s)
	size = max(size, 0)
	if size == 0 {
		size = s.bytes
	}
	a.schema, a.included = g.dsml(s.class, size-9<<10)
	return a
}

// connect gives an agent partitions, run profiles and connection data.
func (g *generator) connect(a *agent, s system) {
	name := "default"
	if s.category == "AD" {
		name = "DC=" + strings.ToLower(strings.Fields(s.name)[0]) + ",DC=example"
	}
	p := partition{id: g.braced(), name: name, selected: true, classes: []string{s.class}}
	if s.category == "AD" {
		p.inclusions = []string{"OU=Staff," + name, "OU=Groups," + name}
		p.exclusions = []string{"OU=Service Accounts," + name}
	}
	a.partitions = []partition{p}
	for _, step := range []struct{ name, kind, subtype string }{
		{"Full Import", "full-import", "to-cs"}, {"Delta Import", "delta-import", "to-cs"}, {"Full Sync", "apply-rules", "reevaluate-flow-connectors"},
		{"Delta Sync", "apply-rules", "apply-pending"}, {"Export", "export", ""},
	} {
		run := profile{id: g.braced(), name: step.name, step: step.kind, subtype: step.subtype, partition: p.id}
		if step.kind == "export" {
			run.deleteThreshold = 50 + 10*g.IntN(10)
		}
		a.profiles = append(a.profiles, run)
	}
	a.connection = [][2]string{{"server", fmt.Sprintf("host%02d.contoso.example", g.IntN(40))}, {"user", "svc-mim"}, {"domain", "CONTOSO"}}
}

// dsml is a schema of about that size, and the names of the attributes it selects.
func (g *generator) dsml(class string, size int) (schema string, included []string) {
	var types, refs strings.Builder
	for n := 0; n < len(attributes) || types.Len()+refs.Len() < size; n++ {
		name := fmt.Sprintf("extensionAttribute%d", n)
		if n < len(attributes) {
			name = attributes[n]
			included = append(included, name)
		}
		fmt.Fprintf(&types, `<attribute-type id="A%x" single-value="%t" ms-dsml:range-upper="%d"><name>%s</name><syntax>1.3.6.1.4.1.1466.115.121.1.15</syntax></attribute-type>`,
			n, g.IntN(2) == 0, 64+g.IntN(960), name)
		fmt.Fprintf(&refs, `<attribute ref="#A%x" required="%t"/>`, n, n == 0)
	}
	return `<dsml xmlns="http://www.dsml.org/DSML" xmlns:ms-dsml="http://www.microsoft.com/MMS/DSML"><directory-schema><class id="C0" type="structural"><name>` +
		class + `</name>` + refs.String() + `</class>` + types.String() + `</directory-schema></dsml>`, included
}

// metaverse is what MV.XML holds beside the agents' import flows.
type metaverse struct {
	version      int // moves
	provisioning string
	deletions    []deletion
	schema       string
	ranks        []rank
}

type deletion struct {
	id, class, kind string
	agents          []string // GUIDs
}

// rank is the precedence of the agents that contribute to an attribute.
type rank struct {
	class, attribute string
	agents           []string // GUIDs, the first wins
}

func (g *generator) metaverse(agents []*agent) *metaverse {
	mv := &metaverse{version: 300 + g.IntN(100), provisioning: "scripted"}
	mv.schema, _ = g.dsml("person", 40<<10)
	known := map[string]int{}
	for _, a := range agents {
		for _, f := range a.imports {
			key := f.target + "/" + f.attribute
			if _, ok := known[key]; !ok {
				known[key] = len(mv.ranks)
				mv.ranks = append(mv.ranks, rank{class: f.target, attribute: f.attribute})
			}
			r := &mv.ranks[known[key]]
			r.agents = append(r.agents, a.id)
		}
	}
	mv.deletions = []deletion{{g.braced(), "person", "declared-any", []string{agents[len(agents)-1].id}}, {g.braced(), "organization", "declared-last", nil}}
	return mv
}
