package winrm

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

type sample struct{ Case, Stderr string }

// TestDecodeCLIXML decodes what two PowerShell engines wrote to standard error when they were executed.
func TestDecodeCLIXML(t *testing.T) {
	t.Parallel()
	var samples []sample
	readJSON(t, "testdata/clixml.json", &samples)
	var b strings.Builder
	for _, s := range samples {
		fmt.Fprintf(&b, "=== %s\n", s.Case)
		for _, r := range decodeCLIXML([]byte(s.Stderr)) {
			fmt.Fprintf(&b, "%s", r.level())
			if r.line > 0 {
				fmt.Fprintf(&b, " line %d", r.line)
			}
			fmt.Fprintf(&b, ": %q\n", r.text)
		}
	}
	golden(t, "testdata/clixml.golden", b.String())
}

// TestDecodeAllCLIXML decodes the whole folder of recordings, where there is one, and looks for what must never remain.
func TestDecodeAllCLIXML(t *testing.T) {
	t.Parallel()
	root := os.Getenv("NIGHTSHIFT_CONTRACTS")
	if root == "" {
		root = "testdata"
	}
	for _, s := range recordedErrors(t, root) {
		text := ""
		for _, r := range decodeCLIXML([]byte(s.Stderr)) {
			text += r.text + "\n"
		}
		literal := strings.Contains(s.Stderr, "_x005F_") || strings.Contains(s.Stderr, "&lt;") || !strings.Contains(s.Stderr, "<Objs")
		if left := leftover.FindString(text); left != "" && !literal {
			t.Errorf("%s: %q remains in %q", s.Case, left, text)
		}
		if message.MatchString(s.Stderr) && strings.TrimSpace(text) == "" {
			t.Errorf("%s: nothing of %q remains", s.Case, s.Stderr)
		}
	}
}

// leftover is what a decoder has to remove.
var leftover = regexp.MustCompile(`_x[0-9A-F]{4}_|<Objs|</S>|#< CLIXML|\x1b`)

// message is one that says something.
var message = regexp.MustCompile(`<S S="(Error|warning)">[^<_ ]`)

func recordedErrors(t *testing.T, root string) []sample {
	if root == "testdata" {
		var samples []sample
		readJSON(t, "testdata/clixml.json", &samples)
		return samples
	}
	var all []sample
	files, err := filepath.Glob(filepath.Join(root, "powershell", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings below %s: %v", root, err)
	}
	for _, file := range files {
		var records []struct {
			Case   string
			Stderr string `json:"stderr_text"`
		}
		readJSON(t, file, &records)
		for _, r := range records {
			if r.Stderr != "" {
				all = append(all, sample{filepath.Base(file) + " " + r.Case, r.Stderr})
			}
		}
	}
	return all
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look at the difference, then run with -update:\n%s", path, firstDifference(got, string(want)))
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d: got  %s\n        want %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

func FuzzDecodeCLIXML(f *testing.F) {
	var samples []sample
	data, err := os.ReadFile("testdata/clixml.json")
	if err != nil {
		f.Fatal(err)
	}
	if err := json.Unmarshal(data, &samples); err != nil {
		f.Fatal(err)
	}
	for _, s := range samples {
		f.Add([]byte(s.Stderr))
	}
	f.Add([]byte("#< CLIXML\r\n<Objs"))
	f.Add([]byte("<Objs><S S=\"Error\">_xD83D_&#xFFFE;\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, r := range decodeCLIXML(data) {
			if r.text == "" || r.stream == "progress" {
				t.Errorf("an empty record of %q", data)
			}
		}
	})
}
