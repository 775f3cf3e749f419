package pack_test

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nightshift-hq/nightshift/deploy/pack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hostJSON = `{
  "version": "2.0",
  "customHandler": { "description": { "defaultExecutablePath": "handler" } }
}
`

const mainGo = "package main\n\nvar version = \"dev\"\n\nfunc main() { println(version) }\n"

// repository writes a small repository: files by path, on top of one app that works.
func repository(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	all := map[string]string{
		"go.mod":                                "module example.com/estate\n\ngo 1.26\n",
		"host.json":                             hostJSON,
		"functions/toy/main.go":                 mainGo,
		"functions/toy/toyscan/function.json":   `{"bindings":[]}`,
		"functions/toy/toyfetch/function.json":  `{"bindings":[]}`,
		"functions/toy/toyscan/toyscan.go":      "// Package toyscan scans.\npackage toyscan\n",
		"functions/toy/toyscan/testdata/x.json": "{}",
		"functions/toy/local.settings.json":     `{"Values":{"FTPPassword":"junk"}}`,
		"functions/toy/toyscan/.function.json~": "junk",
		"functions/toy/notes/todo.txt":          "junk",
		"functions/unfinished/README.md":        "no main.go: not an app",
	}
	maps.Copy(all, files)
	for name, content := range all {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func build(t *testing.T, o pack.Options) pack.Package {
	t.Helper()
	packages, err := pack.Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) != 1 {
		t.Fatalf("packed %d apps, want 1", len(packages))
	}
	return packages[0]
}

func TestPackageIsExactlyAnAppRoot(t *testing.T) {
	t.Parallel()
	for _, target := range []struct{ os, arch, handler string }{
		{"linux", "amd64", "handler"},
		{"linux", "arm64", "handler"},
		{"windows", "amd64", "handler.exe"},
	} {
		t.Run(target.os+"-"+target.arch, func(t *testing.T) {
			t.Parallel()
			root := repository(t, nil)
			p := build(t, pack.Options{Root: root, OS: target.os, Arch: target.arch, Version: "v1"})
			want := []string{target.handler, "host.json", "toyfetch/function.json", "toyscan/function.json"}
			if got := filesBelow(t, p.Dir); !slices.Equal(got, want) {
				t.Errorf("app root holds %q, want %q", got, want)
			}
			if p.Zip != filepath.Join(root, "build", "toy-"+target.os+"-"+target.arch+".zip") {
				t.Errorf("zip is %q", p.Zip)
			}
			checkZip(t, p.Zip, p.Dir, target.handler, want)
		})
	}
}

// checkZip reads back what the zip says about each entry: the host mounts it and believes it.
func checkZip(t *testing.T, file, dir, handler string, want []string) {
	t.Helper()
	archive, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	var names []string
	for _, entry := range archive.File {
		names = append(names, entry.Name)
		mode := fs.FileMode(0o644)
		if entry.Name == handler {
			mode = 0o755
		}
		if entry.Mode() != mode {
			t.Errorf("%s: mode %v, want %v", entry.Name, entry.Mode(), mode)
		}
		if system := entry.CreatorVersion >> 8; system != 3 {
			t.Errorf("%s: made by system %d, want 3 (Unix)", entry.Name, system)
		}
		if regular := entry.ExternalAttrs >> 16 & 0o170000; regular != 0o100000 {
			t.Errorf("%s: file type %o, want a regular file", entry.Name, regular)
		}
		if !entry.Modified.Equal(time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("%s: dated %v", entry.Name, entry.Modified)
		}
		inZip, err := fs.ReadFile(archive, entry.Name)
		if err != nil {
			t.Fatal(err)
		}
		inDir, err := os.ReadFile(filepath.Join(dir, entry.Name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(inZip, inDir) {
			t.Errorf("%s: folder and zip differ", entry.Name)
		}
	}
	if !slices.Equal(names, want) {
		t.Errorf("zip holds %q, want %q in this order", names, want)
	}
}

func TestSameSourceSameBytesWhereverItLies(t *testing.T) {
	t.Parallel()
	first := build(t, pack.Options{Root: repository(t, nil), Version: "v1"})
	elsewhere := repository(t, nil)
	second := build(t, pack.Options{Root: elsewhere, Out: filepath.Join(t.TempDir(), "deep", "out"), Version: "v1"})
	if first.SHA256 != second.SHA256 || first.Size != second.Size {
		t.Errorf("two builds differ: %d bytes %s, %d bytes %s", first.Size, first.SHA256, second.Size, second.SHA256)
	}
	other := build(t, pack.Options{Root: elsewhere, Version: "v2"})
	if other.SHA256 == first.SHA256 {
		t.Error("another version gave the same bytes: the version is not in the handler")
	}
}

func TestHandlerRunsAndKnowsItsVersion(t *testing.T) {
	t.Parallel()
	p := build(t, pack.Options{Root: repository(t, nil), OS: runtime.GOOS, Arch: runtime.GOARCH, Version: "v1.2.3-4-gabc"})
	handler := filepath.Join(p.Dir, "handler")
	if runtime.GOOS == "windows" {
		handler += ".exe"
	}
	out, err := exec.CommandContext(t.Context(), handler).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "v1.2.3-4-gabc" {
		t.Errorf("handler said %q, %v", out, err)
	}
}

func TestHostJSON(t *testing.T) {
	t.Parallel()
	root := repository(t, nil)
	p := build(t, pack.Options{Root: root, Version: "v1"})
	if got, _ := os.ReadFile(filepath.Join(p.Dir, "host.json")); string(got) != hostJSON {
		t.Errorf("host.json changed on the way: %s", got)
	}
	p = build(t, pack.Options{Root: root, Version: "v1", OS: "windows"})
	got, err := os.ReadFile(filepath.Join(p.Dir, "host.json"))
	if err != nil || !strings.Contains(string(got), `"defaultExecutablePath": "handler.exe"`) || !strings.Contains(string(got), `"version": "2.0"`) {
		t.Errorf("host.json for Windows: %s (%v)", got, err)
	}
	if kept, _ := os.ReadFile(filepath.Join(root, "host.json")); string(kept) != hostJSON {
		t.Errorf("the repository's own host.json was changed: %s", kept)
	}
}

func TestPackingAgainLeavesNothingOfTheOldPackage(t *testing.T) {
	t.Parallel()
	root := repository(t, nil)
	p := build(t, pack.Options{Root: root, Version: "v1", OS: "windows"})
	if err := os.RemoveAll(filepath.Join(root, "functions/toy/toyfetch")); err != nil {
		t.Fatal(err)
	}
	p = build(t, pack.Options{Root: root, Version: "v1"})
	want := []string{"handler", "host.json", "toyscan/function.json"}
	if got := filesBelow(t, p.Dir); !slices.Equal(got, want) {
		t.Errorf("app root holds %q, want %q", got, want)
	}
	if got := filesBelow(t, filepath.Join(root, "build")); len(got) != len(want)+2 {
		t.Errorf("build holds %q: want the app root and two zips", got)
	}
}

func TestBrokenAppsAreRefusedAndTheLastGoodPackageStays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		apps  []string
		want  string
	}{
		"does not compile":      {files: map[string]string{"functions/toy/main.go": "package main\nfunc main() { undefined() }"}, want: "undefined: undefined"},
		"function.json broken":  {files: map[string]string{"functions/toy/toyscan/function.json": "{"}, want: "toyscan/function.json: not valid JSON"},
		"name with capitals":    {files: map[string]string{"functions/toy/ToyBig/function.json": "{}"}, want: `function folder "ToyBig"`},
		"host.json broken":      {files: map[string]string{"host.json": "{"}, want: "read host.json"},
		"host.json other name":  {files: map[string]string{"host.json": `{"customHandler":{"description":{"defaultExecutablePath":"main"}}}`}, want: "defaultExecutablePath is main"},
		"app does not exist":    {apps: []string{"nosuch"}, want: `pack app "nosuch"`},
		"app without functions": {files: map[string]string{"functions/idle/main.go": mainGo}, apps: []string{"idle"}, want: "no <function>/function.json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := repository(t, c.files)
			out := filepath.Join(t.TempDir(), "build")
			good := build(t, pack.Options{Root: repository(t, nil), Out: out, Version: "v1"})
			_, err := pack.Build(t.Context(), pack.Options{Root: root, Out: out, Apps: c.apps, Version: "v1"})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if got := filesBelow(t, out); len(got) != 5 {
				t.Errorf("build holds %q: want only the good package's files", got)
			}
			if _, err := os.Stat(good.Zip); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestVersionWithoutGitIsDev(t *testing.T) {
	t.Parallel()
	if got := pack.Version(t.Context(), t.TempDir()); got != "dev" {
		t.Errorf("version %q, want dev", got)
	}
}

func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, relErr := filepath.Rel(dir, name)
			names, err = append(names, filepath.ToSlash(rel)), relErr
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
