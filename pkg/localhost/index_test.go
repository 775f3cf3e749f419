package localhost

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type indexRecording struct {
	Case      string                     `json:"case"`
	Functions map[string]json.RawMessage `json:"function_json"`
	Env       map[string]string          `json:"env"`
	Host      json.RawMessage            `json:"host_json"`
	Running   bool                       `json:"host_ready_running"`
	Listed    json.RawMessage            `json:"functions_listed"`
	Status    []any                      `json:"bad_function_status_api"`
}

// TestIndexingAsRecorded loads each recorded app: what the real host refuses is refused here, and what it lists is listed.
func TestIndexingAsRecorded(t *testing.T) {
	t.Parallel()
	for _, c := range recordings[indexRecording](t, "index-errors") {
		t.Run(c.Case, func(t *testing.T) {
			t.Parallel()
			root := writeIndexCase(t, c)
			environ := []string{"AzureWebJobsStorage=UseDevelopmentStorage=true"}
			for name, value := range c.Env {
				environ = append(environ, name+"="+value)
			}
			o := Options{Environ: environ}
			o.setDefaults()
			a, err := loadApp(root, &o)
			if (err == nil) != c.Running {
				t.Fatalf("the real host runs: %t; here: %v", c.Running, err)
			}
			if err != nil {
				if !strings.Contains(err.Error(), root) {
					t.Errorf("the error does not say where: %v", err)
				}
				return
			}
			defer func() {
				if a.account != nil {
					a.account.Close()
				}
			}()
			compareIndex(t, c, a)
		})
	}
}

func writeIndexCase(t *testing.T, c indexRecording) (root string) {
	t.Helper()
	root = t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	host := string(c.Host)
	if c.Case == "M_hostjson_bad" {
		host = `{"version":` // the recording keeps the host.json from before it was broken
	}
	write("host.json", host)
	write("GoodH/function.json", httpFunction)
	write("GoodT/function.json", timerFunction("0 0 5 31 12 *"))
	write("GoodQ/function.json", queueFunction)
	for name, raw := range c.Functions {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		write(name+"/function.json", text)
	}
	return root
}

func compareIndex(t *testing.T, c indexRecording, a *app) {
	var rows [][]any
	if err := json.Unmarshal(c.Listed, &rows); err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, row := range rows {
		want = append(want, row[0].(string))
	}
	for _, f := range a.functions {
		if f.listed {
			got = append(got, f.name)
		}
		if f.problem == nil && f.timer == nil && f.queue == nil && f.http == nil {
			t.Errorf("%s has neither a trigger nor a problem", f.name)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("listed: got %q, want %q", got, want)
	}
	for name := range c.Functions {
		f := a.function(name)
		status, _ := c.Status[1].(string)
		var recorded functionStatus
		if err := json.Unmarshal([]byte(status), &recorded); err != nil {
			t.Fatal(err)
		}
		if (f.problem != nil) != (len(recorded.Errors) > 0) {
			t.Fatalf("the real host says %q, we say %v", recorded.Errors, f.problem)
		}
		if f.problem == nil {
			continue
		}
		if !strings.HasPrefix(f.problem.Error(), f.file) {
			t.Errorf("the problem does not name the file: %v", f.problem)
		}
		// Newtonsoft's own words for bad JSON are not imitated.
		if f.hostSays != recorded.Errors[0] && c.Case != "M_bad_json" && c.Case != "M_bad_datatype" {
			t.Errorf("the admin API says %q, at the real host %q", f.hostSays, recorded.Errors[0])
		}
	}
}

// TestProblemsNameTheLine is what the real host does not do.
func TestProblemsNameTheLine(t *testing.T) {
	t.Parallel()
	const host = `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"handler"}}}`
	for _, c := range []struct{ name, host, function, environ, want string }{
		{"broken host.json", "{\n  \"version\": \"2.0\",\n  oops\n}", "", "", "host.json:4: not JSON at column 1: a colon is expected"},
		{"no version", `{"customHandler":{"description":{"defaultExecutablePath":"handler"}}}`, "", "", `host.json:1: "version" must be "2.0"`},
		{"no handler", `{"version":"2.0"}`, "", "", "host.json:1: \"customHandler\""},
		{"batch size", "{\"version\":\"2.0\",\"customHandler\":{\"description\":{\"defaultExecutablePath\":\"handler\"}},\n\"extensions\":{\"queues\":{\n\"batchSize\":33}}}",
			"", "", "host.json:3: extensions.queues.batchSize must be a whole number from 1 to 32, got 33"},
		{"override", host, "", "AzureFunctionsJobHost__functionTimeout=soon", "setting AzureFunctionsJobHost__functionTimeout must be a time span"},
		{"broken function.json", host, "{\n\"bindings\": [\n{\"type\": }]}", "", "F/function.json:3: not JSON at column 10"},
		{"schedule", host, "{\"bindings\":[\n{\"type\":\"timerTrigger\",\"name\":\"t\",\n\"schedule\":\"0 99 * * * *\"}]}", "", "F/function.json:3: schedule: "},
		{"unknown setting", host, "{\"bindings\":[\n{\"type\":\"timerTrigger\",\"name\":\"t\",\"schedule\":\"%NOPE%\"}]}", "", "F/function.json:2: schedule: '%NOPE%' does not resolve to a value"},
		{"route", host, "{\"bindings\":[\n{\"type\":\"httpTrigger\",\"name\":\"t\",\"route\":\"admin/x\"}]}", "", "F/function.json:2: route \"admin/x\" must not start with admin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for name, text := range map[string]string{"host.json": c.host, "F/function.json": c.function} {
				if text == "" {
					continue
				}
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			o := Options{Environ: []string{c.environ}}
			o.setDefaults()
			a, err := loadApp(root, &o)
			if err == nil {
				err = a.functions[0].problem
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something with %q", err, c.want)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	file := filepath.Join(root, "local.settings.json")
	if err := os.WriteFile(file, []byte(`{"IsEncrypted":false,"Values":{"A":"from file","B":"b","N":7}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	env := newEnvironment([]string{"A=from environment", "AzureWebJobs.One.Disabled=1", "AzureWebJobs_Two_Disabled=true", "AzureWebJobs.Three.Disabled=0"})
	if err := env.addLocalSettings(file); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"A": "from environment", "b": "b", "N": "7", "none": ""} {
		if got := env.get(name); got != want {
			t.Errorf("setting %s: got %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]bool{"One": true, "Two": true, "Three": false, "Four": false} {
		if got := env.disabled(name); got != want {
			t.Errorf("function %s disabled: got %t, want %t", name, got, want)
		}
	}
	if got, err := env.resolve("x-%B%-%N%"); got != "x-b-7" || err != nil {
		t.Errorf("resolve: got %q, %v", got, err)
	}
	if err := os.WriteFile(file, []byte("{\n\"IsEncrypted\": true, \"Values\":{}}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := env.addLocalSettings(file); err == nil || !strings.Contains(err.Error(), ":2: the settings are encrypted") {
		t.Errorf("encrypted settings: got %v", err)
	}
	if err := env.addLocalSettings(filepath.Join(root, "absent.json")); err != nil {
		t.Errorf("no file: got %v", err)
	}
}
