package simmim

import (
	"fmt"
	"slices"
)

// Expect is an entry that a drift report must have, in the report's words: its severity, what happened, and the line that says
// where (the area, the object and the path, joined by " / ").
type Expect struct{ Severity, Action, Where string }

// Mutation is a change that somebody makes to the configuration.
type Mutation struct {
	Name  string
	apply func(*Installation) ([]Expect, error)
}

// Mutations are one of each kind, which do not get in each other's way.
func (in *Installation) Mutations() []Mutation {
	first, last := in.agents[0], in.agents[len(in.agents)-1]
	all := []Mutation{
		RenameExportFlow(first.name, "mail", "proxyMail"),
		LiftDeleteThreshold(first.name),
		AddContainer(first.name, "OU=Contractors,DC=contoso,DC=example"),
		SwapJoins(first.name),
		ChangeProvisioning("none"),
		ChangeProgram("MVExtension.dll"),
		RemoveAgent(last.name),
	}
	for _, o := range in.policy {
		if o.kind == "ManagementPolicyRule" {
			return append(all, DisableRule(o.get("DisplayName")))
		}
	}
	return all
}

// change is a mutation of one management agent that a report shows at one place in it.
func change(name, agentName string, do func(*agent) (Expect, error)) Mutation {
	return Mutation{name, func(in *Installation) ([]Expect, error) {
		a, err := in.agent(agentName)
		if err != nil {
			return nil, err
		}
		want, err := do(a)
		want.Where = "Management agents / " + agentName + " / " + want.Where
		return []Expect{want}, err
	}}
}

// RenameExportFlow lets an export flow write to another attribute.
func RenameExportFlow(agentName, from, to string) Mutation {
	return change("rename the attribute of an export flow", agentName, func(a *agent) (Expect, error) {
		i := slices.IndexFunc(a.exports, func(f flow) bool { return f.attribute == from && f.kind != "scripted" })
		if i < 0 {
			return Expect{}, fmt.Errorf("%q has no export flow to %q", agentName, from)
		}
		f := &a.exports[i]
		f.attribute = to
		return Expect{"warning", "changed", "Export attribute flow / to " + f.class + " from " + f.target + " / " + from + " / Target attribute"}, nil
	})
}

// LiftDeleteThreshold takes the limit of deletions from an agent's export.
func LiftDeleteThreshold(agentName string) Mutation {
	return change("lift a delete threshold", agentName, func(a *agent) (Expect, error) {
		i := slices.IndexFunc(a.profiles, func(p profile) bool { return p.deleteThreshold > 0 })
		if i < 0 {
			return Expect{}, fmt.Errorf("%q has no delete threshold", agentName)
		}
		a.profiles[i].deleteThreshold = 0
		return Expect{"danger", "removed", "Run profiles / " + a.profiles[i].name + " / Step / Delete threshold"}, nil
	})
}

// AddContainer takes another organizational unit into an agent's first partition.
func AddContainer(agentName, dn string) Mutation {
	return change("add a container", agentName, func(a *agent) (Expect, error) {
		p := &a.partitions[0]
		p.inclusions = append(p.inclusions, dn)
		return Expect{"warning", "added", "Partitions / " + p.name + " / Containers included / " + dn}, nil
	})
}

// SwapJoins lets an agent try its first two join criteria the other way round.
func SwapJoins(agentName string) Mutation {
	return change("swap two join criteria", agentName, func(a *agent) (Expect, error) {
		if len(a.joins) < 2 {
			return Expect{}, fmt.Errorf("%q has no two join criteria", agentName)
		}
		a.joins[0], a.joins[1] = a.joins[1], a.joins[0]
		return Expect{"warning", "reordered", "Join rules / for " + a.joins[0].class + " / Criterion"}, nil
	})
}

// RemoveAgent deletes a management agent, and with it its import flows and what names it in deletion rules.
func RemoveAgent(agentName string) Mutation {
	return Mutation{"remove a management agent", func(in *Installation) ([]Expect, error) {
		a, err := in.agent(agentName)
		if err != nil {
			return nil, err
		}
		in.agents = slices.DeleteFunc(in.agents, func(other *agent) bool { return other == a })
		want := []Expect{{"danger", "removed", "Management agents / " + agentName}}
		for i, d := range in.metaverse.deletions {
			if n := slices.Index(d.agents, a.id); n >= 0 {
				in.metaverse.deletions[i].agents = slices.Delete(slices.Clone(d.agents), n, n+1)
				want = append(want, Expect{"danger", "removed", "Metaverse / Object deletion rules / for " + d.class + " / Management agent " + agentName})
			}
		}
		return append(want, in.metaverse.forget(a)...), nil
	}}
}

// forget takes an agent out of every precedence. What was the last of its kind goes as a whole.
func (mv *metaverse) forget(a *agent) []Expect {
	const flows = "Metaverse / Import attribute flow / to "
	classes := map[string]int{}
	for _, r := range mv.ranks {
		classes[r.class] += len(r.agents)
	}
	for i, r := range mv.ranks {
		mv.ranks[i].agents = slices.DeleteFunc(slices.Clone(r.agents), func(id string) bool { return id == a.id })
		classes[r.class] -= len(r.agents) - len(mv.ranks[i].agents)
	}
	var want []Expect
	gone := map[string]bool{}
	for _, f := range a.imports {
		where := flows + f.target
		if classes[f.target] > 0 {
			where += " / " + f.attribute
			i := slices.IndexFunc(mv.ranks, func(r rank) bool { return r.class == f.target && r.attribute == f.attribute })
			if len(mv.ranks[i].agents) > 0 {
				where += " / from " + a.name + ", " + f.class
			}
		}
		if !gone[where] {
			gone[where] = true
			want = append(want, Expect{"warning", "removed", where})
		}
	}
	return want
}

// ChangeProvisioning sets who provisions: none, scripted, sync-rule or both.
func ChangeProvisioning(kind string) Mutation {
	return Mutation{"change provisioning", func(in *Installation) ([]Expect, error) {
		if in.metaverse.provisioning == kind {
			return nil, fmt.Errorf("it is %s already", kind)
		}
		in.metaverse.provisioning = kind
		return []Expect{{"danger", "changed", "Metaverse / Provisioning"}}, nil
	}}
}

// ChangeProgram replaces a file of the Extensions folder.
func ChangeProgram(name string) Mutation {
	return Mutation{"change a rules extension", func(in *Installation) ([]Expect, error) {
		if in.extensions[name] == nil {
			return nil, fmt.Errorf("there is no extension %q", name)
		}
		in.extensions[name] = append(slices.Clone(in.extensions[name]), "rebuilt"...)
		return []Expect{{"danger", "changed", "Extensions / " + name}}, nil
	}}
}

// DisableRule disables a management policy rule, by its display name.
func DisableRule(name string) Mutation {
	return Mutation{"disable a management policy rule", func(in *Installation) ([]Expect, error) {
		for _, o := range in.policy {
			if o.kind == "ManagementPolicyRule" && o.get("DisplayName") == name {
				o.set("Disabled", "True")
				return []Expect{{"warning", "changed", "Portal policy / Management policy rule " + name + " / Disabled"}}, nil
			}
		}
		return nil, fmt.Errorf("there is no rule %q", name)
	}}
}
