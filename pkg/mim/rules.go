package mim

import (
	"strconv"
	"strings"
)

// rule says what an element means to an administrator, and how to compare it. Elements without a rule are compared as they stand.
// A format puts {@attribute}, {child/child} and {.}, which is the element's own text, into words.
type rule struct {
	label    string   // what it is called in a report; "-" leaves it out of the path; empty stands for its own name
	keys     []string // what tells it from its siblings of the same name, as formats; the first that fits
	shown    string   // how it is named in a report, as a format; the key without one
	summary  string   // how it is described in a report, as a format; its content without one
	ordered  func(parent element) bool
	skip     bool // it moves without anybody having changed the configuration
	severity Severity
	note     string // why that matters
	judge    func(c *Change)
}

// rules are looked up by "parent/name", then by name.
type rules map[string]rule

func (r rules) of(parent, name string) rule {
	if found, ok := r[parent+"/"+name]; ok {
		return found
	}
	return r[name]
}

func always(element) bool { return true }

// ranked reports whether the order of import flows means precedence.
func ranked(flows element) bool {
	kind, _ := flows.attribute("type")
	return kind != "equal"
}

var volatile = rule{skip: true}

// schemaRules are about DSML, in management agents and the metaverse.
var schemaRules = rules{
	"schema":                     {label: "Schema"},
	"dsml":                       {label: "-"},
	"directory-schema":           {label: "-"},
	"class/@id":                  volatile, // counted anew by every refresh; references are compared by name
	"attribute-type/@id":         volatile,
	"class":                      {label: "Object class", keys: []string{"{name}"}},
	"attribute-type":             {label: "Attribute", keys: []string{"{name}"}},
	"dit-content-rule":           {label: "Content rule", keys: []string{"{@id}"}},
	"class/attribute":            {label: "Attribute", keys: []string{"{@ref}"}},
	"dit-content-rule/attribute": {label: "Attribute", keys: []string{"{@ref}"}},
	"aux-class":                  {label: "Auxiliary class", keys: []string{"{@ref}"}},
}

// flowRules are about attribute flows, which agents and the metaverse share.
var flowRules = rules{
	"import-attribute-flow": {label: "Import attribute flow", severity: Warning},
	"import-flow-set":       {label: "-", keys: []string{"{@mv-object-type}"}, shown: "to {@mv-object-type}"},
	"import-flows":          {label: "-", keys: []string{"{@mv-attribute}"}, shown: "{@mv-attribute}"},
	"import-flows/@type":    {label: "Precedence"},
	"import-flows/import-flow": {label: "-", keys: []string{"{@id}", "{@src-ma}+{@cd-object-type}"},
		shown: "from {@src-ma}, {@cd-object-type}", summary: "flow", ordered: ranked},
	"per-ma-options": {label: "Options for each management agent"},
	"ma-options":     {label: "-", keys: []string{"{@ma-id}"}},
	"enable-recall":  {label: "Recall of attributes", severity: Warning},

	"export-attribute-flow": {label: "Export attribute flow", severity: Warning},
	"export-flow-set":       {label: "-", keys: []string{"{@cd-object-type}+{@mv-object-type}"}, shown: "to {@cd-object-type} from {@mv-object-type}"},
	"export-flow-set/export-flow": {label: "-", keys: []string{"{@id}", "{@cd-attribute}"}, shown: "{@cd-attribute}",
		summary: "flow", ordered: always},
	"export-flow/@cd-attribute": {label: "Target attribute"},
	"fn/arg":                    {label: "Argument", ordered: always},
	"src-attribute":             {label: "Source attribute", keys: []string{"{.}"}},
}

var agentRules = merge(schemaRules, flowRules, rules{
	"saved-ma-configuration/@server":      volatile,
	"saved-ma-configuration/@export-date": volatile,
	"ma-data":                             {label: "-"},
	"ma-data/version":                     volatile,
	"ma-data/internal-version":            volatile,
	"ma-data/last-modification-time":      volatile,
	"ma-data/ma-ui-settings":              volatile,
	"SyncConfig-refresh-schema":           volatile,
	"ma-data/id":                          volatile, // an agent that was made again or renamed is reported as a whole
	"ma-data/name":                        volatile,
	"ma-data/category":                    {label: "Kind of management agent", severity: Danger, note: "The agent now connects to another kind of system."},
	"ma-data/subtype":                     {label: "Subtype", severity: Warning},
	"ma-data/description":                 {label: "Description"},
	"ma-data/creation-time":               {label: "Created"},
	"attribute-inclusion":                 {label: "Selected attributes"},
	"attribute-inclusion/attribute":       {label: "-", keys: []string{"{.}"}, severity: Warning},

	"stay-disconnector":  {label: "Connector filter", severity: Warning},
	"filter-set":         {label: "-", keys: []string{"{@cd-object-type}"}, shown: "for {@cd-object-type}"},
	"filter-alternative": {label: "Filter", keys: []string{"{@id}"}, summary: "filter"},
	"condition":          {label: "Condition", summary: "condition"},

	"join":              {label: "Join rules", severity: Warning},
	"join-profile":      {label: "-", keys: []string{"{@cd-object-type}"}, shown: "for {@cd-object-type}"},
	"join-criterion":    {label: "Criterion", keys: []string{"{@id}"}, shown: "to {search/@mv-object-type}", summary: "join", ordered: always},
	"attribute-mapping": {label: "Attribute", keys: []string{"{@mv-attribute}"}},

	"projection":    {label: "Projection rules", severity: Warning},
	"class-mapping": {label: "-", keys: []string{"{@id}", "{@cd-object-type}"}, shown: "for {@cd-object-type}", summary: "{@type} to {mv-object-type}"},

	"provisioning-cleanup":       {label: "Deprovisioning", severity: Danger, note: "This decides what happens to accounts that lose their link to the metaverse."},
	"extension":                  {label: "Rules extension", severity: Danger, note: "Another program now decides about the data."},
	"cd-extension":               {label: "Extension of the connection", severity: Warning},
	"assembly-name":              {label: "Assembly", severity: Danger, note: "Another program now decides about the data."},
	"password-sync-allowed":      {label: "Password synchronization allowed", severity: Warning},
	"password-sync":              {label: "Password synchronization", severity: Warning},
	"controller-configuration":   {label: "Controller"},
	"private-configuration":      {label: "Connection", severity: Warning},
	"watermark":                  volatile,
	"column-info/column":         {label: "Column", keys: []string{"{name}"}},
	"multivalued-columns/column": {label: "Column", keys: []string{"{name}"}},
	"extra-columns/column":       {label: "Column", keys: []string{"{name}"}},
	"column-info":                {label: "Columns", keys: []string{"{@name}"}},
	"dn-construction":            {label: "Anchor construction", severity: Warning},
	"dn-construction/attribute":  {label: "Attribute", ordered: always},
	"component_mappings":         {label: "Provisioning hierarchy"},
	"component_mappings/mapping": {label: "-", keys: []string{"{dn_component}"}, summary: "{object_class}"},

	"ma-partition-data":                {label: "Partitions", severity: Warning},
	"ma-partition-data/partition":      {label: "-", keys: []string{"{id}", "{name}"}, shown: "{name}", summary: "selected {selected}"},
	"partition/id":                     {label: "Identifier", severity: Notice},
	"partition/name":                   {label: "Name"},
	"partition/version":                volatile,
	"partition/creation-time":          {label: "Created", severity: Notice},
	"partition/last-modification-time": volatile,
	"partition/last-successful-batch":  volatile,
	"current/batch-number":             volatile,
	"current/sequence-number":          volatile,
	"partition/selected":               {label: "Selected"},
	"adma-partition-data":              {label: "-"},
	"adma-partition-data/cookie":       volatile,
	"adma-partition-data/last-dc":      volatile,
	"partition/filter":                 {label: "-"},
	"filter/containers":                {label: "-"},
	"inclusions":                       {label: "Containers included"},
	"exclusions":                       {label: "Containers excluded"},
	"inclusion":                        {label: "-", keys: []string{"{.}"}},
	"exclusion":                        {label: "-", keys: []string{"{.}"}},
	"filter/object-classes":            {label: "Object classes"},
	"object-classes/object-class":      {label: "-", keys: []string{"{name}", "{.}"}},
	"hierarchy/object-class":           {label: "Object class", ordered: always},
	"filter-hints":                     {label: "Filter hints", severity: Notice},

	"ma-run-data":                              {label: "Run profiles", severity: Warning},
	"run-configuration":                        {label: "-", keys: []string{"{id}", "{name}"}, shown: "{name}", summary: "steps"},
	"run-configuration/id":                     {label: "Identifier", severity: Notice},
	"run-configuration/name":                   {label: "Name"},
	"run-configuration/version":                volatile,
	"run-configuration/creation-time":          {label: "Created", severity: Notice},
	"run-configuration/last-modification-time": volatile,
	"run-configuration/configuration":          {label: "-"},
	"configuration/step":                       {label: "Step", ordered: always, summary: "step"},
	"step-type":                                {label: "-"},
	"step-type/@type":                          {label: "Type"},
	"step/partition":                           {label: "Partition"},
	"threshold":                                {label: "-"},
	"threshold/delete":                         {label: "Delete threshold", judge: threshold},
	"threshold/object":                         {label: "Object threshold", judge: threshold},
	"threshold/batch-size":                     {label: "Batch size"},
})

var metaverseRules = merge(schemaRules, flowRules, rules{
	"saved-mv-configuration/@server":      volatile,
	"saved-mv-configuration/@export-date": volatile,
	"mv-data":                             {label: "-"},
	"mv-data/version":                     volatile,
	"provisioning":                        {label: "Provisioning", severity: Danger, note: "This decides whether accounts are created and removed in the connected systems."},
	"provisioning/@type":                  {label: "-"},
	"mv-deletion":                         {label: "Object deletion rules", severity: Danger, note: "This decides when people and groups are deleted."},
	"mv-deletion-rule":                    {label: "-", keys: []string{"{@id}", "{@mv-object-type}"}, shown: "for {@mv-object-type}", summary: "{@type}"},
	"mv-deletion-rule/src-ma":             {label: "Management agent", keys: []string{"{.}"}},
	"extension":                           {label: "Rules extension", severity: Danger, note: "Another program now decides about the data."},
	"assembly-name":                       {label: "Assembly"},
	"password-sync":                       {label: "Password synchronization", severity: Warning},
})

var portalRules = rules{
	"ExportObject":                             {label: "-"},
	"ExportObject/Source":                      volatile,
	"ResourceManagementObject":                 {label: "-"},
	"ResourceManagementAttributes":             {label: "-"},
	"ResourceManagementAttribute":              {label: "-", keys: []string{"{AttributeName}"}},
	"ResourceManagementAttribute/HasReference": {label: "Is a reference"},
	"ResourceManagementAttribute/IsMultiValue": {label: "Has several values"},
	"ResourceManagementAttribute/Value":        {label: "-"},
	"ResourceManagementAttribute/Values":       {label: "-"},
	"Values/string":                            {label: "-", keys: []string{"{.}"}},
}

// volatileAttributes of portal objects are computed, or tell when and not what.
var volatileAttributes = map[string]bool{
	"ComputedMember": true, "CreatedTime": true, "ResourceTime": true,
	"ExpectedRulesList": true, "DetectedRulesList": true,
}

func merge(all ...rules) rules {
	merged := rules{}
	for _, some := range all {
		for name, r := range some {
			merged[name] = r
		}
	}
	return merged
}

// embeddedRules are for XML in the values of portal attributes, such as workflows and flows of synchronization rules.
var embeddedRules = rules{
	"fn/arg": {label: "Argument", ordered: always},
}

// threshold judges a limit of deletions or objects: without it, or with a higher one, a run stops later or never.
func threshold(c *Change) {
	was, errWas := strconv.Atoi(strings.TrimSpace(c.Before))
	is, errIs := strconv.Atoi(strings.TrimSpace(c.After))
	switch {
	case c.Action == Removed, errWas == nil && errIs == nil && (is > was || is == 0):
		c.Severity = Danger
		c.Note = "A run that deletes far too much is no longer stopped where it was."
	case c.Action == Added:
		c.Severity = Notice
	}
}
