package mim_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/nightshift-hq/nightshift/pkg/mim"
)

const (
	hrID = "{11111111-0000-0000-0000-000000000001}"
	adID = "{11111111-0000-0000-0000-000000000002}"
)

// agentXML is the export of a management agent, written as MIM writes it.
func agentXML(id, name, content string) string {
	return strings.ReplaceAll(fmt.Sprintf(`<saved-ma-configuration server='SYNC1' export-date='2026-11-20 23:30:01.000'>
<!--WARNING>
!! The contents of this file should not be edited.
</WARNING-->
<ma-data>
 <format-version>1</format-version>
 <id>%s</id>
 <name>%s</name>
 <category>AD</category>
 %s
</ma-data>
</saved-ma-configuration>
`, id, name, content), "\n", "\r\n")
}

func metaverseXML(content string) string {
	return "<saved-mv-configuration server='SYNC1' export-date='2026-11-20 23:30:01.000'>\n<mv-data>\n" + content + "\n</mv-data>\n</saved-mv-configuration>\n"
}

func portalXML(objects string) string {
	return "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Results>" + objects + "</Results>"
}

func portalObject(kind, id string, attributes ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<ExportObject><Source>http://localhost:5725/</Source><ResourceManagementObject><ObjectIdentifier>urn:uuid:%s</ObjectIdentifier>`+
		`<ObjectType>%s</ObjectType><IsPlaceholder>false</IsPlaceholder><ResourceManagementAttributes>`, id, kind)
	for i := 0; i < len(attributes); i += 2 {
		value := "<Value>" + attributes[i+1] + "</Value>"
		if strings.Contains(attributes[i+1], "|") {
			value = "<Values><string>" + strings.ReplaceAll(attributes[i+1], "|", "</string><string>") + "</string></Values>"
		}
		fmt.Fprintf(&b, `<ResourceManagementAttribute><AttributeName>%s</AttributeName>%s</ResourceManagementAttribute>`, attributes[i], value)
	}
	return b.String() + `</ResourceManagementAttributes></ResourceManagementObject></ExportObject>`
}

type files map[string]string

func (f files) backup(t testing.TB) *mim.Backup {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, content := range f {
		fsys[name] = &fstest.MapFile{Data: []byte(content)}
	}
	b, err := mim.ReadBackup(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func drift(t testing.TB, before, after files) mim.Report {
	t.Helper()
	report, err := mim.Compare(context.Background(), before.backup(t), after.backup(t))
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func lines(report mim.Report) []string {
	var all []string
	for _, c := range report.Changes {
		all = append(all, c.String())
	}
	return all
}

// Each row is a piece of a management agent before and after, and what an administrator reads about it.
func TestWhatChangedInAnAgent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after string
		want          []string
	}{
		"what moves with every run is no change": {
			`<version>1</version><last-modification-time>a</last-modification-time><internal-version>1</internal-version><ma-ui-settings><a/></ma-ui-settings>`,
			`<version>2</version><last-modification-time>b</last-modification-time><internal-version>2</internal-version><ma-ui-settings><b/></ma-ui-settings>`, nil},
		"layout is no change": {`<join></join><extension/>`, "<join>\n</join>\n<extension />", nil},
		"an element that nobody knows is compared and named": {`<novelty><depth>1</depth></novelty>`, `<novelty><depth>2</depth></novelty>`,
			[]string{`notice: changed Management agents / AD / novelty / depth: "1" -> "2"`}},
		"an attribute that nobody knows too": {`<novelty depth='1'/>`, `<novelty depth='2'/>`,
			[]string{`notice: changed Management agents / AD / novelty / depth: "1" -> "2"`}},
		"a list that nobody knows is a set": {`<novelty><a>1</a><a>2</a></novelty>`, `<novelty><a>2</a><a>1</a><a>3</a></novelty>`,
			[]string{`notice: added Management agents / AD / novelty / a 3: "" -> "3"`}},
		"a lifted delete threshold is dangerous": {
			`<ma-run-data><run-configuration><id>{1}</id><name>Export</name><configuration><step><step-type type="export"/><threshold><delete>100</delete></threshold></step></configuration></run-configuration></ma-run-data>`,
			`<ma-run-data><run-configuration><id>{1}</id><name>Export</name><configuration><step><step-type type="export"/><threshold></threshold></step></configuration></run-configuration></ma-run-data>`,
			[]string{`danger: removed Management agents / AD / Run profiles / Export / Step / Delete threshold: "100" -> ""`}},
		"a lowered delete threshold is not": {
			`<ma-run-data><run-configuration><id>{1}</id><name>Export</name><configuration><step><step-type type="export"/><threshold><delete>100</delete></threshold></step></configuration></run-configuration></ma-run-data>`,
			`<ma-run-data><run-configuration><id>{1}</id><name>Export</name><configuration><step><step-type type="export"/><threshold><delete>50</delete></threshold></step></configuration></run-configuration></ma-run-data>`,
			[]string{`warning: changed Management agents / AD / Run profiles / Export: "export, delete threshold 100" -> "export, delete threshold 50"`}},
		"the order of selected attributes means nothing": {
			`<attribute-inclusion><attribute>a</attribute><attribute>b</attribute></attribute-inclusion>`,
			`<attribute-inclusion><attribute>b</attribute><attribute>a</attribute></attribute-inclusion>`, nil},
		"an organizational unit comes in": {
			`<ma-partition-data><partition><id>{1}</id><name>DC=x</name><filter><containers><inclusions/></containers></filter></partition></ma-partition-data>`,
			`<ma-partition-data><partition><id>{1}</id><name>DC=x</name><filter><containers><inclusions><inclusion>OU=New,DC=x</inclusion></inclusions></containers></filter></partition></ma-partition-data>`,
			[]string{`warning: added Management agents / AD / Partitions / DC=x / Containers included / OU=New,DC=x: "" -> "OU=New,DC=x"`}},
		"schema ids are counted anew by a refresh": {
			`<schema><dsml><directory-schema><class id="C0"><name>user</name><attribute ref="#A0"/></class><attribute-type id="A0"><name>mail</name></attribute-type></directory-schema></dsml></schema>`,
			`<schema><dsml><directory-schema><class id="C7"><name>user</name><attribute ref="#A9"/></class><attribute-type id="A9"><name>mail</name></attribute-type></directory-schema></dsml></schema>`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := drift(t, files{"MAExports/AD.xml": agentXML(adID, "AD", c.before)}, files{"MAExports/AD.xml": agentXML(adID, "AD", c.after)})
			if got := lines(report); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestWhatHappenedToAgents(t *testing.T) {
	t.Parallel()
	hr, ad := agentXML(hrID, "HR", ""), agentXML(adID, "AD", "")
	for name, c := range map[string]struct {
		before, after files
		want          []string
	}{
		"none": {files{"MAExports/HR.xml": hr}, files{"MAExports/HR.xml": hr}, nil},
		"gone": {files{"MAExports/HR.xml": hr, "MAExports/AD.xml": ad}, files{"MAExports/AD.xml": ad},
			[]string{`danger: removed Management agents / HR: "AD" -> ""`}},
		"new": {files{"MAExports/AD.xml": ad}, files{"MAExports/HR.xml": hr, "MAExports/AD.xml": ad},
			[]string{`warning: added Management agents / HR: "" -> "AD"`}},
		"renamed": {files{"MAExports/HR.xml": hr}, files{"MAExports/Staff.xml": agentXML(hrID, "Staff", "")},
			[]string{`warning: renamed Management agents / Staff: "HR" -> "Staff"`}},
		"made again": {files{"MAExports/HR.xml": hr}, files{"MAExports/HR.xml": agentXML(adID, "HR", "")},
			[]string{`danger: recreated Management agents / HR: "` + hrID + `" -> "` + adID + `"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := lines(drift(t, c.before, c.after)); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}
