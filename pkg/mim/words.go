package mim

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxShown is how much of a value a report shows, in bytes: enough to see what changed, little enough for a phone.
const maxShown = 600

// words puts elements into words, with the names of one backup.
type words struct {
	names  *names
	schema *schemaNames
}

// format fills a format of a rule: "{@cd-object-type} to {mv-object-type}". What is not there stays empty.
func (w words) format(e element, format string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(format, "{")
		b.WriteString(before)
		if !found {
			return strings.TrimSpace(b.String())
		}
		var field string
		field, format, _ = strings.Cut(rest, "}")
		b.WriteString(w.field(e, field))
	}
}

// field is what a path in an element leads to: "@type", ".", "name", "search/@mv-object-type".
func (w words) field(e element, path string) string {
	for {
		step, rest, more := strings.Cut(path, "/")
		if more {
			var ok bool
			if e, ok = e.child(step); !ok {
				return ""
			}
			path = rest
			continue
		}
		if name, is := strings.CutPrefix(step, "@"); is {
			value, _ := e.attribute(name)
			return w.value(name, value)
		}
		if step == "." {
			return w.value("", strings.TrimSpace(e.text()))
		}
		return w.value("", e.textOf(step))
	}
}

// value puts names in place of identifiers.
func (w words) value(attribute, value string) string {
	if w.names == nil {
		return value
	}
	if attribute == "ref" || attribute == "superior" {
		return w.schema.resolve(value)
	}
	return w.names.resolve(value)
}

// summary describes an element in one line.
func (w words) summary(e element, kind string) string {
	switch kind {
	case "":
		return shorten(w.content(e))
	case "flow":
		return w.flow(e)
	case "join":
		return w.join(e)
	case "filter":
		return w.filter(e)
	case "condition":
		return w.condition(e)
	case "step":
		return w.step(e)
	case "steps":
		return w.steps(e)
	default:
		return w.format(e, kind)
	}
}

// flow describes an attribute flow: "direct from displayName".
func (w words) flow(e element) string {
	var parts []string
	for mapping := range e.children {
		var sources []string
		for source := range mapping.children {
			if source.is("src-attribute") {
				sources = append(sources, strings.TrimSpace(source.text()))
			}
		}
		from := ""
		if len(sources) > 0 {
			from = " from " + strings.Join(sources, ", ")
		}
		switch kind := mapping.name(); kind {
		case "direct-mapping":
			parts = append(parts, "direct"+from)
		case "constant-mapping":
			parts = append(parts, fmt.Sprintf("constant %q", mapping.textOf("constant-value")))
		case "scripted-mapping":
			parts = append(parts, fmt.Sprintf("scripted as %q%s", mapping.textOf("script-context"), from))
		case "sync-rule-mapping":
			parts = append(parts, w.syncRuleFlow(mapping, from))
		default:
			parts = append(parts, kind+" "+w.content(mapping))
		}
	}
	return shorten(strings.Join(parts, "; "))
}

func (w words) syncRuleFlow(mapping element, from string) string {
	kind, _ := mapping.attribute("mapping-type")
	what := kind + from
	if value, ok := mapping.child("sync-rule-value"); ok {
		if fn, ok := value.path("export-flow", "fn"); ok {
			what = w.expression(fn)
		} else if fn, ok := value.path("import-flow", "fn"); ok {
			what = w.expression(fn)
		} else if kind == "constant" {
			what = fmt.Sprintf("constant %q", strings.TrimSpace(value.text()))
		}
	}
	if id, ok := mapping.attribute("sync-rule-id"); ok {
		what += ", synchronization rule " + w.value("", id)
	}
	if initial, _ := mapping.attribute("initial-flow-only"); initial == "true" {
		what += ", initial flow only"
	}
	return what
}

// expression writes a function of a synchronization rule as the portal shows it: "CN="+accountName.
func (w words) expression(fn element) string {
	var args []string
	for arg := range fn.children {
		if inner, ok := arg.child("fn"); ok {
			args = append(args, w.expression(inner))
		} else {
			args = append(args, strings.TrimSpace(arg.text()))
		}
	}
	id, _ := fn.attribute("id")
	if id == "+" {
		return strings.Join(args, "+")
	}
	return id + "(" + strings.Join(args, ", ") + ")"
}

// join describes a join criterion: "person: accountName = sAMAccountName".
func (w words) join(e element) string {
	var conditions []string
	search, _ := e.child("search")
	if search.doc != nil {
		for mapping := range search.children {
			attribute, _ := mapping.attribute("mv-attribute")
			conditions = append(conditions, attribute+" = "+w.flow(mapping))
		}
	}
	what := strings.Join(conditions, " and ")
	if id, ok := e.attribute("sync-rule-id"); ok {
		what += ", synchronization rule " + w.value("", id)
	}
	if kind := w.field(e, "resolution/@type"); kind != "" && kind != "none" {
		what += ", resolved by " + kind + " " + w.field(e, "resolution/script-context")
	}
	return shorten(what)
}

func (w words) filter(e element) string {
	var conditions []string
	for c := range e.children {
		conditions = append(conditions, w.condition(c))
	}
	return shorten(strings.Join(conditions, " and "))
}

func (w words) condition(e element) string {
	what := w.format(e, "{@cd-attribute} {@operator}")
	if value := e.textOf("value"); value != "" {
		what += fmt.Sprintf(" %q", value)
	}
	return what
}

// step describes a step of a run profile: "delta-import, to-cs, partition default, delete threshold 100".
func (w words) step(e element) string {
	parts := []string{w.field(e, "step-type/@type")}
	if kind, ok := e.child("step-type"); ok {
		for c := range kind.children {
			parts = append(parts, strings.TrimSpace(c.text()))
		}
	}
	parts = append(parts, prefixed("partition ", w.field(e, "partition")), prefixed("delete threshold ", w.field(e, "threshold/delete")),
		prefixed("object threshold ", w.field(e, "threshold/object")))
	return strings.Join(dropEmpty(parts), ", ")
}

func (w words) steps(e element) string {
	var steps []string
	if configuration, ok := e.child("configuration"); ok {
		for c := range configuration.children {
			steps = append(steps, w.step(c))
		}
	}
	return shorten(strings.Join(steps, "; then "))
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func dropEmpty(all []string) []string {
	var kept []string
	for _, s := range all {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return kept
}

// content is everything in an element, on one line: "type=declared, mv-object-type: person".
func (w words) content(e element) string {
	var parts []string
	for name, value := range e.attributes {
		parts = append(parts, name+"="+w.value(name, value))
	}
	if own := strings.TrimSpace(e.text()); own != "" {
		parts = append(parts, w.value("", own))
	}
	size := 0
	for c := range e.children {
		if size > 2*maxShown {
			break // nobody sees more
		}
		inner := w.content(c)
		switch {
		case inner == "":
			parts = append(parts, c.name())
		case c.leaf():
			parts = append(parts, c.name()+": "+inner)
		default:
			parts = append(parts, c.name()+" ("+inner+")")
		}
		size += len(inner) + len(c.name())
	}
	return strings.Join(parts, ", ")
}

// shorten cuts what is too long to show, and says so.
func shorten(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return fmt.Sprintf("%s… (%d characters)", clean(s[:maxShown]), utf8.RuneCountInString(s))
}

// excerpts shortens two values to where they begin to differ.
func excerpts(a, b string) (string, string) {
	if len(a) <= maxShown && len(b) <= maxShown {
		return a, b
	}
	same := 0
	for same < min(len(a), len(b)) && a[same] == b[same] {
		same++
	}
	from := max(0, same-maxShown/4)
	return excerpt(a, from), excerpt(b, from)
}

func excerpt(s string, from int) string {
	if len(s) <= maxShown {
		return s
	}
	to := min(len(s), from+maxShown)
	cut := clean(s[from:to])
	if from > 0 {
		cut = "…" + cut
	}
	if to < len(s) {
		cut += "…"
	}
	return fmt.Sprintf("%s (%d characters)", cut, utf8.RuneCountInString(s))
}

// clean drops the halves of characters that cutting left.
func clean(s string) string { return strings.ToValidUTF8(s, "") }

// brief is one of several in an order.
func (w words) brief(e element, r rule) string {
	if r.summary == "" {
		return strings.Join(dropEmpty([]string{w.called(e, r), strings.TrimSpace(e.text())}), " ")
	}
	return strings.Join(dropEmpty([]string{w.called(e, r), w.summary(e, r.summary)}), ": ")
}
