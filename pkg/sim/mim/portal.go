package simmim

import (
	"fmt"
	"strings"
)

// object is a resource of the MIM Service.
type object struct {
	id, kind   string
	attributes []attribute
}

type attribute struct {
	name   string
	values []string
	many   bool
}

func (o *object) get(name string) string {
	for _, a := range o.attributes {
		if a.name == name && len(a.values) > 0 {
			return a.values[0]
		}
	}
	return ""
}

func (o *object) set(name string, values ...string) {
	for i, a := range o.attributes {
		if a.name == name {
			o.attributes[i].values = values
			return
		}
	}
	o.attributes = append(o.attributes, attribute{name: name, values: values, many: len(values) > 1})
}

const urn = "urn:uuid:"

func (g *generator) object(kind, name string, more ...attribute) *object {
	id := strings.ToLower(g.guid())
	o := &object{id: id, kind: kind}
	o.attributes = append([]attribute{{name: "ObjectID", values: []string{urn + id}}, {name: "DisplayName", values: []string{name}},
		{name: "Description", values: []string{"Made up: " + name + ". " + strings.Repeat("It explains what it is for. ", 4+g.IntN(4))}},
		{name: "ObjectType", values: []string{kind}}}, more...)
	return o
}

func one(name, value string) attribute { return attribute{name: name, values: []string{value}} }

func many(name string, values ...string) attribute {
	return attribute{name: name, values: values, many: true}
}

// policy makes up sets, management policy rules, workflows, synchronization rules, email templates and search scopes.
func (g *generator) policy(n int) []*object {
	var sets, all []*object
	for i := range max(1, n/8) {
		filter := fmt.Sprintf(`<Filter xmlns="http://schemas.xmlsoap.org/ws/2004/09/enumeration">/Person[Department = 'D%03d']</Filter>`, i)
		sets = append(sets, g.object("Set", fmt.Sprintf("All staff of department %03d", i), one("Filter", filter),
			many("ComputedMember", urn+strings.ToLower(g.guid()), urn+strings.ToLower(g.guid()))))
	}
	for i := len(sets); i < n; i++ {
		set := sets[g.IntN(len(sets))]
		switch i % 5 {
		case 0, 1:
			all = append(all, g.object("ManagementPolicyRule", fmt.Sprintf("Grant %03d: staff read their own data", i), one("Disabled", "False"), one("GrantRight", "True"),
				many("ActionType", "Read", "Modify"), many("ActionParameter", attributes[:6]...), one("PrincipalSet", urn+set.id)))
		case 2:
			xoml := fmt.Sprintf(`<ns0:SequentialWorkflow x:Name="W%d" xmlns:ns0="clr-namespace:Made.Up;Version=4.4.1302.0" xmlns:x="http://schemas.microsoft.com/winfx/2006/xaml"><ns0:EmailNotificationActivity x:Name="mail" To="[//Requestor]" Subject="Welcome %d" /></ns0:SequentialWorkflow>`, i, i)
			all = append(all, g.object("WorkflowDefinition", fmt.Sprintf("Workflow %03d", i), one("RequestPhase", "Action"), one("XOML", xoml)))
		case 3:
			body := `<html><body>` + strings.Repeat("<p>Dear [//Target/DisplayName], this was made up.</p>", 8) + `</body></html>`
			all = append(all, g.object("EmailTemplate", fmt.Sprintf("Mail %03d", i), one("EmailSubject", "Your account"), one("EmailBody", body)))
		default:
			all = append(all, g.object("SynchronizationRule", fmt.Sprintf("Rule %03d", i), one("Precedence", fmt.Sprint(i)), one("ConnectedObjectType", "user"),
				many("PersistentFlow", `<export-flow allows-null="false"><src><attr>displayName</attr></src><dest>displayName</dest><scoping></scoping></export-flow>`,
					`<export-flow allows-null="false"><src><attr>mail</attr></src><dest>mail</dest><scoping></scoping></export-flow>`)))
		}
	}
	return append(all, sets...)
}

// schemaObjects makes up resource types, attribute types and bindings of both.
func (g *generator) schemaObjects(n int) []*object {
	var all []*object
	kinds := []*object{g.object("ObjectTypeDescription", "User", one("Name", "Person")), g.object("ObjectTypeDescription", "Group", one("Name", "Group"))}
	all = append(all, kinds...)
	for i := 0; len(all) < n; i++ {
		name := fmt.Sprintf("Attribute%04d", i)
		a := g.object("AttributeTypeDescription", "Attribute "+name, one("Name", name), one("DataType", "String"), one("Multivalued", "False"))
		all = append(all, a)
		for _, kind := range kinds {
			all = append(all, g.object("BindingDescription", name+" of "+kind.get("DisplayName"), one("BoundAttributeType", urn+a.id), one("BoundObjectType", urn+kind.id),
				one("Required", "False"), many("UsageKeyword", "Microsoft.ResourceManagement.WebServices")))
		}
	}
	return all
}

// writeObjects writes objects as ConvertFrom-FIMResource does. Set members are computed anew every night.
func (in *Installation) writeObjects(objects []*object) []byte {
	w := &writer{}
	w.WriteString("\xef\xbb\xbf")
	w.line(`<?xml version="1.0" encoding="utf-8"?>`)
	w.line(`<Results xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">`)
	for _, o := range objects {
		w.line("  <ExportObject>")
		w.line("    <Source>http://localhost:5725/ResourceManagementService</Source>")
		w.line("    <ResourceManagementObject>")
		w.line("      <ObjectIdentifier>%s</ObjectIdentifier>", urn+o.id)
		w.line("      <ObjectType>%s</ObjectType>", o.kind)
		w.line("      <IsPlaceholder>false</IsPlaceholder>")
		w.line("      <ResourceManagementAttributes>")
		for _, a := range o.attributes {
			in.writeAttribute(w, a)
		}
		in.writeAttribute(w, one("ResourceTime", in.stamp()))
		w.line("      </ResourceManagementAttributes>")
		w.line("      <LocalizedResourceManagementAttributes />")
		w.line("    </ResourceManagementObject>")
		w.line("  </ExportObject>")
	}
	w.WriteString("</Results>")
	return w.Bytes()
}

func (in *Installation) writeAttribute(w *writer, a attribute) {
	values := a.values
	if a.name == "ComputedMember" {
		values = values[:1+in.night%len(values)]
	}
	w.line("        <ResourceManagementAttribute>")
	w.line("          <AttributeName>%s</AttributeName>", a.name)
	w.line("          <HasReference>%t</HasReference>", len(values) > 0 && strings.HasPrefix(values[0], urn))
	w.line("          <IsMultiValue>%t</IsMultiValue>", a.many)
	if a.many {
		w.line("          <Values>")
		for _, v := range values {
			w.line("            <string>%s</string>", esc(v))
		}
		w.line("          </Values>")
	} else {
		w.line("          <Value>%s</Value>", esc(strings.Join(values, "")))
	}
	w.line("        </ResourceManagementAttribute>")
}
