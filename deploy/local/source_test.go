package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestWhoseServer(t *testing.T) {
	t.Parallel()
	all := []string{"FTPServer=ftp.corp.local:2121", "FTPUsername=hr", "FTPPassword=s3cret", "FTPSourceDirectory=/out", "FTPTargetDirectory=hr"}
	for name, c := range map[string]struct {
		environ []string
		own     bool
		err     string
	}{
		"nothing set":                  {nil, false, ""},
		"all five set":                 {all, true, ""},
		"names in another case":        {append([]string{"ftpserver=ftp.corp.local"}, all[1:]...), true, ""},
		"a copy of the example file":   {[]string{"FTPServer=ftp.example.com", "FTPUsername=hr"}, false, ""},
		"blank server":                 {append([]string{"FTPServer= "}, all[1:]...), false, ""},
		"password forgotten":           {append(slices.Clone(all[:2]), all[3:]...), false, "FTPPassword not set"},
		"only the server":              {all[:1], false, "FTPUsername, FTPPassword, FTPSourceDirectory, FTPTargetDirectory not set"},
		"other settings do not matter": {[]string{"FTPSecurity=implicit"}, false, ""},
		"the error keeps the server":   {all[:1], false, `"ftp.corp.local:2121"`},
		"the error keeps no password":  {[]string{all[0], all[2]}, false, "FTPUsername"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own, err := ownServer(c.environ)
			if own != c.own || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("own %v, error %v", own, err)
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
}

func TestLocalSettingsComeAfterTheEnvironment(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	file := filepath.Join(root, "local.settings.json")
	if got, err := userSettings(root, []string{"A=1"}); err != nil || !slices.Equal(got, []string{"A=1"}) {
		t.Errorf("without a file: %q, %v", got, err)
	}
	if err := os.WriteFile(file, []byte(`{"IsEncrypted":false,"Values":{"FTPServer":"file","FTPUsername":"file"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := userSettings(root, []string{"FTPServer=environment"})
	if err != nil || lookup(got, "FTPServer") != "environment" || lookup(got, "FTPUsername") != "file" {
		t.Errorf("settings %q, %v", got, err)
	}
	for _, broken := range []string{`{`, `{"Values":{"FTPServer":true}}`, `{"IsEncrypted":true,"Values":{"FTPServer":"CfDJ8"}}`} {
		if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := userSettings(root, nil); err == nil || !strings.Contains(err.Error(), "local.settings.json") {
			t.Errorf("%s: error %v", broken, err)
		}
	}
}

func TestTheEmulatorReplacesEveryOtherStorage(t *testing.T) {
	t.Parallel()
	got := without([]string{"AzureWebJobsStorage=x", "azurewebjobsstorage__accountName=prod", "PATH=/bin"}, "AzureWebJobsStorage")
	if !slices.Equal(got, []string{"PATH=/bin"}) {
		t.Errorf("left %q", got)
	}
}
