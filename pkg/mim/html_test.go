package mim_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nightshift-hq/nightshift/pkg/mim"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what it was; look at the difference, then run the test with -update:\n%s", file, got)
	}
}

// sampleReport has every kind of entry, and text that would be markup if it were not escaped.
func sampleReport() mim.Report {
	return mim.Report{Version: mim.ReportVersion,
		Before: mim.Side{Name: "19-11-2026-11-30", Server: "SYNC1", Exported: "2026-11-19 23:30:04.000", Agents: 12, Files: 31, Bytes: 12_400_000},
		After:  mim.Side{Name: "20-11-2026-11-30", Server: "SYNC1", Exported: "2026-11-20 23:30:04.000", Agents: 11, Files: 29, Bytes: 12_300_000},
		Changes: []mim.Change{
			{Severity: mim.Danger, Action: mim.Removed, Area: mim.AreaAgents, Object: "SAP <PRD>", Before: "Extensible2", Note: "Accounts of this system are no longer synchronized."},
			{Severity: mim.Danger, Action: mim.Removed, Area: mim.AreaAgents, Object: "Contoso AD", Path: []string{"Run profiles", "Export", "Step", "Delete threshold"}, Before: "100", Note: "A run that deletes far too much is no longer stopped."},
			{Severity: mim.Warning, Action: mim.Changed, Area: mim.AreaAgents, Object: "Contoso AD", Path: []string{"Export attribute flow", "to user from person", "mail"},
				Before: "direct from mail", After: `constant "<script>alert(1)</script>"`, Details: []string{"direct-mapping removed", "constant-mapping added"}},
			{Severity: mim.Warning, Action: mim.Added, Area: mim.AreaAgents, Object: "Contoso AD", Path: []string{"Partitions", "DC=contoso,DC=example", "Containers included", "OU=New"}, After: "OU=New"},
			{Severity: mim.Warning, Action: mim.Reordered, Area: mim.AreaMetaverse, Path: []string{"Import attribute flow", "to person", "mail"}, Before: "from HR, then from AD", After: "from AD, then from HR"},
			{Severity: mim.Notice, Action: mim.Added, Area: mim.AreaSchema, Object: "Binding Mail"},
		}}
}

func TestDriftPages(t *testing.T) {
	t.Parallel()
	quiet := sampleReport()
	quiet.Changes = nil
	for name, report := range map[string]mim.Report{"drift": sampleReport(), "drift-none": quiet} {
		html, err := report.HTML()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".html", html)
		text, err := report.JSON()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".json", text)
	}
}

func TestTheDriftPageStandsAlone(t *testing.T) {
	t.Parallel()
	html, err := sampleReport().HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, never := range []string{"<script", "http://", "https://", "<img", "<link", "@import", "url(", "onclick", "javascript:"} {
		if bytes.Contains(html, []byte(never)) {
			t.Errorf("the page holds %s", never)
		}
	}
	d := xml.NewDecoder(bytes.NewReader(html))
	d.Strict, d.AutoClose, d.Entity = false, []string{"meta"}, xml.HTMLEntity
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("the page's elements do not close: %v", err)
		}
	}
}

func TestNoChangeSaysSo(t *testing.T) {
	t.Parallel()
	html, err := mim.Report{Version: mim.ReportVersion}.HTML()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(html), "<h1>No change</h1>") {
		t.Error("the page does not say that nothing changed")
	}
}

func TestDriftReportsAreReadBack(t *testing.T) {
	t.Parallel()
	text, err := sampleReport().JSON()
	if err != nil {
		t.Fatal(err)
	}
	var got mim.Report
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, sampleReport()) {
		t.Errorf("got %+v", got)
	}
	if err := json.Unmarshal([]byte(`{"changes":[{"severity":"terrible"}]}`), &got); err == nil {
		t.Error("an unknown severity is read")
	}
}
