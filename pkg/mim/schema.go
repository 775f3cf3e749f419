package mim

import "strings"

// schemaNames are the names behind the ids of one DSML schema. The ids are counted anew whenever a schema is refreshed. They are
// only read when somebody asks: mostly, schemas are the same.
type schemaNames struct {
	root element // of an export of a management agent or of the metaverse
	byID map[string]string
}

func (n *schemaNames) read() {
	n.byID = map[string]string{}
	for data := range n.root.children {
		schema, ok := data.path("schema", "dsml", "directory-schema")
		if !ok {
			continue
		}
		for e := range schema.children {
			if id, ok := e.attribute("id"); ok && !e.is("dit-content-rule") {
				n.byID["#"+id] = e.textOf("name")
			}
		}
	}
}

// resolve is the name behind a reference such as "#A0"; references that the schema does not know stay as they are.
func (n *schemaNames) resolve(ref string) string {
	if n == nil {
		return ref
	}
	if n.byID == nil {
		n.read()
	}
	if name := n.byID[ref]; name != "" {
		return name
	}
	return strings.TrimSpace(ref)
}
