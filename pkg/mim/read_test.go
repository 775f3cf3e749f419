package mim_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf16"

	"github.com/nightshift-hq/nightshift/pkg/mim"
)

func utf16Bytes(s string, bigEndian bool) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		if bigEndian {
			b = append(b, byte(unit>>8), byte(unit))
		} else {
			b = append(b, byte(unit), byte(unit>>8))
		}
	}
	return string(b)
}

// Whatever the encoding and the layout, it is the same management agent.
func TestEncodingsAndLayouts(t *testing.T) {
	t.Parallel()
	plain := agentXML(hrID, "Zürich", "<description>Größe</description>")
	declared := `<?xml version="1.0" encoding="windows-1252"?>` + strings.NewReplacer("ü", "\xfc", "ö", "\xf6", "ß", "\xdf").Replace(plain)
	before := files{"MAExports/a.xml": plain}
	for name, content := range map[string]string{
		"UTF-8 with byte order mark":      "\xef\xbb\xbf" + plain,
		"with an XML declaration":         `<?xml version="1.0" encoding="utf-8"?>` + plain,
		"UTF-16 little endian":            "\xff\xfe" + utf16Bytes(plain, false),
		"UTF-16 big endian":               "\xfe\xff" + utf16Bytes(plain, true),
		"UTF-16 without byte order mark":  utf16Bytes(plain, false),
		"windows-1252":                    declared,
		"line feeds only":                 strings.ReplaceAll(plain, "\r\n", "\n"),
		"other quotes":                    strings.ReplaceAll(plain, "'", `"`),
		"everything on one line of 64 kB": strings.ReplaceAll(plain, "\r\n", "") + strings.Repeat(" ", 64<<10),
		"characters by number":            strings.ReplaceAll(plain, "ö", "&#xF6;"),
		"text as CDATA":                   strings.ReplaceAll(plain, "Größe", "<![CDATA[Größe]]>"),
	} {
		b := files{"MAExports/a.xml": content}.backup(t)
		if agents := b.Agents(); len(agents) != 1 || agents[0].Name != "Zürich" || agents[0].ID != hrID || agents[0].Category != "AD" {
			t.Errorf("%s: read as %+v", name, agents)
		}
		if got := lines(drift(t, before, files{"MAExports/a.xml": content})); len(got) != 0 {
			t.Errorf("%s: differs: %q", name, got)
		}
	}
}

func TestWhatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"":    `read "MAExports/a.xml": the file is empty`,
		"oh!": `expected XML, found "oh!"`,
		`<?xml version="1.0" encoding="EBCDIC"?><a/>`:            `encoding "EBCDIC" is not supported`,
		"<saved-ma-configuration><ma-data/>":                     "the file ends inside the management agent",
		"<saved-ma-configuration></saved-ma-configuration>":      "has no id",
		`<!DOCTYPE a [<!ENTITY x "y">]><saved-ma-configuration>`: "no document type is expected",
	} {
		_, err := mim.ReadBackup(fstest.MapFS{"MAExports/a.xml": {Data: []byte(content)}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", content, err, want)
		}
	}
	if _, err := mim.ReadBackup(fstest.MapFS{}); err == nil {
		t.Error("an empty folder is read as a backup")
	}
}

func TestAPartThatIsMissingIsOneChange(t *testing.T) {
	t.Parallel()
	all := files{"MAExports/HR.xml": agentXML(hrID, "HR", ""), "MAExports/AD.xml": agentXML(adID, "AD", ""), "MAExtensions/x.dll": "MZ",
		"PortalExport/policy.xml": portalXML(portalObject("Set", "1", "DisplayName", "A") + portalObject("Set", "2", "DisplayName", "B"))}
	left := files{"MAExtensions/x.dll": "MZ2"}
	got := lines(drift(t, all, left))
	for _, want := range []string{`danger: removed Backup / Management agents: "2 exports" -> ""`, `danger: removed Backup / PortalExport/policy.xml`} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not reported: %q", want, got)
		}
	}
	if len(got) != 3 {
		t.Errorf("got %q", got)
	}
}

func TestAnExtensionShowsItsVersion(t *testing.T) {
	t.Parallel()
	program := func(version string) files {
		return files{"MAExtensions/HR.dll": "MZ\x90" + utf16Bytes("FileVersion\x00\x00"+version+"\x00", false) + "more"}
	}
	report := drift(t, program("1.0.0.1"), program("1.0.0.2"))
	if len(report.Changes) != 1 || !strings.HasPrefix(report.Changes[0].Before, "version 1.0.0.1, ") || !strings.HasPrefix(report.Changes[0].After, "version 1.0.0.2, ") {
		t.Errorf("got %q", lines(report))
	}
	if got := lines(drift(t, files{"MAExtensions/HR.dll": "MZ"}, files{"MAExtensions/HR.dll": "MZ" + utf16Bytes("FileVersion\x00", false)})); len(got) != 1 || strings.Contains(got[0], "version") {
		t.Errorf("without a version: %q", got)
	}
}
