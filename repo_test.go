package nightshift_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// These are the repository's own rules. Each failure names the file and says what to do.

const (
	module   = "github.com/nightshift-hq/nightshift"
	maxLines = 500
)

// goFile is one parsed Go file; dir and name are slash-separated and relative to the repository.
type goFile struct {
	name, dir string
	test      bool
	syntax    *ast.File
	lines     int
}

func (f goFile) imports() []string {
	var paths []string
	for _, spec := range f.syntax.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

// calls reports whether the file uses a function of a package, such as "time", "Sleep".
func (f goFile) calls(pkg, function string) bool {
	found := false
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok && selector.Sel.Name == function {
			id, ok := selector.X.(*ast.Ident)
			found = found || ok && id.Name == pkg
		}
		return !found
	})
	return found
}

// declares reports whether the file has a package variable of that name.
func (f goFile) declares(name string) bool {
	for _, declaration := range f.syntax.Decls {
		general, ok := declaration.(*ast.GenDecl)
		if !ok || general.Tok != token.VAR {
			continue
		}
		for _, spec := range general.Specs {
			if slices.ContainsFunc(spec.(*ast.ValueSpec).Names, func(id *ast.Ident) bool { return id.Name == name }) {
				return true
			}
		}
	}
	return false
}

// files lists what the repository consists of, without what is installed or built.
func files(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (name == ".git" || name == "build" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if d.Type().IsRegular() && name != ".git" && name != "local.settings.json" {
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func goFiles(t *testing.T) []goFile {
	t.Helper()
	var parsed []goFile
	set := token.NewFileSet()
	for _, name := range files(t) {
		if path.Ext(name) != ".go" || strings.Contains(name, "testdata/") {
			continue
		}
		syntax, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		lines := set.File(syntax.Pos()).LineCount()
		parsed = append(parsed, goFile{name, path.Dir(name), strings.HasSuffix(name, "_test.go"), syntax, lines})
	}
	return parsed
}

// apps lists the folders below functions/ that are Function Apps.
func apps(t *testing.T) []string {
	t.Helper()
	mains, err := filepath.Glob("functions/*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for i, main := range mains {
		mains[i] = path.Dir(filepath.ToSlash(main))
	}
	return mains
}

func TestEveryPackageHasOneDoc(t *testing.T) {
	t.Parallel()
	docs := map[string][]string{}
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		names := docs[f.dir]
		if f.syntax.Doc != nil {
			names = append(names, f.name)
		}
		docs[f.dir] = names
	}
	for dir, names := range docs {
		if len(names) != 1 {
			t.Errorf("%s: the package has %d package comments %q, want exactly one that promises what it does", dir, len(names), names)
		}
	}
}

func TestPackageNamesCarryANoun(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		switch name := strings.TrimSuffix(f.syntax.Name.Name, "_test"); name {
		case "util", "utils", "common", "helper", "helpers", "manager", "misc":
			t.Errorf("%s: package %s says nothing: name it after what it holds", f.name, name)
		}
	}
}

func TestNoSleepInTests(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		if f.test && f.calls("time", "Sleep") {
			t.Errorf("%s: time.Sleep makes a test slow or flaky: wait for a signal, use testing/synctest, or poll with a deadline", f.name)
		}
	}
}

func TestEnvironmentIsReadInOnePlace(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		if f.test || strings.HasPrefix(f.name, "deploy/") || strings.HasPrefix(f.name, "pkg/settings/") || strings.HasPrefix(f.name, "pkg/sim/") {
			continue
		}
		if f.calls("os", "Getenv") || f.calls("os", "LookupEnv") {
			t.Errorf("%s: reads the environment: make it a documented setting of pkg/settings", f.name)
		}
	}
}

func TestNoInit(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		for _, declaration := range f.syntax.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok && function.Recv == nil && function.Name.Name == "init" {
				t.Errorf("%s: has an init function: let main or a constructor do it", f.name)
			}
		}
	}
}

func TestFilesStayReadable(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		if f.lines > maxLines {
			t.Errorf("%s: %d lines, at most %d: split it by what the parts do", f.name, f.lines, maxLines)
		}
	}
}

// TestImportsRunOneWay keeps functions → pkg → libraries, and each Function App by itself.
func TestImportsRunOneWay(t *testing.T) {
	t.Parallel()
	for _, f := range goFiles(t) {
		for _, imported := range f.imports() {
			if reason := forbidden(f, strings.TrimPrefix(imported, module+"/")); reason != "" {
				t.Errorf("%s imports %s: %s", f.name, imported, reason)
			}
		}
	}
}

func forbidden(f goFile, imported string) string {
	top, rest, _ := strings.Cut(f.dir, "/")
	app, _, _ := strings.Cut(rest, "/")
	support := f.test || strings.HasSuffix(f.dir, "test") // a package such as net/http/httptest
	switch {
	case top == "pkg" && strings.HasPrefix(imported, "functions/"):
		return "no client knows an app: turn the dependency round"
	case top != "deploy" && strings.HasPrefix(imported, "deploy/") && !f.test:
		return "what runs does not depend on how it gets there"
	case top == "functions" && strings.HasPrefix(imported, "functions/") && !strings.HasPrefix(imported+"/", "functions/"+app+"/"):
		return "apps meet only in queues and blobs"
	case top == "functions" && !support && (strings.HasPrefix(imported, "pkg/sim/") || strings.HasPrefix(imported, "pkg/localhost")):
		return "the simulated world stays out of what is deployed"
	case !support && strings.HasSuffix(imported, "test") && (strings.HasPrefix(imported, "pkg/") || strings.HasPrefix(imported, "functions/")):
		return "support for tests stays in tests"
	case strings.HasPrefix(imported, "github.com/microsoftgraph/") && f.dir != "pkg/graph" && !strings.HasPrefix(f.dir, "pkg/graph/"):
		return "only pkg/graph talks to the Graph SDK: its middleware and models need one careful owner"
	}
	return ""
}

// binding is what the rules look at in a function.json.
type binding struct {
	Type, Name, Direction, DataType, AuthLevel string
}

func TestFunctionFolders(t *testing.T) {
	t.Parallel()
	packages := map[string]string{}
	for _, f := range goFiles(t) {
		packages[f.dir] = strings.TrimSuffix(f.syntax.Name.Name, "_test")
	}
	for _, app := range apps(t) {
		triggers, err := filepath.Glob(app + "/*/function.json")
		if err != nil || len(triggers) == 0 {
			t.Errorf("%s: no trigger folder with a function.json (%v)", app, err)
		}
		for _, operator := range []string{"invoke", "check"} {
			if !slices.Contains(triggers, filepath.FromSlash(app+"/"+operator+"/function.json")) {
				t.Errorf("%s: has no %s/function.json: every app carries invoke and check for its operator", app, operator)
			}
		}
		for _, file := range triggers {
			folder := path.Dir(filepath.ToSlash(file))
			if name, ok := packages[folder]; ok && name != path.Base(folder) {
				t.Errorf("%s: package %s: folder, package, function and route have one name", folder, name)
			}
			checkBindings(t, file)
		}
	}
}

func checkBindings(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var function struct{ Bindings []binding }
	if err := json.Unmarshal(data, &function); err != nil {
		t.Errorf("%s: %v", file, err)
		return
	}
	triggers := 0
	for _, b := range function.Bindings {
		if strings.HasSuffix(b.Type, "Trigger") {
			triggers++
		}
		if b.Type == "queueTrigger" && b.DataType != "binary" {
			t.Errorf("%s: queue trigger without \"dataType\": \"binary\": the host would encode the payload twice and mix it with metadata", file)
		}
		if b.Type == "httpTrigger" && b.AuthLevel != "function" && b.AuthLevel != "admin" {
			t.Errorf("%s: HTTP trigger with authLevel %q, want \"function\": operators' functions need a key in Azure", file, b.AuthLevel)
		}
	}
	if triggers != 1 {
		t.Errorf("%s: %d triggers, want exactly one", file, triggers)
	}
}

// TestAppsCheckThemselves: what only the app can compare (its handlers), its own test must compare.
func TestAppsCheckThemselves(t *testing.T) {
	t.Parallel()
	all := goFiles(t)
	for _, app := range apps(t) {
		if !slices.ContainsFunc(all, func(f goFile) bool {
			return f.test && (f.dir == app || strings.HasPrefix(f.dir, app+"/")) && f.calls("customhandler", "CheckFunctions")
		}) {
			t.Errorf("%s: no test calls customhandler.CheckFunctions, which proves that each function.json has its handler and the reverse", app)
		}
	}
}

// TestAppsKnowTheirVersion: the linker fills in main.version, and ignores without a word that there is none.
func TestAppsKnowTheirVersion(t *testing.T) {
	t.Parallel()
	all := goFiles(t)
	for _, app := range apps(t) {
		if !slices.ContainsFunc(all, func(f goFile) bool { return f.dir == app && f.declares("version") }) {
			t.Errorf("%s: main has no variable \"version\" for deploy/pack to fill in", app)
		}
	}
}

func TestHostNamesTheHandler(t *testing.T) {
	t.Parallel()
	found := []string{}
	for _, name := range files(t) {
		if path.Base(name) == "host.json" && !strings.Contains(name, "testdata/") {
			found = append(found, name)
		}
	}
	if !slices.Equal(found, []string{"host.json"}) {
		t.Errorf("host.json files %q: want only the one that every app is packaged with", found)
	}
}

func TestLockFilesNameNoRegistry(t *testing.T) {
	t.Parallel()
	for _, name := range files(t) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		switch path.Base(name) {
		case "package-lock.json":
			if bytes.Contains(data, []byte(`"resolved"`)) {
				t.Errorf("%s: carries \"resolved\" addresses: write it with omit-lockfile-registry-resolved=true, so that every registry serves it", name)
			}
			if !bytes.Contains(data, []byte(`"integrity"`)) {
				t.Errorf("%s: carries no \"integrity\": nothing would notice a changed package", name)
			}
		case ".npmrc":
			if regexp.MustCompile(`(?m)^\s*(.*:)?registry\s*=|_auth`).Match(data) {
				t.Errorf("%s: names a registry or a token: that belongs to the machine", name)
			}
		}
	}
}

// TestNothingNamesThisMachine: no file holds the place of this checkout, somebody's home, or a package mirror of this network.
func TestNothingNamesThisMachine(t *testing.T) {
	t.Parallel()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	local := map[string]string{here: "the path of this checkout"}
	for _, host := range mirrors(t) {
		local[host] = "where this machine fetches packages"
	}
	home := regexp.MustCompile(`(?:/home|/Users|[Cc]:\\+Users)[/\\]+[A-Za-z][\w.-]*[/\\]`)
	harmless := regexp.MustCompile(`^/home/(site|data|LogFiles|ASP\.NET|you)/`)
	for _, name := range files(t) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for text, what := range local {
			if bytes.Contains(data, []byte(text)) {
				t.Errorf("%s: contains %s (%s)", name, text, what)
			}
		}
		for _, match := range home.FindAll(data, -1) {
			if !harmless.Match(match) && !strings.Contains(name, "testdata/") {
				t.Errorf("%s: contains somebody's home folder %s", name, match)
			}
		}
	}
}

// mirrors lists the hosts from which this machine is set up to fetch packages. No file names one: others have their own.
func mirrors(t *testing.T) []string {
	t.Helper()
	text := ""
	for _, ask := range [][]string{{"go", "env", "GOPROXY"}, {"npm", "config", "get", "registry"}} {
		out, err := exec.CommandContext(t.Context(), ask[0], ask[1:]...).Output()
		if err != nil {
			t.Fatal(fmt.Errorf("ask %s where packages come from: %w", ask[0], err))
		}
		text += string(out)
	}
	var hosts []string
	for _, match := range regexp.MustCompile(`https?://(?:[^@/\s]*@)?([^/:,|\s]+)`).FindAllStringSubmatch(text, -1) {
		if host := match[1]; strings.Contains(host, ".") && !strings.HasPrefix(host, "127.") {
			hosts = append(hosts, host)
		}
	}
	return hosts
}
