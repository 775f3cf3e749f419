package settings_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestExample(t *testing.T) {
	t.Parallel()
	const golden = "testdata/local.settings.example.json"
	all := settings.Describe(app{})
	got := settings.Example(all)
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if err := settings.CheckExample(want, all); err != nil {
		t.Error(err)
	}
	var file struct {
		IsEncrypted bool
		Values      map[string]string
	}
	if err := json.Unmarshal(got, &file); err != nil || len(file.Values) != len(all)+1 || file.Values["FUNCTIONS_WORKER_RUNTIME"] != "custom" {
		t.Errorf("%d values of %d, %v", len(file.Values), len(all), err)
	}
	// The example is enough to start with, but for the password.
	environ := []string{"FTPPassword=x"}
	for name, value := range file.Values {
		if name != "FTPPassword" {
			environ = append(environ, name+"="+value)
		}
	}
	if err := settings.Load(&app{}, environ); err != nil {
		t.Errorf("the example's own values: %v", err)
	}
}

func TestCheckExampleNamesTheDifference(t *testing.T) {
	t.Parallel()
	all := settings.Describe(app{})
	right := settings.Example(all)
	edit := func(old, new string) []byte {
		if !bytes.Contains(right, []byte(old)) {
			t.Fatalf("%q is not in the example", old)
		}
		return bytes.Replace(right, []byte(old), []byte(new), 1)
	}
	for want, file := range map[string][]byte{
		"FTPServer is missing":           edit(`    "FTPServer": "ftp.example.com",`+"\n", ""),
		`FTPConnections is "5"`:          edit(`"FTPConnections": "4"`, `"FTPConnections": "5"`),
		"no app has the setting FTPMore": edit(`"FTPServer": "ftp`, `"FTPMore": "", "FTPServer": "ftp`),
		"the documentation of FTPServer": edit("The FTP server.", "Something else."),
		"order or spacing":               edit("{\n", "{\n\n"),
		"read local.settings":            []byte("{"),
		"unknown field":                  []byte(`{"Secrets":{}}`),
	} {
		if err := settings.CheckExample(file, all); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	byName := map[string]settings.Setting{}
	for _, s := range settings.Describe(app{}, &app{}) {
		if _, twice := byName[s.Name]; twice {
			t.Errorf("%s is listed twice", s.Name)
		}
		byName[s.Name] = s
	}
	want := settings.Setting{Name: "FTPServer", Doc: "The FTP server.", Want: "a host name, or host:port", Example: "ftp.example.com",
		Local: "ftp.example.com", Required: true, Type: "text"}
	if got := byName["FTPServer"]; got != want {
		t.Errorf("got %+v", got)
	}
	for name, want := range map[string]string{"FTPPassword": "secret", "FTPConnections": "number", "FTPPassive": "yes or no", "FTPMinAge": "duration",
		"FTPMaxSize": "size", "FTPInclude": "list", "WEBSITE_TIME_ZONE": "schedule.Zone"} {
		if got := byName[name].Type; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if s := byName["FTPPassword"]; !s.Secret || s.Local != "" {
		t.Errorf("got %+v", s)
	}
}
