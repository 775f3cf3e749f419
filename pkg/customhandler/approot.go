package customhandler

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// appRoot is what host.json and the function.json files say: the one source for names of queues and limits.
type appRoot struct {
	timeout    time.Duration // functionTimeout; 0 means none
	maxDequeue int
	debug      bool
	functions  map[string]functionFile // by lower-case name
}

// functionFile is a function's folder with its function.json.
type functionFile struct {
	name     string
	trigger  binding
	response string // name of the HTTP output binding
	retries  bool   // it has a retry policy
}

type binding struct {
	Type, Direction, Name, QueueName, Schedule, DataType, Connection string

	queue    string // QueueName with settings filled in, lower case
	schedule string // Schedule with settings filled in
}

func (b binding) binary() bool { return strings.EqualFold(b.DataType, "binary") }

// kind is the trigger's type in this package's spelling; the host ignores case.
func (b binding) kind() trigger {
	for _, t := range []trigger{timerTrigger, queueTrigger, httpTrigger} {
		if strings.EqualFold(b.Type, string(t)) {
			return t
		}
	}
	return trigger(b.Type)
}

const (
	defaultTimeout    = 5 * time.Minute // the smallest default among the plans
	defaultMaxDequeue = 5
)

// readAppRoot reads host.json and every function.json. Settings of the form AzureFunctionsJobHost__… win over host.json, as
// they do in the host.
func readAppRoot(root fs.FS, environ []string) (appRoot, error) {
	var file struct {
		FunctionTimeout *string
		Logging         struct{ LogLevel map[string]string }
		Extensions      struct {
			Queues struct {
				MaxDequeueCount *int
				MessageEncoding string
			}
		}
		CustomHandler struct{ EnableForwardingHTTPRequest bool }
	}
	if err := readJSON(root, "host.json", &file); err != nil {
		return appRoot{}, err
	}
	r := appRoot{timeout: defaultTimeout, maxDequeue: defaultMaxDequeue, functions: map[string]functionFile{}}
	text := lookup(environ, "AzureFunctionsJobHost__functionTimeout")
	if text == "" && file.FunctionTimeout != nil {
		text = *file.FunctionTimeout
	}
	if text != "" {
		var err error
		if r.timeout, err = parseTimeout(text); err != nil {
			return appRoot{}, fmt.Errorf("read host.json: functionTimeout: %w", err)
		}
	}
	if n := file.Extensions.Queues.MaxDequeueCount; n != nil {
		r.maxDequeue = *n
	}
	if n, err := strconv.Atoi(lookup(environ, "AzureFunctionsJobHost__extensions__queues__maxDequeueCount")); err == nil {
		r.maxDequeue = n
	}
	if r.maxDequeue < 1 {
		return appRoot{}, fmt.Errorf("read host.json: extensions.queues.maxDequeueCount is %d, want 1 or more", r.maxDequeue)
	}
	if e := file.Extensions.Queues.MessageEncoding; e != "" && !strings.EqualFold(e, "base64") {
		return appRoot{}, fmt.Errorf("read host.json: extensions.queues.messageEncoding is %q, want base64: messages are sent so", e)
	}
	if file.CustomHandler.EnableForwardingHTTPRequest {
		return appRoot{}, errors.New("read host.json: customHandler.enableForwardingHttpRequest is true, want false: this handler answers the host's invocations, not its clients' requests")
	}
	level := lookup(environ, "AzureFunctionsJobHost__logging__logLevel__default")
	if level == "" {
		level = file.Logging.LogLevel["default"]
	}
	r.debug = strings.EqualFold(level, "Debug") || strings.EqualFold(level, "Trace")
	return r, r.readFunctions(root, environ)
}

func (r *appRoot) readFunctions(root fs.FS, environ []string) error {
	paths, err := fs.Glob(root, "*/function.json")
	if err != nil {
		return fmt.Errorf("list functions: %w", err)
	}
	for _, p := range paths {
		f, err := readFunction(root, p, environ)
		if err != nil {
			return err
		}
		r.functions[strings.ToLower(f.name)] = f
	}
	return nil
}

func readFunction(root fs.FS, file string, environ []string) (functionFile, error) {
	var content struct {
		Bindings []binding
		Retry    json.RawMessage
	}
	if err := readJSON(root, file, &content); err != nil {
		return functionFile{}, err
	}
	f := functionFile{name: path.Dir(file), response: "res", retries: kindOf(content.Retry) == '{'}
	for _, b := range content.Bindings {
		switch {
		case strings.HasSuffix(strings.ToLower(b.Type), "trigger"):
			if f.trigger.Type != "" {
				return f, fmt.Errorf("read %s: it has two triggers, want one", file)
			}
			b.queue = strings.ToLower(fillIn(b.QueueName, environ))
			b.schedule = fillIn(b.Schedule, environ)
			f.trigger = b
		case strings.EqualFold(b.Type, "http"):
			f.response = b.Name
		}
	}
	if f.trigger.Type == "" {
		return f, fmt.Errorf("read %s: it has no trigger among its bindings", file)
	}
	return f, nil
}

func readJSON(root fs.FS, name string, into any) error {
	raw, err := fs.ReadFile(root, name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	raw = bytes.TrimPrefix(raw, []byte("\ufeff")) // Windows editors write a byte order mark
	if err := json.Unmarshal(raw, into); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return fmt.Errorf("read %s: line %d: %w", name, 1+bytes.Count(raw[:syntax.Offset], []byte("\n")), err)
		}
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// lookup finds an environment variable as the host's configuration does: in any case, "" when it is not there.
func lookup(environ []string, name string) string {
	found := ""
	for _, entry := range environ {
		if n, value, ok := strings.Cut(entry, "="); ok && (n == name || found == "" && strings.EqualFold(n, name)) {
			found = value
		}
	}
	return found
}

// fillIn replaces every %Setting% by its value. One that is not set stays as it is: the host does not load such a function.
func fillIn(text string, environ []string) string {
	before, rest, ok := strings.Cut(text, "%")
	for ok {
		var name, after string
		if name, after, ok = strings.Cut(rest, "%"); !ok {
			return before + "%" + rest
		}
		value := lookup(environ, name)
		if value == "" {
			value = "%" + name + "%"
		}
		before += value
		var next string
		next, rest, ok = strings.Cut(after, "%")
		before += next
	}
	return before
}

// parseTimeout reads functionTimeout: a .NET TimeSpan ([d.]hh:mm[:ss]); a negative one means no limit.
func parseTimeout(text string) (time.Duration, error) {
	bad := fmt.Errorf("%q is no time span, want hh:mm:ss, for example 00:10:00", text)
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "-") {
		return 0, nil
	}
	var days int
	if d, rest, ok := strings.Cut(text, "."); ok && strings.Contains(rest, ":") {
		var err error
		if days, err = strconv.Atoi(d); err != nil {
			return 0, bad
		}
		text = rest
	}
	text, _, _ = strings.Cut(text, ".") // fractions of a second do not matter here
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return 0, bad
	}
	total := time.Duration(days) * 24 * time.Hour
	for i, unit := range []time.Duration{time.Hour, time.Minute, time.Second}[:len(parts)] {
		n, err := strconv.Atoi(parts[i])
		if err != nil || n < 0 || n > 59 {
			return 0, bad
		}
		total += time.Duration(n) * unit
	}
	if total <= 0 {
		return 0, bad
	}
	return total, nil
}

// CheckFunctions compares an app root (or an app's source folder, which has the same function.json files) with the functions
// that its main registers. It reports every function.json without a handler, every handler without a function.json, triggers
// that differ, and bindings that this package would misread. Every app also has the two functions invoke and check.
func CheckFunctions(root fs.FS, fns []Function) error {
	var r appRoot
	r.functions = map[string]functionFile{}
	if err := r.readFunctions(root, nil); err != nil {
		return err
	}
	return errors.Join(r.compare(fns)...)
}

func (r appRoot) compare(fns []Function) []error {
	var problems []error
	known := map[string]bool{}
	for _, f := range append(slices.Clone(fns), HTTPFunc(invokeName, nil), HTTPFunc(checkName, nil)) {
		lower := strings.ToLower(f.name)
		if known[lower] {
			problems = append(problems, fmt.Errorf("function %q is registered twice", f.name))
			continue
		}
		known[lower] = true
		if f.problem != nil {
			problems = append(problems, fmt.Errorf("function %q: %w", f.name, f.problem))
		}
		file, ok := r.functions[lower]
		if !ok {
			problems = append(problems, fmt.Errorf("function %q has a handler but no %s/function.json", f.name, f.name))
			continue
		}
		problems = append(problems, file.compare(f)...)
	}
	for lower, file := range r.functions {
		if !known[lower] {
			problems = append(problems, fmt.Errorf("%s/function.json has no handler: register it in the app's main", file.name))
		}
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return problems
}

func (file functionFile) compare(f Function) []error {
	var problems []error
	report := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf(file.name+"/function.json: "+format, args...))
	}
	if file.name != f.name {
		report("the folder is called %q, the handler %q: use one spelling", file.name, f.name)
	}
	if file.trigger.kind() != f.trigger {
		report("trigger is %s, the handler is for %s", file.trigger.Type, f.trigger)
		return problems
	}
	if f.trigger == queueTrigger {
		if !file.trigger.binary() {
			report(`the queue binding needs "dataType": "binary", or the host alters what it hands over`)
		}
		if file.trigger.QueueName == "" {
			report(`the queue binding has no "queueName"`)
		}
		if file.retries {
			report(`a queue function needs no "retry": the message has its tries, which survive the process`)
		}
		if c := file.trigger.Connection; c != "" && c != "AzureWebJobsStorage" {
			report("connection is %q, want AzureWebJobsStorage or none", c)
		}
	}
	return problems
}
