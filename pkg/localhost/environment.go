package localhost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/nightshift-hq/nightshift/pkg/localhost/internal/netjson"
)

// FileError names the place in a file that keeps an app or a function from loading.
type FileError struct {
	File    string
	Line    int // 1-based; 0 when the whole file is meant
	Problem string
}

func (e *FileError) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Problem
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Problem)
}

// readJSON reads a JSON file whose document must be an object.
func readJSON(file string) (netjson.Value, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return netjson.Value{}, fmt.Errorf("read %s: %w", file, err)
	}
	v, err := netjson.Parse(string(text))
	var syntax *netjson.SyntaxError
	if errors.As(err, &syntax) {
		return netjson.Value{}, &FileError{file, syntax.Line, fmt.Sprintf("not JSON at column %d: %s", syntax.Column, syntax.Problem)}
	}
	if v.Kind != netjson.Object {
		return netjson.Value{}, &FileError{file, v.Line, "must be a JSON object, got " + v.Kind.String()}
	}
	return v, nil
}

// environment is the app settings: what the process has, then local.settings.json. Names ignore case, as .NET's
// configuration does; the handler gets them as they were written.
type environment struct {
	list []string
	byID map[string]string
}

func newEnvironment(environ []string) *environment {
	e := &environment{byID: map[string]string{}}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		e.add(name, value)
	}
	return e
}

// add keeps the first value of a name.
func (e *environment) add(name, value string) {
	id := settingID(name)
	if _, ok := e.byID[id]; ok && name != "" {
		// Linux tells PATH from Path: the handler gets both, the host looks at the first.
		if runtime.GOOS == "windows" || slices.ContainsFunc(e.list, func(pair string) bool { return strings.HasPrefix(pair, name+"=") }) {
			return
		}
	} else {
		e.byID[id] = value
	}
	e.list = append(e.list, name+"="+value)
}

// settingID is what makes two names the same setting: case does not count, and a double underscore is a colon.
func settingID(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), "__", ":")
}

func (e *environment) lookup(name string) (string, bool) {
	v, ok := e.byID[settingID(name)]
	return v, ok
}

func (e *environment) get(name string) string {
	v, _ := e.lookup(name)
	return v
}

// isTrue reads a switch as the host does.
func (e *environment) isTrue(name string) bool { return isTrue(e.get(name)) }

func isTrue(text string) bool { return text == "1" || strings.EqualFold(text, "true") }

// disabled says whether a function is switched off by AzureWebJobs.<name>.Disabled or AzureWebJobs_<name>_Disabled.
func (e *environment) disabled(function string) bool {
	return e.isTrue("AzureWebJobs."+function+".Disabled") || e.isTrue("AzureWebJobs_"+function+"_Disabled")
}

// addLocalSettings adds Values of a local.settings.json that the environment does not already have. A missing file is fine.
func (e *environment) addLocalSettings(file string) error {
	doc, err := readJSON(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if v, ok := doc.Get("IsEncrypted"); ok && v.Bool {
		return &FileError{file, v.Line, "the settings are encrypted; run `func settings decrypt` (Core Tools) and keep the file out of version control"}
	}
	values, ok := doc.Get("Values")
	if !ok {
		return nil
	}
	if values.Kind != netjson.Object {
		return &FileError{file, values.Line, `"Values" must be an object of strings, got ` + values.Kind.String()}
	}
	for _, m := range values.Members {
		switch m.Value.Kind {
		case netjson.Object, netjson.Array:
			return &FileError{file, m.Value.Line, fmt.Sprintf("the value of %q must be a string, got %s", m.Name, m.Value.Kind)}
		case netjson.Null:
		default:
			e.add(m.Name, netjson.Text(m.Value, nil))
		}
	}
	return nil
}

// resolve replaces each %Name% by that setting.
func (e *environment) resolve(text string) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "%")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, after, closed := strings.Cut(rest, "%")
		if !closed {
			return "", fmt.Errorf("the '%%' in %q has no second one", text)
		}
		value, ok := e.lookup(name)
		if !ok || value == "" {
			return "", fmt.Errorf("'%%%s%%' does not resolve to a value", name)
		}
		b.WriteString(value)
		text = after
	}
}

// expand replaces each %Name% by that setting and removes unknown ones, as the host does in customHandler.description.
func (e *environment) expand(text string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "%")
		name, after, closed := strings.Cut(rest, "%")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if !closed {
			return b.String() + "%" + rest
		}
		b.WriteString(e.get(name))
		text = after
	}
}

// localSettingsFile is where Core Tools looks for an app's settings.
func localSettingsFile(root string) string { return filepath.Join(root, "local.settings.json") }
