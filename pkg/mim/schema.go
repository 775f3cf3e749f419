package mim

import "strings"

// schemaNames are the names behind the ids of one DSML schema. The ids are counted anew whenever a schema is refreshed.
type schemaNames map[string]string

// readSchemaNames looks for a schema in an export of a management agent or of the metaverse.
func readSchemaNames(root element) schemaNames {
	found := schemaNames{}
	for data := range root.children {
		schema, ok := data.path("schema", "dsml", "directory-schema")
		if !ok {
			continue
		}
		for e := range schema.children {
			if id, ok := e.attribute("id"); ok && !e.is("dit-content-rule") {
				found["#"+id] = e.textOf("name")
			}
		}
	}
	return found
}

// resolve is the name behind a reference such as "#A0"; references that the schema does not know stay as they are.
func (n schemaNames) resolve(ref string) string {
	if name := n[ref]; name != "" {
		return name
	}
	return strings.TrimSpace(ref)
}
