package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/settings"
)

var update = flag.Bool("update", false, "rewrite local.settings.example.json and the settings in docs/ftppull.md")

// environ is the least that the app runs with, but for what is set otherwise.
func environ(otherwise ...string) []string {
	least := []string{
		"AzureWebJobsStorage=UseDevelopmentStorage=true", "FTPServer=ftp.example.com", "FTPUsername=nightshift",
		"FTPPassword=canary-password", `FTPTargetDirectory=E:\Import\HR`,
	}
	for _, setting := range otherwise {
		name, _, _ := strings.Cut(setting, "=")
		least = slices.DeleteFunc(least, func(s string) bool { return strings.HasPrefix(s, name+"=") })
	}
	return append(least, otherwise...)
}

func TestEveryFunctionHasItsTriggerAndTheReverse(t *testing.T) {
	t.Parallel()
	app, err := build(environ())
	if err != nil || app.Problem != nil {
		t.Fatal(err, app.Problem)
	}
	if err := customhandler.CheckFunctions(os.DirFS("."), app.Functions); err != nil {
		t.Error(err)
	}
}

func TestExampleSettingsAreCompleteAndTrue(t *testing.T) {
	t.Parallel()
	const file = "../../local.settings.example.json"
	described := settings.Describe(Settings{})
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
		t.Errorf("%v; run: go test ./functions/ftppull -update", err)
	}
}

func TestManualListsEverySetting(t *testing.T) {
	t.Parallel()
	const file = "../../docs/ftppull.md"
	const begin, end = "<!-- settings: written by `go test ./functions/ftppull -update` -->\n", "<!-- end of settings -->"
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := bytes.Cut(got, []byte(begin))
	_, after, found2 := bytes.Cut(rest, []byte(end))
	if !found || !found2 {
		t.Fatalf("%s has no place for the settings", file)
	}
	var want bytes.Buffer
	fmt.Fprintf(&want, "%s%s%s%s%s", before, begin, table(settings.Describe(Settings{})), end, after)
	if *update {
		if err := os.WriteFile(file, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s does not list the settings as they are; run: go test ./functions/ftppull -update", file)
	}
}

func table(all []settings.Setting) string {
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

func TestSettingsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		setting string
		want    []string
	}{
		{"FTPServer=", []string{"FTPServer"}},
		{"FTPServer=ftp://ftp.example.com/hr", []string{"FTPServer", "without ftp://"}},
		{"FTPCAFile=/no/such.pem", []string{"FTPCAFile: got \"/no/such.pem\"", "no such file"}},
		{"FTPCertificatePin=zz", []string{"FTPCertificatePin: got \"zz\""}},
		{"FTPContainer=A_B", []string{"FTPContainer", "lower-case letters"}},
		{"FTPSecurity=none", []string{"FTPSecurity", "explicit, implicit or cleartext"}},
		{"FTPAfter=burn", []string{"FTPAfter", "keep, delete or archive"}},
		{"FTPAfter=archive", []string{"FTPArchiveDirectory"}},
		{"FTPTargetDirectory=/", []string{"FTPTargetDirectory"}},
		{"FTPSchedule=61 * * * * *", []string{"FTPSchedule"}},
		{"FTPSchedule=0 0 0 31 2 *", []string{"FTPSchedule"}},
		{"WEBSITE_TIME_ZONE=Mars", []string{"WEBSITE_TIME_ZONE", "Mars"}},
		{"FTPInclude=[", []string{"FTPInclude", "no glob"}},
		{"FTPExpect=hr.csv", []string{"FTPExpect", "by HH:MM"}},
		{"FTPRequireHeader=*.csv=(", []string{"FTPRequireHeader", "regular expression"}},
		{"FTPConnections=0", []string{"FTPConnections", "at least 1"}},
		{"FTPDisable=MLST", []string{"FTPDisable", "MLSD, EPSV, UTF8, TLS13"}},
		{"FTPSettle=1h", []string{"FTPSettle", "3m"}},
		{"FTPFolderFormat=dd-MM-yyyy-hh-mm", []string{"FTPFolderFormat", "hour of 24"}},
		{"FTPPasword=x", []string{"FTPPasword", "FTPPassword"}},
	} {
		app, err := build(environ(row.setting))
		text := fmt.Sprintf("%v\n%v", err, app.Problem)
		if setting, _, _ := strings.Cut(row.setting, "="); strings.Count(text, "\n"+setting+":") > 1 {
			t.Errorf("%s: reported twice: %s", row.setting, text)
		}
		for _, want := range row.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %s\nwant %q in it", row.setting, text, want)
			}
		}
		if strings.Contains(text, "canary-password") {
			t.Errorf("%s: the password is in %s", row.setting, text)
		}
	}
}

func TestArchiveBelowTheSourceIsNotScanned(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ source, archive, want string }{
		{"/out", "/out/archive", "[archive/**]"},
		{"/", "/archive", "[archive/**]"},
		{"/out", "/archive", "[]"},
		{"/out", "/outer", "[]"},
	} {
		s := Settings{ArchiveDirectory: row.archive, After: "archive"}
		if got := fmt.Sprint(s.filter(row.source).Exclude); got != row.want {
			t.Errorf("%s below %s: excluded %s, want %s", row.archive, row.source, got, row.want)
		}
	}
}
