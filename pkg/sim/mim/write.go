package simmim

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
)

// writer writes XML as MIM does: with CRLF.
type writer struct{ bytes.Buffer }

func (w *writer) line(format string, args ...any) {
	fmt.Fprintf(w, format, args...)
	w.WriteString("\r\n")
}

// wrapped breaks text into lines of 64 kB, between tags.
func (w *writer) wrapped(s string) {
	const length = 64 << 10
	for len(s) > length {
		i := strings.LastIndex(s[:length], "><") + 1
		w.line("%s", s[:i])
		s = s[i:]
	}
	w.line("%s", s)
}

// esc escapes text for elements and attributes.
func esc(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) //nolint:errcheck // a strings.Builder does not fail
	return b.String()
}

func (in *Installation) stamp() string {
	return fmt.Sprintf("2026-11-%02d 23:30:04.%03d", 1+in.night%28, in.night%1000)
}

func (w *writer) open(root string, in *Installation) {
	w.line("<%s server='%s' export-date='%s'>", root, esc(in.server), in.stamp())
	w.line("<!--WARNING>")
	w.line("!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!")
	w.line("!!")
	w.line("!! Made up for tests: no MIM server ever wrote this file.")
	w.line("!!")
	w.line("!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!")
	w.line("</WARNING-->")
}

func (in *Installation) writeAgent(a *agent, withImports bool) []byte {
	w := &writer{}
	w.open("saved-ma-configuration", in)
	w.line("<ma-data>")
	w.line(" <format-version>1</format-version>")
	w.line(" <id>%s</id>", a.id)
	w.line(" <name>%s</name>", esc(a.name))
	w.line(" <category>%s</category>", a.category)
	w.line(" <subtype/>")
	w.line(" <creation-time>%s</creation-time>", a.created)
	w.line(" <last-modification-time>%s</last-modification-time>", in.stamp())
	w.line(" <version>%d</version>", a.version+in.night)
	w.line(" <internal-version>%d</internal-version>", in.night)
	w.line(" <password-sync-allowed>0</password-sync-allowed>")
	w.line(" <schema>")
	w.wrapped(a.schema)
	w.line(" </schema>")
	w.line(" <attribute-inclusion>")
	for _, name := range a.included {
		w.line("  <attribute>%s</attribute>", name)
	}
	w.line(" </attribute-inclusion>")
	w.rules(a)
	if withImports {
		in.writeImports(w, func(id string) bool { return id == a.id })
	}
	w.exports(a)
	w.line(` <provisioning-cleanup type="declared"><action>%s</action></provisioning-cleanup>`, a.deprovisioning)
	if a.assembly == "" {
		w.line(" <extension />")
	} else {
		w.line(" <extension><assembly-name>%s</assembly-name><application-protection>low</application-protection></extension>", a.assembly)
	}
	w.line(" <description></description>")
	w.line(` <ma-ui-settings><filters max_mv_search_results="%d"></filters></ma-ui-settings>`, in.night)
	w.line(" <private-configuration>")
	w.WriteString("  <connection-info>")
	for _, pair := range a.connection {
		fmt.Fprintf(w, "<%s>%s</%s>", pair[0], esc(pair[1]), pair[0])
	}
	w.line("</connection-info>")
	w.line(" </private-configuration>")
	w.line(" <SyncConfig-refresh-schema>%d</SyncConfig-refresh-schema>", in.night%2)
	in.writePartitions(w, a)
	in.writeProfiles(w, a)
	w.line(" <password-sync><maximum-retry-count>10</maximum-retry-count><retry-interval>60</retry-interval></password-sync>")
	w.line("</ma-data>")
	w.line("</saved-ma-configuration>")
	return w.Bytes()
}

func (w *writer) rules(a *agent) {
	w.line(" <stay-disconnector>")
	for _, f := range a.filters {
		w.line(`  <filter-set cd-object-type="%s" type="declared"><filter-alternative id="%s"><condition cd-attribute="%s" operator="%s"><value>%s</value></condition></filter-alternative></filter-set>`,
			f.class, f.id, f.attribute, f.operator, esc(f.value))
	}
	w.line(" </stay-disconnector>")
	w.line(" <join>")
	for i, j := range a.joins {
		if i == 0 || a.joins[i-1].class != j.class {
			w.line(`  <join-profile cd-object-type="%s">`, j.class)
		}
		w.line(`   <join-criterion join-cri-type="none" id="%s">`, j.id)
		w.line(`    <search mv-object-type="%s"><attribute-mapping mv-attribute="%s"><direct-mapping><src-attribute>%s</src-attribute></direct-mapping></attribute-mapping></search>`,
			j.target, j.attribute, j.source)
		w.line(`    <resolution type="none"><script-context></script-context></resolution>`)
		w.line("   </join-criterion>")
		if i == len(a.joins)-1 || a.joins[i+1].class != j.class {
			w.line("  </join-profile>")
		}
	}
	w.line(" </join>")
	w.line(" <projection>")
	for _, p := range a.projections {
		w.line(`  <class-mapping cd-object-type="%s" type="declared" id="%s"><mv-object-type>%s</mv-object-type></class-mapping>`, p.class, p.id, p.target)
	}
	w.line(" </projection>")
}

func (w *writer) exports(a *agent) {
	w.line(" <export-attribute-flow>")
	for i, f := range a.exports {
		if i == 0 {
			w.line(`  <export-flow-set cd-object-type="%s" mv-object-type="%s">`, f.class, f.target)
		}
		w.line(`   <export-flow cd-attribute="%s" id="%s" suppress-deletions="false">%s</export-flow>`, f.attribute, f.id, f.mapping())
	}
	if len(a.exports) > 0 {
		w.line("  </export-flow-set>")
	}
	w.line(" </export-attribute-flow>")
}

func (f flow) mapping() string {
	source := "<src-attribute>" + esc(f.source) + "</src-attribute>"
	switch f.kind {
	case "constant":
		return "<constant-mapping><constant-value>" + esc(f.source) + "</constant-value></constant-mapping>"
	case "scripted":
		return "<scripted-mapping>" + source + "<script-context>" + esc(f.attribute) + "Rule</script-context></scripted-mapping>"
	}
	return "<direct-mapping>" + source + "</direct-mapping>"
}

// writeImports writes the import attribute flows of some agents, by precedence.
func (in *Installation) writeImports(w *writer, of func(id string) bool) {
	w.line(" <import-attribute-flow>")
	class := ""
	for _, r := range in.metaverse.ranksByClass() {
		var flows strings.Builder
		for _, id := range r.agents {
			if f, ok := in.importFlow(id, r); ok && of(id) {
				fmt.Fprintf(&flows, `<import-flow src-ma="%s" cd-object-type="%s" id="%s">%s</import-flow>`, id, f.class, f.id, f.mapping())
			}
		}
		if flows.Len() == 0 {
			continue
		}
		if class != r.class {
			if class != "" {
				w.line("  </import-flow-set>")
			}
			w.line(`  <import-flow-set mv-object-type="%s">`, r.class)
			class = r.class
		}
		w.line(`   <import-flows mv-attribute="%s" type="ranked">%s</import-flows>`, r.attribute, flows.String())
	}
	if class != "" {
		w.line("  </import-flow-set>")
	}
	w.line(" </import-attribute-flow>")
}

func (mv *metaverse) ranksByClass() []rank {
	var all []rank
	done := map[string]bool{}
	for _, first := range mv.ranks {
		if done[first.class] {
			continue
		}
		done[first.class] = true
		for _, r := range mv.ranks {
			if r.class == first.class {
				all = append(all, r)
			}
		}
	}
	return all
}

func (in *Installation) importFlow(id string, r rank) (flow, bool) {
	for _, a := range in.agents {
		for _, f := range a.imports {
			if a.id == id && f.target == r.class && f.attribute == r.attribute {
				return f, true
			}
		}
	}
	return flow{}, false
}

func (in *Installation) writePartitions(w *writer, a *agent) {
	w.line(" <ma-partition-data>")
	for _, p := range a.partitions {
		selected := 0
		if p.selected {
			selected = 1
		}
		w.line(" <partition>")
		w.line("  <id>%s</id>", p.id)
		w.line("  <name>%s</name>", esc(p.name))
		w.line("  <creation-time>%s</creation-time>", a.created)
		w.line("  <last-modification-time>%s</last-modification-time>", in.stamp())
		w.line("  <version>%d</version>", a.version+in.night)
		w.line("  <selected>%d</selected>", selected)
		w.line("  <filter><object-classes>%s</object-classes><containers><exclusions>%s</exclusions><inclusions>%s</inclusions></containers></filter>",
			elements("object-class", p.classes), elements("exclusion", p.exclusions), elements("inclusion", p.inclusions))
		if a.category == "AD" {
			w.line("  <custom-data><adma-partition-data><dn>%s</dn><cookie>TVNEUwMAAAC%08d</cookie><last-dc>dc%d.contoso.example</last-dc></adma-partition-data></custom-data>",
				esc(p.name), in.night, in.night%3)
		}
		w.line("  <current><batch-number>%d</batch-number><sequence-number>%d</sequence-number></current>", in.night, in.night*7)
		w.line("  <last-successful-batch>%d</last-successful-batch>", in.night)
		w.line(" </partition>")
	}
	w.line(" </ma-partition-data>")
}

func elements(name string, values []string) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteString("<" + name + ">" + esc(v) + "</" + name + ">")
	}
	return b.String()
}

func (in *Installation) writeProfiles(w *writer, a *agent) {
	w.line(" <ma-run-data>")
	for _, p := range a.profiles {
		kind := map[string]string{"apply-rules": "apply-rules-subtype"}[p.step]
		if kind == "" {
			kind = "import-subtype"
		}
		subtype, threshold := "", ""
		if p.subtype != "" {
			subtype = elements(kind, []string{p.subtype})
		}
		if p.deleteThreshold > 0 {
			threshold = fmt.Sprintf("<delete>%d</delete>", p.deleteThreshold)
		}
		w.line(" <run-configuration>")
		w.line("  <id>%s</id>", p.id)
		w.line("  <name>%s</name>", esc(p.name))
		w.line("  <creation-time>%s</creation-time>", a.created)
		w.line("  <version>%d</version>", in.night)
		w.line("  <last-modification-time>%s</last-modification-time>", in.stamp())
		w.line(`  <configuration><step><step-type type="%s">%s</step-type><threshold><batch-size>1</batch-size>%s</threshold><partition>%s</partition><custom-data></custom-data></step></configuration>`,
			p.step, subtype, threshold, p.partition)
		w.line(" </run-configuration>")
	}
	w.line(" </ma-run-data>")
}

func (in *Installation) writeMetaverse() []byte {
	w, mv := &writer{}, in.metaverse
	w.open("saved-mv-configuration", in)
	w.line("<mv-data>")
	w.line(" <format-version>1</format-version>")
	w.line(" <version>%d</version>", mv.version+in.night)
	w.line(" <schema>")
	w.wrapped(mv.schema)
	w.line(" </schema>")
	in.writeImports(w, func(string) bool { return true })
	w.line(` <provisioning type="%s" />`, mv.provisioning)
	w.WriteString(" <mv-deletion>")
	for _, d := range mv.deletions {
		fmt.Fprintf(w, `<mv-deletion-rule mv-object-type="%s" id="%s" type="%s">%s</mv-deletion-rule>`, d.class, d.id, d.kind, elements("src-ma", d.agents))
	}
	w.line("</mv-deletion>")
	w.line(" <extension><assembly-name>MVExtension.dll</assembly-name><application-protection>low</application-protection></extension>")
	w.line(" <password-sync><password-sync-enabled>0</password-sync-enabled></password-sync>")
	w.line("</mv-data>")
	w.line("</saved-mv-configuration>")
	return w.Bytes()
}
