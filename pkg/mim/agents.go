package mim

import "strings"

const partGone = "The later backup has none of them. Was the export complete?"

const agentGone = "Accounts of this system are no longer synchronized, and objects that only it contributed may be deleted."

// agentJobs pairs the management agents and compares each pair.
func (c *comparison) agentJobs() []job {
	before, after := c.forms()
	if len(before) > 0 && len(after) == 0 {
		c.add(Change{Severity: Danger, Action: Removed, Area: AreaBackup, Object: AreaAgents, Before: plural(len(before), "export", "exports"), Note: partGone})
		return nil
	}
	var jobs []job
	taken := map[string]bool{}
	find := func(same func(File) bool) *File {
		for i, f := range after {
			if !taken[f.ID] && same(f) {
				taken[f.ID] = true
				return &after[i]
			}
		}
		return nil
	}
	partner := make([]*File, len(before))
	for i, f := range before {
		partner[i] = find(func(other File) bool { return guid(other.ID) == guid(f.ID) })
	}
	for i, f := range before {
		if partner[i] == nil {
			partner[i] = find(func(other File) bool { return strings.EqualFold(other.Name, f.Name) && !hasID(before, other.ID) })
		}
		if partner[i] == nil {
			c.add(Change{Severity: Danger, Action: Removed, Area: AreaAgents, Object: f.Name, Before: f.Category, Note: agentGone})
			continue
		}
		jobs = append(jobs, c.agentJob(f, *partner[i]))
	}
	for _, f := range after {
		if !taken[f.ID] {
			c.add(Change{Severity: Warning, Action: Added, Area: AreaAgents, Object: f.Name, After: f.Category})
		}
	}
	return jobs
}

func hasID(all []File, id string) bool {
	for _, f := range all {
		if guid(f.ID) == guid(id) {
			return true
		}
	}
	return false
}

// forms are the agents of both sides in the same form: an agent's own export holds import flows, the server's does not.
func (c *comparison) forms() (before, after []File) {
	lists := [2][]File{}
	server := c.sides[0].hasServerForm() && c.sides[1].hasServerForm()
	for i, b := range c.sides {
		byID := map[string]bool{}
		for _, form := range []bool{server, !server} {
			for _, f := range b.Files {
				if f.Kind == KindAgent && f.ServerForm == form && !byID[guid(f.ID)] {
					byID[guid(f.ID)] = true
					lists[i] = append(lists[i], f)
				}
			}
		}
	}
	return lists[0], lists[1]
}

func (b *Backup) hasServerForm() bool {
	for _, f := range b.Files {
		if f.ServerForm {
			return true
		}
	}
	return false
}

func (c *comparison) agentJob(before, after File) job {
	return func(docs *[2]document) error {
		switch {
		case guid(before.ID) != guid(after.ID):
			c.add(Change{Severity: Danger, Action: Recreated, Area: AreaAgents, Object: after.Name, Before: before.ID, After: after.ID,
				Note: "The agent was deleted and made again under the same name: its connector space and its joins are new."})
		case before.Name != after.Name:
			c.add(Change{Severity: Warning, Action: Renamed, Area: AreaAgents, Object: after.Name, Before: before.Name, After: after.Name})
		}
		at := place{area: AreaAgents, object: after.Name, severity: Notice}
		return c.compareTrees(docs, [2]File{before, after}, agentRules, at)
	}
}
