// Package pack assembles each Function App exactly as Azure wants it: a folder that is an app root and the zip of that folder.
//
// Only three kinds of file are shipped: host.json, the handler, and each trigger folder's function.json. Tests, sources and
// whatever else lies around stay home. The same commit, Go version and target give the same bytes on every machine. In the
// zip the handler is executable and everything else readable, also when packed on Windows: the entries say that Unix made
// them, and a host that mounts the zip read-only depends on that.
//
// For a Windows target the handler is called handler.exe, and the packaged host.json (never the repository's) names it so.
package pack

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Options say what to pack. Root is required.
type Options struct {
	Root    string   // the repository: host.json and functions/
	Out     string   // where build/ goes; empty means Root/build
	Apps    []string // folders below functions/; empty means all of them
	OS      string   // GOOS; empty means linux, which managed plans run
	Arch    string   // GOARCH; empty means amd64, which managed plans run
	Version string   // what the handler calls itself; empty asks Version
}

// Package is one packed app.
type Package struct {
	App     string
	Version string
	Dir     string // the app root: build/apps/<app>
	Zip     string // build/<app>-<os>-<arch>.zip
	Size    int64  // of the zip, bytes
	SHA256  string // of the zip, hexadecimal
}

// Build packs the apps, one after the other. An app that was packed before is replaced as a whole or left as it was.
func Build(ctx context.Context, o Options) ([]Package, error) {
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return nil, fmt.Errorf("locate the repository: %w", err)
	}
	o.Root = root
	o.Out = cmp.Or(o.Out, filepath.Join(o.Root, "build"))
	o.OS = cmp.Or(o.OS, "linux")
	o.Arch = cmp.Or(o.Arch, "amd64")
	if o.Version == "" {
		o.Version = Version(ctx, o.Root)
	}
	if len(o.Apps) == 0 {
		if o.Apps, err = Apps(o.Root); err != nil {
			return nil, err
		}
	}
	var packages []Package
	for _, app := range o.Apps {
		p, err := o.build(ctx, app)
		if err != nil {
			return nil, fmt.Errorf("pack app %q: %w", app, err)
		}
		packages = append(packages, p)
	}
	return packages, nil
}

// Apps lists the Function Apps of a repository: the folders below functions/ that hold a main.go.
func Apps(root string) ([]string, error) {
	mains, err := filepath.Glob(filepath.Join(root, "functions", "*", "main.go"))
	if err != nil {
		return nil, fmt.Errorf("list apps: %w", err)
	}
	if len(mains) == 0 {
		return nil, fmt.Errorf("list apps: no functions/<app>/main.go below %q", root)
	}
	apps := make([]string, len(mains))
	for i, main := range mains {
		apps[i] = filepath.Base(filepath.Dir(main))
	}
	return apps, nil
}

// Version describes the commit that is packed, as `git describe` does; without git or a commit it is "dev".
func Version(ctx context.Context, root string) string {
	describe := exec.CommandContext(ctx, "git", "-C", root, "describe", "--tags", "--always", "--dirty", "--abbrev=12")
	out, err := describe.Output()
	if err != nil {
		return "dev"
	}
	return cmp.Or(strings.TrimSpace(string(out)), "dev")
}

func (o Options) build(ctx context.Context, app string) (Package, error) {
	p := Package{
		App:     app,
		Version: o.Version,
		Dir:     filepath.Join(o.Out, "apps", app),
		Zip:     filepath.Join(o.Out, fmt.Sprintf("%s-%s-%s.zip", app, o.OS, o.Arch)),
	}
	if err := os.MkdirAll(filepath.Dir(p.Dir), 0o755); err != nil {
		return p, fmt.Errorf("make the build folder: %w", err)
	}
	staged, err := os.MkdirTemp(filepath.Dir(p.Dir), "."+app+"-")
	if err != nil {
		return p, fmt.Errorf("make a folder to assemble in: %w", err)
	}
	defer os.RemoveAll(staged)
	if err := o.assemble(ctx, app, staged); err != nil {
		return p, err
	}
	archive, err := zipApp(os.DirFS(staged), o.handler())
	if err != nil {
		return p, fmt.Errorf("zip the app: %w", err)
	}
	if err := replaceDir(staged, p.Dir); err != nil {
		return p, err
	}
	if err := replaceFile(p.Zip, archive); err != nil {
		return p, err
	}
	digest := sha256.Sum256(archive)
	p.Size, p.SHA256 = int64(len(archive)), hex.EncodeToString(digest[:])
	return p, nil
}

// assemble makes dir the app root.
func (o Options) assemble(ctx context.Context, app, dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return fmt.Errorf("open the app root to its readers: %w", err)
	}
	if err := o.compile(ctx, app, filepath.Join(dir, o.handler())); err != nil {
		return err
	}
	host, err := o.hostJSON()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "host.json"), host, 0o644); err != nil {
		return fmt.Errorf("write host.json: %w", err)
	}
	triggers, err := functions(os.DirFS(filepath.Join(o.Root, "functions", app)))
	if err != nil {
		return err
	}
	for name, content := range triggers {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return fmt.Errorf("make the folder of function %q: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "function.json"), content, 0o644); err != nil {
			return fmt.Errorf("write function.json of %q: %w", name, err)
		}
	}
	return nil
}

// compile builds a static binary whose bytes do not depend on the machine, the checkout's place or the time.
func (o Options) compile(ctx context.Context, app, binary string) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.version="+o.Version, "-o", binary, "./functions/"+app)
	build.Dir = o.Root
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+o.OS, "GOARCH="+o.Arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("compile for %s/%s: %w\n%s", o.OS, o.Arch, err, bytes.TrimSpace(out))
	}
	return nil
}

func (o Options) handler() string {
	if o.OS == "windows" {
		return "handler.exe"
	}
	return "handler"
}

// hostJSON is the repository's host.json; for Windows, with the executable's name there.
func (o Options) hostJSON() ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(o.Root, "host.json"))
	if err != nil {
		return nil, fmt.Errorf("read host.json: %w", err)
	}
	var document map[string]any
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("read host.json: %w", err)
	}
	custom, _ := document["customHandler"].(map[string]any)
	description, _ := custom["description"].(map[string]any)
	if description["defaultExecutablePath"] != "handler" {
		return nil, fmt.Errorf(`read host.json: customHandler.description.defaultExecutablePath is %v, want "handler"`,
			description["defaultExecutablePath"])
	}
	if o.handler() == "handler" {
		return data, nil
	}
	description["defaultExecutablePath"] = o.handler()
	data, err = json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write host.json: %w", err)
	}
	return append(data, '\n'), nil
}

// functionName is what the host accepts as a function's name and what Go accepts as a package's, minus capitals: hosts
// compare names without regard to case.
var functionName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,127}$`)

// functions reads each trigger folder's function.json.
func functions(app fs.FS) (map[string][]byte, error) {
	files, err := fs.Glob(app, "*/function.json")
	if err != nil {
		return nil, fmt.Errorf("list functions: %w", err)
	}
	if len(files) == 0 {
		return nil, errors.New("list functions: no <function>/function.json: the host would start an app that does nothing")
	}
	triggers := make(map[string][]byte, len(files))
	for _, file := range files {
		name := path.Dir(file)
		if !functionName.MatchString(name) || name == "host" {
			return nil, fmt.Errorf("function folder %q: the name must match %s and not be \"host\"", name, functionName)
		}
		data, err := fs.ReadFile(app, file)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		if !json.Valid(data) {
			return nil, fmt.Errorf("read %s: not valid JSON", file)
		}
		triggers[name] = data
	}
	return triggers, nil
}

// replaceDir puts a finished folder in the place of an older one.
func replaceDir(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("remove the previous %q: %w", to, err)
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("put %q in place: %w", to, err)
	}
	return nil
}

// replaceFile writes a file that is never seen half-written.
func replaceFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-")
	if err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("put %q in place: %w", name, err)
	}
	return nil
}

// entries lists an app root's files in the order of the zip.
func entries(app fs.FS) ([]string, error) {
	var names []string
	err := fs.WalkDir(app, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, name)
		}
		return err
	})
	slices.Sort(names)
	return names, err
}
