package mim

import (
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
	"strings"
)

// portalKey tells a record of a portal export: the file, and type and identifier of the object.
type portalKey struct{ file, kind, id string }

type portalEntry struct {
	hash        [sha256.Size]byte
	name        string
	placeholder bool
}

// portalIndex is what has to be remembered of a portal's export to find what is different.
type portalIndex map[portalKey]portalEntry

// index goes through a backup once for the names behind its identifiers.
func (b *Backup) index(ctx context.Context) (*names, portalIndex, error) {
	n, portal := newNames(), portalIndex{}
	d := &document{}
	for _, f := range b.Files {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		switch f.Kind {
		case KindAgent:
			n.add(f.ID, "management agent", f.Name)
		case KindPortal:
			err := b.eachObject(d, f, func(key portalKey, o object) error {
				portal[key] = portalEntry{sha256.Sum256(o.raw()), o.displayName(), o.placeholder()}
				n.add(key.id, key.kind, o.displayName())
				return nil
			})
			if err != nil {
				return nil, nil, err
			}
		}
	}
	return n, portal, nil
}

// object is a record of a portal's export.
type object struct{ element }

func (o object) resource() element {
	if r, ok := o.child("ResourceManagementObject"); ok {
		return r
	}
	return o.element
}

func (o object) placeholder() bool { return o.resource().textOf("IsPlaceholder") == "true" }

// displayName is what administrators call the object. Schema objects also have a system name, which is unique.
func (o object) displayName() string {
	attributes, ok := o.resource().child("ResourceManagementAttributes")
	if !ok {
		return ""
	}
	found := map[string]string{}
	for a := range attributes.children {
		switch name := a.textOf("AttributeName"); name {
		case "DisplayName", "Name":
			found[name] = a.textOf("Value")
		}
	}
	kind := o.resource().textOf("ObjectType")
	if kind == "AttributeTypeDescription" || kind == "ObjectTypeDescription" {
		return cmp.Or(found["Name"], found["DisplayName"])
	}
	return cmp.Or(found["DisplayName"], found["Name"])
}

// eachObject goes through the objects of a portal's export.
func (b *Backup) eachObject(d *document, f File, do func(portalKey, object) error) error {
	r, err := b.fsys.Open(f.Path)
	if err != nil {
		return err
	}
	defer r.Close()
	times := map[portalKey]int{}
	_, err = d.readRecords(r, func() error {
		o := object{d.root()}
		key := portalKey{pairKey(&f), o.resource().textOf("ObjectType"), guid(o.resource().textOf("ObjectIdentifier"))}
		if key.id == "" {
			key.kind, key.id = o.name(), string(o.raw())
		}
		times[key]++
		for range times[key] - 1 {
			key.id += "+"
		}
		return do(key, o)
	})
	if err != nil {
		return fileError("read", f.Path, err)
	}
	return nil
}

// comparePortal compares the objects of the portal's exports, of which it keeps in memory only those that are different.
func (c *comparison) comparePortal(docs *[2]document) error {
	c.compareParts()
	before, err := c.differing(docs)
	if err != nil {
		return err
	}
	for _, f := range c.sides[1].Files {
		if f.Kind != KindPortal {
			continue
		}
		err := c.sides[1].eachObject(&docs[1], f, func(key portalKey, o object) error {
			raw, both := before[key]
			if !both {
				return nil
			}
			return c.compareObjects(docs, key, raw, o)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// compareParts reports a file of the portal's export that only one side has, instead of its thousands of objects.
func (c *comparison) compareParts() {
	c.eachPair(KindPortal, func(*File) bool { return true }, func(before, after *File) {
		switch {
		case before == nil:
			c.add(Change{Severity: Notice, Action: Added, Area: AreaBackup, Object: after.Path})
		case after == nil:
			c.add(Change{Severity: Danger, Action: Removed, Area: AreaBackup, Object: before.Path, Note: partGone})
		}
	})
}

// has reports whether a side has a file of the portal's export.
func (c *comparison) has(side int, name string) bool {
	return slices.ContainsFunc(c.sides[side].Files, func(f File) bool { return f.Kind == KindPortal && pairKey(&f) == name })
}

// differing are the objects of the earlier side that are not the same in the later; gone and new ones are reported.
func (c *comparison) differing(docs *[2]document) (map[portalKey]string, error) {
	found := map[portalKey]string{}
	for _, f := range c.sides[0].Files {
		if f.Kind != KindPortal {
			continue
		}
		err := c.sides[0].eachObject(&docs[0], f, func(key portalKey, o object) error {
			later, there := c.portal[1][key]
			switch {
			case !c.has(1, key.file):
			case !there && !o.placeholder():
				c.add(portalChange(key, o.displayName(), Removed))
			case there && later.hash != c.portal[0][key].hash:
				found[key] = string(o.raw())
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for key, entry := range c.portal[1] {
		if _, there := c.portal[0][key]; !there && !entry.placeholder && c.has(0, key.file) {
			c.add(portalChange(key, entry.name, Added))
		}
	}
	return found, nil
}

func (c *comparison) compareObjects(docs *[2]document, key portalKey, before string, after object) error {
	if err := docs[0].readDocument(strings.NewReader(before)); err != nil {
		return err
	}
	change := portalChange(key, after.displayName(), Changed)
	d := &differ{rules: portalRules, before: words{names: c.names[0]}, after: words{names: c.names[1]}}
	at := place{area: change.Area, object: change.Object, severity: change.Severity}
	d.compare(docs[0].root(), after.element, rule{}, at)
	c.add(d.changes...)
	return nil
}

// portalKinds are the types of portal objects as administrators call them, and how much a change of one matters.
var portalKinds = map[string]struct {
	label    string
	severity Severity
}{
	"ManagementPolicyRule":                 {"Management policy rule", Warning},
	"Set":                                  {"Set", Warning},
	"WorkflowDefinition":                   {"Workflow", Warning},
	"SynchronizationRule":                  {"Synchronization rule", Warning},
	"SynchronizationFilter":                {"Synchronization filter", Warning},
	"EmailTemplate":                        {"Email template", Notice},
	"FilterScope":                          {"Filter permission", Warning},
	"ActivityInformationConfiguration":     {"Activity", Notice},
	"Function":                             {"Function", Notice},
	"SystemResourceRetentionConfiguration": {"Retention of requests", Warning},
	"SearchScopeConfiguration":             {"Search scope", Notice},
	"HomepageConfiguration":                {"Home page link", Notice},
	"NavigationBarConfiguration":           {"Navigation bar link", Notice},
	"ObjectVisualizationConfiguration":     {"Resource control display configuration", Notice},
	"PortalUIConfiguration":                {"Portal configuration", Notice},
	"ConstantSpecifier":                    {"Constant", Notice},
	"DomainConfiguration":                  {"Domain", Warning},
	"ForestConfiguration":                  {"Forest", Warning},
	"AttributeTypeDescription":             {"Attribute type", Notice},
	"ObjectTypeDescription":                {"Resource type", Notice},
	"BindingDescription":                   {"Binding", Notice},
}

var schemaKinds = map[string]bool{"AttributeTypeDescription": true, "ObjectTypeDescription": true, "BindingDescription": true}

func portalChange(key portalKey, name string, action Action) Change {
	c := Change{Severity: Notice, Action: action, Area: AreaPolicy, Object: key.kind + " " + cmp.Or(name, key.id)}
	if kind, known := portalKinds[key.kind]; known {
		c.Severity, c.Object = kind.severity, kind.label+" "+cmp.Or(name, key.id)
	}
	if schemaKinds[key.kind] {
		c.Area = AreaSchema
	}
	if action == Removed {
		c.Severity = max(c.Severity, Warning)
	}
	return c
}
