package nightshift_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	ftppull "github.com/nightshift-hq/nightshift/functions/ftppull/config"
	mimbackup "github.com/nightshift-hq/nightshift/functions/mimbackup/config"
	"github.com/nightshift-hq/nightshift/pkg/settings"
)

var update = flag.Bool("update", false, "rewrite local.settings.example.json and the settings in the apps' manuals")

// appSettings are the settings of every app, in the order in which the example file has them.
func appSettings() []struct {
	app      string
	settings any
} {
	return []struct {
		app      string
		settings any
	}{
		{"functions/ftppull", ftppull.Settings{}},
		{"functions/mimbackup", mimbackup.Settings{}},
	}
}

func TestEveryAppHasItsSettingsInTheExample(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{}
	for _, a := range appSettings() {
		listed[a.app] = true
	}
	for _, app := range apps(t) {
		if !listed[app] {
			t.Errorf("%s: its settings are not in appSettings, so that the example file lacks them", app)
		}
	}
}

func TestExampleSettingsAreCompleteAndTrue(t *testing.T) {
	t.Parallel()
	const file = "local.settings.example.json"
	var all []any
	for _, a := range appSettings() {
		all = append(all, a.settings)
	}
	described := settings.Describe(all...)
	if *update {
		if err := os.WriteFile(file, settings.Example(described), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := settings.CheckExample(got, described); err != nil {
		t.Errorf("%v; run: go test . -update", err)
	}
}

func TestManualsListEverySetting(t *testing.T) {
	t.Parallel()
	for _, a := range appSettings() {
		file := "docs/" + strings.TrimPrefix(a.app, "functions/") + ".md"
		const begin, end = "<!-- settings: written by `go test . -update` -->\n", "<!-- end of settings -->"
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, found := bytes.Cut(got, []byte(begin))
		_, after, found2 := bytes.Cut(rest, []byte(end))
		if !found || !found2 {
			t.Errorf("%s has no place for the settings", file)
			continue
		}
		var want bytes.Buffer
		fmt.Fprintf(&want, "%s%s%s%s%s", before, begin, settingsTable(settings.Describe(a.settings)), end, after)
		if *update {
			if err := os.WriteFile(file, want.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%s does not list the settings as they are; run: go test . -update", file)
		}
	}
}

func settingsTable(all []settings.Setting) string {
	var b strings.Builder
	b.WriteString("\n| setting | meaning | default | example |\n|---|---|---|---|\n")
	cell := func(s string) string {
		if s == "" {
			return ""
		}
		return "`" + strings.ReplaceAll(s, "|", `\|`) + "`"
	}
	for _, s := range all {
		doc := strings.ReplaceAll(s.Doc, "|", `\|`)
		if s.Required {
			doc = "**Required.** " + doc
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Name, doc, cell(s.Default), cell(s.Example))
	}
	b.WriteString("\n")
	return b.String()
}
