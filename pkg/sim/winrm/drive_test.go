package simwinrm_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
)

func drive(t *testing.T) (*simwinrm.Drive, string) {
	t.Helper()
	dir := t.TempDir()
	return start(t, simwinrm.Options{Dir: dir}).Drive(), dir
}

func TestWindowsPaths(t *testing.T) {
	t.Parallel()
	d, dir := drive(t)
	if err := d.WriteFile(`C:\Backup\Server Export\MV.XML`, []byte("mv")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "C", "Backup", "Server Export", "MV.XML")); err != nil || string(data) != "mv" {
		t.Errorf("%v %q", err, data)
	}
	for path, ok := range map[string]bool{
		`C:\Backup\Server Export\MV.XML`:        true,
		`c:\BACKUP\server export\mv.xml`:        true,
		`C:/Backup/Server Export/mv.xml`:        true,
		`C:\Backup\.\x\..\Server Export\MV.XML`: true,
		`C:\..\..\Backup\Server Export\MV.XML`:  true, // nothing lies above a drive
		`C:\Backup\Server Export. \MV.XML.`:     true, // dots and spaces at the end do not count
		`D:\Backup\Server Export\MV.XML`:        false,
		`\Backup\Server Export\MV.XML`:          false,
		`C:Backup\MV.XML`:                       false,
		`\\server\share\MV.XML`:                 false,
		`Backup`:                                false,
		``:                                      false,
	} {
		if data, err := d.ReadFile(path); (err == nil) != ok || ok && string(data) != "mv" {
			t.Errorf("%s: %q %v, want %v", path, data, err, ok)
		}
	}
	for _, path := range []string{`C:\a?b`, `C:\a*`, `C:\a|b`, "C:\\a\x01", `C:\con`, `C:\x\NUL.txt`, `C:\COM1`, `C:\a:stream`, `C:\...`} {
		var windows *simwinrm.WinError
		if err := d.WriteFile(path, nil); !errors.As(err, &windows) || windows.Code != 123 {
			t.Errorf("%q: %v, want code 123", path, err)
		}
	}
}

func TestDriveErrors(t *testing.T) {
	t.Parallel()
	d, _ := drive(t)
	for _, name := range []string{`C:\a.txt`, `C:\b.txt`, `C:\full\x`} {
		if err := d.WriteFile(name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	release := d.Hold(`c:\A.TXT`)
	write := func(path string) error { return d.WriteFile(path, []byte("x")) }
	_, read := d.ReadFile(`C:\none`)
	_, noFolder := d.Create(`C:\no\file`)
	_, noDrive := d.Stat(`X:\`)
	_, heldRead := d.ReadFile(`C:\a.txt`)
	for name, tc := range map[string]struct {
		err  error
		code uint32
	}{
		"read what is not there":         {read, 2},
		"create in no folder":            {noFolder, 2},
		"no such drive":                  {noDrive, 3},
		"write a file in use":            {write(`C:\a.txt`), 32},
		"rename a file in use":           {d.Rename(`C:\a.txt`, `C:\c.txt`, false), 32},
		"rename onto a file in use":      {d.Rename(`C:\b.txt`, `C:\a.txt`, true), 32},
		"remove a file in use":           {d.Remove(`C:\a.txt`), 32},
		"remove the folder of one":       {d.RemoveAll(`C:\`), 32},
		"read a file in use":             {heldRead, 0},
		"rename onto a file":             {d.Rename(`C:\full\x`, `C:\b.txt`, false), 183},
		"remove a folder that has files": {d.Remove(`C:\full`), 145},
	} {
		var windows *simwinrm.WinError
		if errors.As(tc.err, &windows) != (tc.code != 0) || tc.code != 0 && windows.Code != tc.code {
			t.Errorf("%s: %v, want code %d", name, tc.err, tc.code)
		}
	}
	if !errors.Is(read, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", read)
	}
	release()
	release()
	if err := d.Rename(`C:\A.txt`, `C:\B.TXT`, true); err != nil {
		t.Error(err)
	}
	if entries, err := d.ReadDir(`C:\`); err != nil || len(entries) != 2 || entries[0].Name() != "b.txt" {
		t.Errorf("%v %v: a replaced file keeps its name", entries, err)
	}
	if err := d.RemoveAll(`c:\FULL`); err != nil {
		t.Error(err)
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	d, _ := drive(t)
	if d.Free() < 1<<30 {
		t.Errorf("%d bytes free", d.Free())
	}
	d.SetFree(10)
	f, err := d.Create(`C:\x`)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, err := io.Copy(f, strings.NewReader("0123456789ab"))
	var windows *simwinrm.WinError
	if n != 10 || !errors.As(err, &windows) || windows.Code != 112 || d.Free() != 0 {
		t.Errorf("%d bytes, %v, %d free", n, err, d.Free())
	}
	d.SetFree(-1)
	if err := d.WriteFile(`C:\y`, make([]byte, 100)); err != nil {
		t.Error(err)
	}
}

// The winrmcp way to bring a file: echo, line by line, into a file.
func TestEchoIntoAFile(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{})
	c := connect(t, s)
	shell := c.shell()
	for _, line := range []string{`echo QUJD&gt; "%TEMP%\x.tmp"`, `cmd.exe /c echo REVG >> "%TEMP%\x.tmp"`} {
		if _, stderr, exit := c.finish(shell, c.begin(shell, line)); exit != "0" {
			t.Fatalf("%s: %s %s", line, exit, stderr)
		}
	}
	if data, err := s.Drive().ReadFile(`C:\Temp\X.TMP`); err != nil || string(data) != "QUJD\r\nREVG \r\n" {
		t.Errorf("%q %v", data, err)
	}
	for line, want := range map[string]string{
		"hostname": "MIM01\r\n|0", `"C:\Windows\System32\whoami.exe"`: "mim01\\user\r\n|0", "cmd /c exit 5": "|5", "exit /b 7": "|7",
	} {
		if stdout, _, exit := c.finish(shell, c.begin(shell, line)); stdout+"|"+exit != want {
			t.Errorf("%s: %q exit %s", line, stdout, exit)
		}
	}
	if _, stderr, exit := c.finish(shell, c.begin(shell, "nonesuch /x")); exit != "1" || !strings.HasPrefix(stderr, "'nonesuch' is not recognized") {
		t.Errorf("%s %q", exit, stderr)
	}
	c.options = `<w:Option Name="WINRS_SKIP_CMD_SHELL">True</w:Option>`
	c.command(shell, "nonesuch /x").want(t, "2147942402")
}
