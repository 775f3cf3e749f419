package winrm

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"testing"
)

// TestCommandLine holds the one command line that is ever sent. Its text is constant, so nothing can slip into it.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	if n := len(commandLine()); n >= longestCommand {
		t.Errorf("the command line has %d characters; cmd.exe takes %d", n, longestCommand)
	}
	encoded := commandLine()[strings.LastIndex(commandLine(), " ")+1:]
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 0, len(data)/2)
	for i := 0; i < len(data); i += 2 {
		if data[i+1] != 0 {
			t.Fatalf("the bootstrap is not ASCII at character %d", i/2)
		}
		text = append(text, data[i])
	}
	golden(t, "testdata/bootstrap.golden", strings.TrimSuffix(commandLine(), encoded)+"\n"+string(text)+"\n")
}

// TestBootstrapText checks what recordings of two engines showed: what Windows PowerShell 5.1 does not know or understands
// otherwise, and the variable whose mere name makes the host read standard input.
func TestBootstrapText(t *testing.T) {
	t.Parallel()
	if strings.Contains(strings.ToLower(bootstrap), "$input") {
		t.Error("the bootstrap names $input")
	}
	for what, pattern := range newSyntax {
		if m := regexp.MustCompile(pattern).FindString(minify(bootstrap)); m != "" {
			t.Errorf("the bootstrap has %s: %q", what, m)
		}
	}
	if err := (Script{Name: "bootstrap.ps1", Text: bootstrap}).check(); err != nil {
		t.Error(err)
	}
}

// newSyntax is what Windows PowerShell 5.1 refuses, reads otherwise, or fails at when run.
var newSyntax = map[string]string{
	"a ternary operator":            `(?m)[^\w?]\?\s[^{].*\s:\s`,
	"a null-coalescing operator":    `\?\?`,
	"a null-conditional operator":   `\?[.\[]`,
	"a pipeline chain operator":     `&&|\|\|`,
	"a trailing &":                  `(?m)&\s*$`,
	"a line that begins with |":     `(?m)^\s*\|`,
	"a clean block":                 `(?i)\bclean\s*\{`,
	"an enum with a type":           `(?i)\benum\s+\w+\s*:`,
	"an escape that is new":         "`[eu]",
	"a binary number":               `(?i)\b0b[01]`,
	"a number with a new suffix":    `(?i)\b\d+(u|y|s|n|ul|us|uy)\b`,
	"a parameter or variable of 7":  `(?i)-Parallel\b|-AsHashtable|-AsByteStream|\$Is(Windows|Linux|MacOS)|\$PSStyle|-AsArray|-EscapeHandling`,
	"a call of a generic method":    `\.\w+\[[\w.]+\]\(`,
	"a cmdlet that 5.1 has not got": `(?i)\b(Get-Error|Join-String|ConvertFrom-Markdown|Test-Json|Remove-Service)\b`,
}

func TestNewTask(t *testing.T) {
	t.Parallel()
	script := Script{Name: "x.ps1", Text: "[CmdletBinding()] param([string]$Sas)\n'<&>'"}
	task, err := newTask(script, map[string]any{"Sas": "https://x/?sig=abc", "Nested": []any{map[string]string{"Password": "hunter22"}}})
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(task.input, []byte("\n")); n != 1 || !bytes.HasSuffix(task.input, []byte("\n")) {
		t.Errorf("the input has %d lines", n)
	}
	zipped, err := base64.StdEncoding.DecodeString(string(task.input))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version                     int
		Nonce, Name, SHA256, Script string
		Params                      map[string]any
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != 1 || got.Nonce != task.nonce || len(got.Nonce) != 32 || got.Name != "x.ps1" || got.Script != script.Text ||
		got.SHA256 != sum(script.Text) || got.Params["Sas"] != "https://x/?sig=abc" {
		t.Errorf("the payload is %+v", got)
	}
	if len(task.secrets) != 2 {
		t.Errorf("%d parameters are secret, want 2", len(task.secrets))
	}
}

func TestScriptsThatCannotBeSent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		script Script
		params any
		want   string
	}{
		"no name":             {Script{Text: "1"}, nil, "name"},
		"a path as name":      {Script{Name: `C:\x.ps1`, Text: "1"}, nil, "name"},
		"empty":               {Script{Name: "x.ps1", Text: " \n"}, nil, "empty"},
		"not ASCII":           {Script{Name: "x.ps1", Text: "1\n\u201cx\u201d"}, nil, "line 2 of the script is not ASCII"},
		"params are a list":   {Script{Name: "x.ps1", Text: "1"}, []int{1}, "no JSON object"},
		"params do not go":    {Script{Name: "x.ps1", Text: "1"}, func() {}, "encode parameters"},
		"params are a number": {Script{Name: "x.ps1", Text: "1"}, 7, "no JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := newTask(test.script, test.params); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func sum(text string) string {
	hash := sha256.Sum256([]byte(text))
	return hex.EncodeToString(hash[:])
}
