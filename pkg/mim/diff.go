package mim

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// place is where in the report a comparison stands.
type place struct {
	area, object string
	path         []string
	severity     Severity
	note         string
}

// in is the place one step further in.
func (p place) in(r rule, label string) place {
	if label != "" && label != "-" {
		p.path = append(slices.Clip(p.path), label)
	}
	if r.severity != 0 {
		p.severity, p.note = r.severity, r.note
	}
	return p
}

// differ compares elements and collects what is different.
type differ struct {
	rules         rules
	before, after words
	changes       []Change
}

func (d *differ) report(at place, r rule, action Action, before, after string) {
	before, after = excerpts(before, after)
	c := Change{Severity: at.severity, Action: action, Area: at.area, Object: at.object, Path: at.path,
		Before: before, After: after, Note: at.note}
	if r.judge != nil {
		r.judge(&c)
	}
	d.changes = append(d.changes, c)
}

// compare reports what is different between two elements that stand for the same thing.
func (d *differ) compare(a, b element, r rule, at place) {
	if bytes.Equal(a.raw(), b.raw()) {
		return
	}
	if r.summary != "" {
		d.compareSummed(a, b, r, at)
		return
	}
	d.compareContent(a, b, r, at)
}

// compareSummed reports one change with a description of both sides where those differ, and the particulars as its details.
func (d *differ) compareSummed(a, b element, r rule, at place) {
	inner := &differ{rules: d.rules, before: d.before, after: d.after}
	inner.compareContent(a, b, r, at)
	before, after := d.before.summary(a, r.summary), d.after.summary(b, r.summary)
	worst := at.severity
	for _, c := range inner.changes {
		worst = max(worst, c.Severity)
	}
	if before == after || worst > at.severity || len(inner.changes) == 0 {
		d.changes = append(d.changes, inner.changes...)
		return
	}
	d.report(at, r, Changed, before, after)
	for _, c := range inner.changes {
		d.changes[len(d.changes)-1].Details = append(d.changes[len(d.changes)-1].Details, c.detail(len(at.path)))
	}
}

func (d *differ) compareContent(a, b element, r rule, at place) {
	d.compareAttributes(a, b, r, at)
	d.compareText(a, b, r, at)
	d.compareChildren(a, b, r, at)
}

func (d *differ) compareAttributes(a, b element, r rule, at place) {
	element := a.name()
	theirs := map[string]string{}
	for name, value := range b.attributes {
		theirs[name] = value
	}
	for name, before := range a.attributes {
		after, there := theirs[name]
		delete(theirs, name)
		d.compareValue(element, name, r, at, before, after, true, there)
	}
	for name, after := range b.attributes {
		if _, left := theirs[name]; left {
			d.compareValue(element, name, r, at, "", after, false, true)
		}
	}
}

// compareValue compares an attribute that at least one side has.
func (d *differ) compareValue(element, name string, of rule, at place, before, after string, had, has bool) {
	r := d.rules.of(element, "@"+name)
	if r.skip || identity(of, "{@"+name+"}") || had == has && before == after {
		return
	}
	before, after = d.before.value(name, before), d.after.value(name, after)
	if had == has && before == after {
		return
	}
	d.report(at.in(r, cmp.Or(r.label, name)), r, action(had, has), before, after)
}

func action(had, has bool) Action {
	switch {
	case !had:
		return Added
	case !has:
		return Removed
	}
	return Changed
}

// identity reports whether a field only tells an element from its siblings: it is a new one where the element was made again.
func identity(r rule, field string) bool {
	return len(r.keys) > 0 && r.keys[0] == field && field != "{.}"
}

func (d *differ) compareText(a, b element, r rule, at place) {
	before, after := a.text(), b.text()
	if before == after || blank(before) && blank(after) {
		return
	}
	if a.leaf() && b.leaf() {
		before, after = d.before.value("", before), d.after.value("", after)
	} else {
		before, after = strings.TrimSpace(before), strings.TrimSpace(after)
	}
	if before == after || d.compareEmbedded(before, after, at) {
		return
	}
	d.report(at, r, Changed, before, after)
}

// blank reports whether text is layout: nothing, or white space over several lines.
func blank(s string) bool {
	return s == "" || strings.Contains(s, "\n") && strings.TrimSpace(s) == ""
}

// compareEmbedded compares text that is XML itself, as portal policy is full of it, and reports whether that was so.
func (d *differ) compareEmbedded(before, after string, at place) bool {
	if !strings.HasPrefix(strings.TrimSpace(before), "<") || !strings.HasPrefix(strings.TrimSpace(after), "<") {
		return false
	}
	var docs [2]document
	for i, s := range []string{before, after} {
		if err := docs[i].readDocument(strings.NewReader(s)); err != nil {
			return false
		}
	}
	if docs[0].root().name() != docs[1].root().name() {
		return false
	}
	inner := &differ{rules: embeddedRules, before: d.before, after: d.after}
	inner.compare(docs[0].root(), docs[1].root(), rule{}, at)
	if len(inner.changes) == 0 {
		return false // it was written differently, which may still matter to who reads it
	}
	d.changes = append(d.changes, inner.changes...)
	return true
}

// compareChildren pairs the child elements name by name.
func (d *differ) compareChildren(a, b element, r rule, at place) {
	before, after := byName(a), byName(b)
	for _, group := range before.groups {
		d.compareSiblings(r, a, b, group.name, group.elements, after.of(group.name), at)
	}
	for _, group := range after.groups {
		if before.of(group.name) == nil {
			d.compareSiblings(r, a, b, group.name, nil, group.elements, at)
		}
	}
}

type siblings struct {
	name     string
	elements []element
}

type siblingGroups struct{ groups []siblings }

func (g siblingGroups) of(name string) []element {
	for _, group := range g.groups {
		if group.name == name {
			return group.elements
		}
	}
	return nil
}

// byName sorts child elements by name. Elements have few names of children, however many children.
func byName(e element) siblingGroups {
	var g siblingGroups
next:
	for c := range e.children {
		for i := range g.groups {
			if c.is(g.groups[i].name) {
				g.groups[i].elements = append(g.groups[i].elements, c)
				continue next
			}
		}
		g.groups = append(g.groups, siblings{c.name(), []element{c}})
	}
	return g
}

func (d *differ) compareSiblings(parent rule, a, b element, name string, before, after []element, at place) {
	r := d.rules.of(a.name(), name)
	if r.skip || identity(parent, "{"+name+"}") {
		return
	}
	if name == "ResourceManagementAttribute" {
		before, after = lasting(before), lasting(after)
	}
	m := d.match(before, after, r)
	alone := len(before) <= 1 && len(after) <= 1
	for _, p := range m.pairs {
		d.compare(before[p.before], after[p.after], r, d.inside(at, r, name, before[p.before], d.before, p.before, alone))
	}
	for _, i := range m.removed {
		what := d.before.summary(before[i], r.summary)
		d.report(d.inside(at, r, name, before[i], d.before, i, alone), r, Removed, what, "")
	}
	for _, i := range m.added {
		what := d.after.summary(after[i], r.summary)
		d.report(d.inside(at, r, name, after[i], d.after, i, alone), r, Added, "", what)
	}
	if r.ordered != nil && (r.ordered(a) || r.ordered(b)) {
		d.compareOrder(before, after, m.pairs, r, name, at)
	}
}

// inside is the place of one of several siblings.
func (d *differ) inside(at place, r rule, name string, e element, w words, i int, alone bool) place {
	label := cmp.Or(r.label, name)
	at = at.in(r, label)
	called := w.called(e, r)
	if called == "" && !alone {
		called = strconv.Itoa(i + 1)
	}
	switch {
	case called == "":
	case label == "-" || len(at.path) == 0:
		at.path = append(slices.Clip(at.path), called)
	default:
		at.path[len(at.path)-1] += " " + called
	}
	return at
}

// called is the name of an element in a report: what its rule shows, or what tells it from its siblings.
func (w words) called(e element, r rule) string {
	if r.shown != "" {
		return shorten(w.format(e, r.shown))
	}
	for _, key := range r.keys {
		if key == "{@id}" || key == "{id}" {
			continue
		}
		if called := w.format(e, key); called != "" {
			return shorten(called)
		}
	}
	return ""
}

func (c Change) detail(depth int) string {
	line := strings.Join(c.Path[min(depth, len(c.Path)):], " / ") + " " + string(c.Action)
	if c.Before != "" || c.After != "" {
		line += ": " + strconv.Quote(c.Before) + " → " + strconv.Quote(c.After)
	}
	return strings.TrimSpace(line)
}

// lasting leaves out the attributes of a portal object that move by themselves.
func lasting(attributes []element) []element {
	return slices.DeleteFunc(slices.Clone(attributes), func(e element) bool { return volatileAttributes[e.textOf("AttributeName")] })
}
