package winrm_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/nightshift-hq/nightshift/pkg/settings"
	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

// TestRealPowerShell has a real PowerShell run the bootstrap, where NIGHTSHIFT_PWSH or the PATH has one.
func TestRealPowerShell(t *testing.T) {
	t.Parallel()
	pwsh := simwinrm.FindPowerShell(os.Getenv("NIGHTSHIFT_PWSH"))
	if pwsh == "" {
		t.Skip("no PowerShell here: name one in NIGHTSHIFT_PWSH")
	}
	s, err := simwinrm.Start(simwinrm.Options{PowerShell: pwsh})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	c := connect(t, s, winrm.Config{Server: s.URL(), Username: "user", Password: settings.NewSecret("password"), Pin: s.Pin()})
	const head = "[CmdletBinding()]\nparam([string]$Text = '', [long[]]$Numbers = @())\nSet-StrictMode -Version 2\n"
	for name, test := range map[string]struct {
		script string
		params any
		result string // empty: an error
		id     string
		line   int
	}{
		"parameters come through":         {head + "@{ text = $Text; sum = ($Numbers | Measure-Object -Sum).Sum }", map[string]any{"Text": "a'b\"\u00e9\U0001f600$x`n", "Numbers": []int{1, 2}}, `é😀`, "", 0},
		"an event, and noise":             {head + "Send-Event @{ type = 'progress'; step = 's'; done = 1; total = 2 }\nWrite-Host 'noise'\n@{ ok = $true }", nil, `{"ok":true}`, "", 0},
		"an exception":                    {head + "[int]::Parse('x')", nil, "", "FormatException", 4},
		"the script's own error":          {head + "function F { Stop-Script 'disk-full' 'full' }\nF", nil, "", "disk-full", 4},
		"a script that does not parse":    {head + "if (", nil, "", "syntax", 4},
		"a script that returns nothing":   {head + "$null = 1", nil, "", "no-result", 0},
		"an unknown parameter":            {head + "1", map[string]string{"Txet": ""}, "", "NamedParameterNotFound", 0},
		"exit in the script":              {head + "exit 0", nil, "", "", 0},
		"break outside of a loop":         {head + "break", nil, "", "", 0},
		"a native program that fails":     {head + "/bin/sh -c 'echo out; echo err >&2; exit 7'\n@{ code = $LASTEXITCODE }", nil, `{"code":7}`, "", 0},
		"an error that is not terminated": {head + "Write-Error 'plain'", nil, "", "WriteErrorException", 4},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := c.Run(within(t), winrm.Script{Name: "x.ps1", Text: test.script}, test.params, nil)
			if test.result != "" {
				if err != nil || !strings.Contains(string(result), test.result) {
					t.Errorf("result %s, error %v", result, err)
				}
				return
			}
			var thrown *winrm.ScriptError
			switch {
			case test.id == "" && !errors.Is(err, winrm.ErrNoResult):
				t.Errorf("error %v, want no result", err)
			case test.id != "" && (!errors.As(err, &thrown) || !strings.Contains(thrown.ID, test.id) || thrown.Line != test.line):
				t.Errorf("error %v, %+v", err, thrown)
			}
		})
	}
}
