package mim_test

import (
	"bytes"
	"context"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/nightshift-hq/nightshift/pkg/mim"
	simmim "github.com/nightshift-hq/nightshift/pkg/sim/mim"
)

// value matches the text of an element, and an attribute's value.
var value = regexp.MustCompile(`<([\w:-]+)[^<>]*>([^<>\s][^<>]*)</|([\w:-]+)=["']([^"']*)["']`)

// moves are the elements and attributes that may change without being reported: what moves with every run, and identifiers
// that only tell siblings apart.
var moves = []string{"server", "export-date", "version", "internal-version", "last-modification-time", "SyncConfig-refresh-schema",
	"max_mv_search_results", "batch-number", "sequence-number", "last-successful-batch", "cookie", "last-dc", "watermark", "id", "name", "header", "size",
	"xmlns", "Source", "IsPlaceholder"}

// everyValueCounts changes one value after another and expects a report about each.
func everyValueCounts(t *testing.T, name string, content []byte, samples int) {
	t.Helper()
	silent := map[string]int{}
	before := one(t, name, string(content))
	matches := value.FindAllSubmatchIndex(content, -1)
	for i, m := range matches {
		if i%(1+len(matches)/samples) != 0 {
			continue
		}
		what, from, to := 2, 4, 5
		if m[what] < 0 {
			what, from, to = 6, 8, 9
		}
		called := string(content[m[what]:m[what+1]])
		called = called[strings.LastIndex(called, ":")+1:]
		if slices.Contains(moves, called) || bytes.HasPrefix(content[m[0]:], []byte("xmlns")) || ofMovingAttribute(content[:m[0]]) {
			continue
		}
		changed := string(content[:m[from]]) + "7" + string(content[m[to]:])
		if string(content[m[from]:m[to]]) == "7" {
			continue
		}
		b, err := mim.ReadBackup(fstest.MapFS{name: {Data: []byte(changed)}})
		if err != nil {
			continue // the change broke what makes it an export
		}
		report, err := mim.Compare(context.Background(), before, b)
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Changes) == 0 {
			silent[called]++
		}
	}
	for called, n := range silent {
		t.Errorf("%s: %d changes of %s were not reported", name, n, called)
	}
}

// ofMovingAttribute reports whether what follows belongs to a computed attribute of a portal object.
func ofMovingAttribute(content []byte) bool {
	_, name, found := bytes.Cut(content[max(0, bytes.LastIndex(content, []byte("<AttributeName>"))):], []byte("<AttributeName>"))
	name, _, _ = bytes.Cut(name, []byte("<"))
	return found && slices.Contains([]string{"ComputedMember", "CreatedTime", "ResourceTime", "ExpectedRulesList", "DetectedRulesList"}, string(name))
}

func one(t *testing.T, name, content string) *mim.Backup {
	t.Helper()
	return files{name: content}.backup(t)
}

func TestNoValueIsPassedOver(t *testing.T) {
	t.Parallel()
	in := simmim.New(simmim.Options{Seed: 7, AgentBytes: 12 << 10, PortalSize: 20})
	for name, content := range in.Files() {
		if strings.HasSuffix(strings.ToLower(name), ".xml") {
			everyValueCounts(t, name, content, 100)
		}
	}
}

func TestNoValueOfARealExportIsPassedOver(t *testing.T) {
	t.Parallel()
	for estate, backup := range contractEstates(t) {
		for _, f := range backup.Files {
			content, err := fs.ReadFile(contractFS(estate), f.Path)
			if err != nil {
				t.Fatal(err)
			}
			everyValueCounts(t, f.Path, content, 20)
		}
	}
}
