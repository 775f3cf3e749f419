package simwinrm_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
)

// standIn is a program in the place of PowerShell that shows what it was given.
func standIn(t *testing.T, text string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the stand-in is a shell script; on Windows there is a PowerShell")
	}
	path := filepath.Join(t.TempDir(), "pwsh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRealPowerShellGetsTheCommand(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{ModulePath: "/stubs", PowerShell: standIn(t, `echo "$*|$PSModulePath|$GREETING"; cat; echo oops >&2; exit 10`)})
	c := connect(t, s)
	body := strings.Replace(createBody, "<rsp:InputStreams>", `<rsp:Environment><rsp:Variable Name="GREETING">hi</rsp:Variable></rsp:Environment><rsp:InputStreams>`, 1)
	shell := between(c.ask(transfer+"Create", "", body).want(t, "").body, "<rsp:ShellId>", "<")
	command := c.begin(shell, "powershell.exe -NoProfile -EncodedCommand QQA=")
	c.send(shell, command, "payload\n", "true").want(t, "")
	stdout, stderr, exit := c.finish(shell, command)
	if stdout != "-NoProfile -EncodedCommand QQA=|/stubs|hi\npayload\n" || stderr != "oops\n" || exit != "10" {
		t.Errorf("%q %q %s", stdout, stderr, exit)
	}
}

func TestRealPowerShellIsEnded(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{PowerShell: standIn(t, "echo started; exec sleep 1000")})
	c := connect(t, s)
	shell := c.shell()
	command := c.begin(shell, "powershell.exe -")
	if got := c.receive(shell, command).want(t, "").stream(t, "stdout"); got != "started\n" {
		t.Errorf("%q", got)
	}
	c.delete(shell).want(t, "")
	if err := s.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// One that ends without reading its input does not keep the command.
func TestRealPowerShellEndsBeforeItsInput(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{PowerShell: standIn(t, "exit 3")})
	c := connect(t, s)
	shell := c.shell()
	if _, _, exit := c.finish(shell, c.begin(shell, "powershell.exe -")); exit != "3" {
		t.Errorf("exit %s", exit)
	}
}

func TestRealPowerShellThatIsMissing(t *testing.T) {
	t.Parallel()
	c := connect(t, start(t, simwinrm.Options{PowerShell: filepath.Join(t.TempDir(), "none")}))
	shell := c.shell()
	if _, stderr, exit := c.finish(shell, c.begin(shell, "powershell.exe -")); exit != "1" || !strings.Contains(stderr, "no such file") {
		t.Errorf("%q exit %s", stderr, exit)
	}
}

// Where there is a real PowerShell, it runs here.
func TestPowerShellOfThisMachine(t *testing.T) {
	t.Parallel()
	path := simwinrm.FindPowerShell(os.Getenv("NIGHTSHIFT_PWSH"))
	if path == "" {
		if _, err := exec.LookPath("pwsh"); err == nil {
			t.Error("pwsh is on the PATH and was not found")
		}
		return
	}
	c := connect(t, start(t, simwinrm.Options{PowerShell: path}))
	shell := c.shell()
	stdout, stderr, exit := c.finish(shell, c.begin(shell, "powershell.exe -NoProfile -NonInteractive -Command exit(3+4)"))
	if exit != "7" {
		t.Errorf("%q %q exit %s", stdout, stderr, exit)
	}
}
