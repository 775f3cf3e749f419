package mim

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"testing/fstest"
)

// xmlSeeds are the oddities of real exports, and what is no XML.
var xmlSeeds = []string{
	"<a/>", "<a b='1' c=\"&lt;2&gt;\">x<b/>y<![CDATA[<z>]]></a>", "\xef\xbb\xbf<?xml version=\"1.0\"?>\r\n<a>\r\n</a>\r\n",
	"<s server='S'>\r\n<!--WARNING>\r\n!!\r\n</WARNING-->\r\n<d:x xmlns:d=\"u\" d:y='1'/></s>", "<a>&#x1F600;&#10;</a>", "<a> </a>", "<a>\n<b> </b>\n</a>",
	"<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", "<a></b>", "<a", "<a b>", "<a b='1' b='2'/>", "<a>]]></a>", "<a>\x00</a>", "", "x", "<a/><b/>", "\xff\xfe<\x00a\x00/\x00>\x00",
}

// event is what a reader makes of XML, whoever the reader is: names without prefixes, text in one piece.
type events struct{ strings.Builder }

func (e *events) start(name string) { e.WriteString("<" + name) }

func treeEvents(e element, out *events) {
	out.start(e.name())
	n := e.node()
	for _, a := range e.doc.attrs[n.attrFrom:n.attrTo] {
		name := e.doc.scan.bytes(a.name)
		if i := bytes.LastIndexByte(name, ':'); i >= 0 {
			name = name[i+1:]
		}
		out.WriteString(" " + string(name) + "=" + normalBreaks(e.doc.attributeValue(a)))
	}
	out.WriteString(">")
	for i := n.first; i != 0; i = e.doc.nodes[i].next {
		switch child := e.doc.nodes[i]; child.kind {
		case startTag:
			treeEvents(element{e.doc, i}, out)
		case text:
			out.WriteString(squeeze(string(decodeText(nil, e.doc.scan.bytes(child.body)))))
		default:
			out.WriteString(squeeze(string(e.doc.scan.bytes(child.body))))
		}
	}
	out.WriteString("</>")
}

func normalBreaks(s string) string { return strings.ReplaceAll(s, "\r", "\n") }

// squeeze drops white space: where it is layout is this package's own decision.
func squeeze(s string) string { return strings.Join(strings.Fields(s), "") }

// libraryEvents is what encoding/xml makes of the same text; ok is false when it refuses it.
func libraryEvents(s string) (string, bool) {
	var out events
	d := xml.NewDecoder(strings.NewReader(s))
	depth, roots := 0, 0
	for {
		t, err := d.Token()
		if err == io.EOF {
			return out.String(), roots == 1
		}
		if err != nil {
			return "", false
		}
		switch t := t.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			depth++
			out.start(t.Name.Local)
			for _, a := range t.Attr {
				out.WriteString(" " + a.Name.Local + "=" + normalBreaks(a.Value))
			}
			out.WriteString(">")
		case xml.EndElement:
			depth--
			out.WriteString("</>")
		case xml.CharData:
			if depth > 0 {
				out.WriteString(squeeze(string(t)))
			} else if squeeze(string(t)) != "" {
				return "", false
			}
		case xml.Directive:
			return "", false
		}
	}
}

// FuzzXML holds the reader against encoding/xml: what both accept, both understand in the same way.
func FuzzXML(f *testing.F) {
	for _, seed := range xmlSeeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var d document
		err := d.readDocument(strings.NewReader(s))
		if err != nil {
			return
		}
		for i, n := range d.nodes {
			if n.whole.from > n.whole.to || int(n.whole.to) > len(d.scan.buf) || n.next != 0 && int(n.next) <= i {
				t.Fatalf("node %d of %q is out of place: %+v", i, s, n)
			}
		}
		want, ok := libraryEvents(strings.TrimPrefix(s, "\xef\xbb\xbf"))
		if !ok || strings.Contains(s, "<?xml") || strings.HasPrefix(s, "\xff\xfe") || strings.HasPrefix(s, "\xfe\xff") {
			return
		}
		var got events
		treeEvents(d.root(), &got)
		if got.String() != want {
			t.Errorf("%q is read as\n%s\nwant\n%s", s, got.String(), want)
		}
	})
}

var fuzzPlaces = []string{"MAExports/a.xml", "PortalExport/policy.xml", "ServerExport/MV.XML", "MAExtensions/a.dll", "a.txt"}

// FuzzCompare compares anything with anything: no panic, and nothing that differs from itself.
func FuzzCompare(f *testing.F) {
	const ma = "<saved-ma-configuration><ma-data><id>{1}</id><name>A</name><category>AD</category>%</ma-data></saved-ma-configuration>"
	for _, seed := range []string{"<join/>", "<novelty><a>1</a><a>2</a></novelty>", "<schema><dsml><directory-schema><class id='C0'><name>x</name><attribute ref='#A0'/></class></directory-schema></dsml></schema>",
		"<ma-run-data><run-configuration><id>1</id><name>E</name><configuration><step><threshold><delete>1</delete></threshold></step></configuration></run-configuration></ma-run-data>"} {
		f.Add(strings.Replace(ma, "%", seed, 1), strings.Replace(ma, "%", "", 1), uint8(0))
	}
	f.Add("<Results><ExportObject><ResourceManagementObject><ObjectIdentifier>u</ObjectIdentifier></ResourceManagementObject></ExportObject></Results>", "<Results/>", uint8(1))
	f.Fuzz(func(t *testing.T, a, b string, place uint8) {
		name := fuzzPlaces[int(place)%len(fuzzPlaces)]
		var sides [2]*Backup
		for i, s := range []string{a, b} {
			backup, err := ReadBackup(fstest.MapFS{name: {Data: []byte(s)}})
			if err != nil {
				return
			}
			sides[i] = backup
		}
		for _, pair := range [][2]*Backup{{sides[0], sides[1]}, {sides[1], sides[0]}, {sides[0], sides[0]}} {
			report, err := Compare(context.Background(), pair[0], pair[1])
			if err != nil {
				return
			}
			if pair[0] == pair[1] && len(report.Changes) > 0 {
				t.Errorf("%q differs from itself: %v", a, report.Changes)
			}
			if _, err := report.HTML(); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"version":1,"runId":"r","server":"s","started":"2026-11-20T23:30:00Z","finished":"2026-11-20T23:40:00Z","parts":[{"name":"MAExports","outcome":"ok","files":[{"path":"MAExports\\a.xml","size":1,"sha256":"0000000000000000000000000000000000000000000000000000000000000000"}]}]}`))
	f.Add([]byte("\xff\xfe{\x00}\x00"))
	f.Add([]byte(`{"version":1,"parts":[{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseManifest(bytes.NewReader(b))
		if err != nil {
			return
		}
		for _, file := range m.Files() {
			if strings.HasPrefix(file.Path, "/") || strings.Contains("/"+file.Path+"/", "/../") || strings.Contains(file.Path, `\`) {
				t.Errorf("the path %q is accepted", file.Path)
			}
		}
		text, err := m.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseManifest(bytes.NewReader(text)); err != nil {
			t.Errorf("what is written is not read again: %v", err)
		}
		if _, err := m.RestoreGuide(m.Started); err != nil {
			t.Error(err)
		}
	})
}

func FuzzVerify(f *testing.F) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if w, err := z.Create("MAExports/a.xml"); err == nil {
		io.WriteString(w, "<a/>") //nolint:errcheck // a buffer does not fail
	}
	z.Close() //nolint:errcheck // nor does it here
	f.Add(b.Bytes(), int64(4))
	f.Add([]byte("PK\x05\x06"+strings.Repeat("\x00", 18)), int64(0))
	f.Fuzz(func(t *testing.T, archive []byte, size int64) {
		m := Manifest{Version: 1, RunID: "r", Server: "s", Parts: []Part{{Name: PartAgents, Outcome: OutcomeOK,
			Files: []ManifestFile{{Path: "MAExports/a.xml", Size: size, SHA256: strings.Repeat("0", 64)}}}}}
		m.Started = m.Started.AddDate(2026, 0, 0)
		m.Finished = m.Started
		problems, err := Verify(context.Background(), bytes.NewReader(archive), int64(len(archive)), m, Limits{Files: 100, Bytes: 1 << 20})
		if err == nil && len(problems) == 0 {
			t.Error("a file of another hash is no problem")
		}
	})
}
