package localhost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/nightshift-hq/nightshift/pkg/localhost/internal/netjson"
	"github.com/nightshift-hq/nightshift/pkg/schedule"
)

// function is one folder with a function.json. A function with a problem keeps its place, so that the admin API can tell.
type function struct {
	name     string
	file     string
	config   netjson.Value // bindings, and "disabled" when it is written there: what the admin API shows
	bindings []binding
	retry    *retryPolicy
	disabled bool

	listed   bool   // the admin API lists it, also when it cannot run
	problem  error  // why it does not run; nil when it does
	hostSays string // the same in the real host's words, for the admin API

	timer *timerTrigger // one of the three is set when problem is nil
	queue *queueTrigger
	http  *httpTrigger
}

// binding is one entry of "bindings".
type binding struct {
	kind, direction, name, dataType string
	value                           netjson.Value
}

type timerTrigger struct {
	text         string
	schedule     schedule.Schedule
	runOnStartup bool
	monitored    bool
}

type queueTrigger struct {
	queue      string
	connection string
}

type httpTrigger struct {
	route     route
	methods   []string // lower case; empty: all
	authLevel string
}

const (
	namePattern  = `^[a-zA-Z][a-zA-Z0-9_-]{0,127}$`
	paramPattern = `^([a-zA-Z][a-zA-Z0-9]{0,127}|\$return)$`
	queuePattern = `^[a-z0-9](-?[a-z0-9])+$`
)

// loadFunctions reads every */function.json of root in the order of names. A bad function gets a problem and the others
// load; the error is for what fails the whole app.
func loadFunctions(root string, c hostConfig, env *environment) ([]*function, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("read app root: %w", err)
	}
	var functions []*function
	seen := map[string]string{}
	for _, entry := range entries {
		file := filepath.Join(root, entry.Name(), "function.json")
		if info, err := os.Stat(file); err != nil || info.IsDir() {
			continue
		}
		name := entry.Name()
		if other, ok := seen[strings.ToLower(name)]; ok {
			return nil, fmt.Errorf("%s: the functions %q and %q differ only in case; rename one", root, other, name)
		}
		seen[strings.ToLower(name)] = name
		if len(c.only) > 0 && !containsFold(c.only, name) {
			continue
		}
		f := &function{name: name, file: file, disabled: env.disabled(name), retry: c.retry}
		f.load(c, env)
		functions = append(functions, f)
	}
	checkRoutes(functions)
	return functions, nil
}

func containsFold(list []string, s string) bool {
	for _, item := range list {
		if strings.EqualFold(item, s) {
			return true
		}
	}
	return false
}

// fail keeps the first problem. hostSays is what the real host's admin API answers.
func (f *function) fail(line int, problem, hostSays string) {
	if f.problem == nil {
		f.problem = &FileError{f.file, line, problem}
		f.hostSays = hostSays
	}
}

// failIndexing is fail for what the host finds when it indexes the trigger.
func (f *function) failIndexing(line int, problem, cause string) {
	f.fail(line, problem, fmt.Sprintf("Microsoft.Azure.WebJobs.Host: Error indexing method 'Functions.%s'. %s", f.name, cause))
}

func (f *function) load(c hostConfig, env *environment) {
	if !matches(namePattern, f.name) || strings.EqualFold(f.name, "host") {
		f.fail(0, fmt.Sprintf("%q is not a function name: it starts with a letter, goes on with letters, digits, - and _, and is not \"host\"; rename the folder", f.name),
			fmt.Sprintf("'%s' is not a valid function name.", f.name))
		return
	}
	doc, err := readJSON(f.file)
	if err != nil {
		f.problem, f.hostSays = err, err.Error()
		return
	}
	list, _ := doc.Get("bindings")
	f.config = shownConfig(doc)
	if len(list.Items) == 0 {
		f.fail(doc.Line, `"bindings" must be an array with at least one binding`, "At least one binding must be declared.")
		return
	}
	for _, v := range list.Items {
		f.bindings = append(f.bindings, newBinding(v))
	}
	for _, b := range f.bindings {
		if b.dataType != "" && !containsFold([]string{"string", "binary", "stream", "undefined"}, b.dataType) {
			f.fail(lineOf(b.value, "dataType"), fmt.Sprintf(`dataType must be "string" or "binary", got %q`, b.dataType),
				fmt.Sprintf("Requested value '%s' was not found.", b.dataType))
			return
		}
	}
	if v, ok := doc.Get("scriptFile"); ok && v.Text != "" {
		if _, err := os.Stat(filepath.Join(filepath.Dir(f.file), v.Text)); err != nil {
			f.fail(v.Line, fmt.Sprintf("scriptFile %q does not exist; a custom handler needs none", v.Text),
				"Invalid script file name configuration. The 'scriptFile' property is set to a file that does not exist.")
			return
		}
	}
	f.listed = true
	f.checkBindings(doc)
	f.loadRetry(doc, env)
	if f.problem == nil {
		f.index(c, env)
	}
}

// shownConfig keeps of a function.json what the admin API shows.
func shownConfig(doc netjson.Value) netjson.Value {
	config := netjson.Obj()
	for _, m := range doc.Members {
		if strings.EqualFold(m.Name, "bindings") || strings.EqualFold(m.Name, "disabled") {
			config.Members = append(config.Members, m)
		}
	}
	return config
}

func newBinding(v netjson.Value) binding {
	text := func(name string) string {
		field, _ := v.Get(name)
		return netjson.Text(field, nil)
	}
	b := binding{kind: text("type"), direction: strings.ToLower(text("direction")), name: text("name"), dataType: strings.ToLower(text("dataType")), value: v}
	if b.direction == "" {
		b.direction = "in"
	}
	return b
}

func (b binding) isTrigger() bool { return hasSuffixFold(b.kind, "trigger") }

func (b binding) is(kind, direction string) bool {
	return strings.EqualFold(b.kind, kind) && b.direction == direction
}

func (b binding) text(name string) string {
	v, _ := b.value.Get(name)
	return netjson.Text(v, nil)
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

// lineOf is the line of a property, or of the object that lacks it.
func lineOf(v netjson.Value, name string) int {
	if field, ok := v.Get(name); ok {
		return field.Line
	}
	return v.Line
}

func matches(pattern, s string) bool { return regexp.MustCompile(pattern).MatchString(s) }

func (f *function) checkBindings(doc netjson.Value) {
	names := map[string]bool{}
	var triggers []binding
	for _, b := range f.bindings {
		switch {
		case !matches(paramPattern, b.name):
			f.fail(lineOf(b.value, "name"), fmt.Sprintf("the binding name %q must be letters and digits, starting with a letter", b.name),
				fmt.Sprintf("The binding name %s is invalid. Please assign a valid name to the binding.", b.name))
		case names[strings.ToLower(b.name)]:
			f.fail(lineOf(b.value, "name"), fmt.Sprintf("two bindings are named %q", b.name),
				fmt.Sprintf("Multiple bindings with name '%s' discovered. Binding names must be unique.", b.name))
		case !b.known():
			f.fail(lineOf(b.value, "type"), fmt.Sprintf("the binding type %q with direction %q is not known here: timerTrigger, queueTrigger, httpTrigger, and out: http, queue", b.kind, b.direction),
				fmt.Sprintf("The binding type(s) '%s' are not registered. Please ensure the type is correct and the binding extension is installed.", b.kind))
		}
		names[strings.ToLower(b.name)] = true
		if b.isTrigger() {
			triggers = append(triggers, b)
		}
	}
	switch {
	case len(triggers) == 0:
		f.fail(lineOf(doc, "bindings"), "no trigger among the bindings", "No trigger binding specified. A function must have a trigger input binding.")
	case len(triggers) > 1:
		f.fail(triggers[1].value.Line, "a second trigger; a function has exactly one", "Multiple trigger bindings defined. A function can only have a single trigger binding.")
	}
}

func (b binding) known() bool {
	return b.is("timerTrigger", "in") || b.is("queueTrigger", "in") || b.is("httpTrigger", "in") || b.is("http", "out") || b.is("queue", "out")
}

func (f *function) loadRetry(doc netjson.Value, env *environment) {
	r := &configReader{file: f.file, doc: doc, env: &environment{}}
	if p := r.retry("retry"); p != nil {
		f.retry = p
	}
	if err := errors.Join(r.problems...); err != nil && f.problem == nil {
		f.problem, f.hostSays = err, err.Error()
	}
}

func (f *function) trigger() binding {
	for _, b := range f.bindings {
		if b.isTrigger() {
			return b
		}
	}
	return binding{}
}

// index prepares the trigger: schedule, queue, route.
func (f *function) index(c hostConfig, env *environment) {
	for _, b := range f.bindings {
		if strings.EqualFold(b.kind, "queue") || strings.EqualFold(b.kind, "queueTrigger") {
			f.indexQueue(b, env)
		}
	}
	switch b := f.trigger(); {
	case f.problem != nil:
	case b.is("timerTrigger", "in"):
		f.indexTimer(b, env)
	case b.is("httpTrigger", "in"):
		f.indexHTTP(b, c, env)
	}
}

func (f *function) indexTimer(b binding, env *environment) {
	line := lineOf(b.value, "schedule")
	text, err := env.resolve(b.text("schedule"))
	switch {
	case err != nil:
		f.failIndexing(line, "schedule: "+err.Error()+"; add the setting", "Microsoft.Azure.WebJobs.Host: "+err.Error()+".")
		return
	case text == "":
		f.fail(line, `"schedule" is missing; an NCRONTAB expression like "0 0 2 * * *", or a setting's name as "%Name%"`, "Can't figure out which ctor to call.")
		return
	}
	s, err := schedule.Parse(text)
	if err != nil {
		f.failIndexing(line, "schedule: "+err.Error(), fmt.Sprintf("Microsoft.Azure.WebJobs.Extensions: The schedule expression '%s' was not recognized as a valid cron expression or timespan string.", text))
		return
	}
	f.timer = &timerTrigger{text: text, schedule: s, runOnStartup: isTrue(b.text("runOnStartup")),
		monitored: s.Monitored() && (b.text("useMonitor") == "" || isTrue(b.text("useMonitor")))}
}

func (f *function) indexQueue(b binding, env *environment) {
	name, err := env.resolve(b.text("queueName"))
	line := lineOf(b.value, "queueName")
	if err != nil {
		f.failIndexing(line, "queueName: "+err.Error()+"; add the setting", "Microsoft.Azure.WebJobs.Host: "+err.Error()+".")
		return
	}
	name = strings.ToLower(name)
	if len(name) < 3 || len(name) > 63 || !matches(queuePattern, name) {
		f.failIndexing(line, fmt.Sprintf("queueName %q must be 3 to 63 letters, digits and single dashes, starting and ending with a letter or digit", name),
			fmt.Sprintf("Microsoft.Azure.WebJobs.Extensions.Storage.Queues: A queue name can contain only letters, numbers, and dash(-) characters - \"%s\" (Parameter 'name').", name))
		return
	}
	connection := b.text("connection")
	if connection == "" {
		connection = defaultConnection
	}
	if !env.hasConnection(connection) {
		prefixed := "AzureWebJobs" + strings.TrimPrefix(connection, "AzureWebJobs")
		f.failIndexing(lineOf(b.value, "connection"), fmt.Sprintf("the connection setting %q is not there; set it to a storage connection string, or set %s__queueServiceUri", connection, connection),
			fmt.Sprintf("Microsoft.Azure.WebJobs.Extensions.Storage.Queues: Storage account connection string '%s' does not exist. Make sure that it is a defined App Setting.", prefixed))
		return
	}
	if b.isTrigger() {
		f.queue = &queueTrigger{queue: name, connection: connection}
	}
}

func (f *function) indexHTTP(b binding, c hostConfig, env *environment) {
	text, err := env.resolve(b.text("route"))
	line := lineOf(b.value, "route")
	if err != nil {
		f.failIndexing(line, "route: "+err.Error(), "Microsoft.Azure.WebJobs.Host: "+err.Error()+".")
		return
	}
	if text == "" {
		text = f.name
	}
	if low := strings.ToLower(strings.TrimPrefix(text, "/")); strings.HasPrefix(low, "admin") || strings.HasPrefix(low, "runtime") {
		f.fail(line, fmt.Sprintf("route %q must not start with admin or runtime: those belong to the host", text), "The specified route conflicts with one or more built in routes.")
		return
	}
	r, err := parseRoute(strings.Trim(c.routePrefix+"/"+strings.Trim(text, "/"), "/"))
	if err != nil {
		f.fail(line, "route: "+err.Error(), err.Error())
		return
	}
	level := strings.ToLower(b.text("authLevel"))
	if level == "" {
		level = "function"
	}
	if !containsFold([]string{"anonymous", "function", "admin", "system"}, level) {
		f.fail(lineOf(b.value, "authLevel"), fmt.Sprintf(`authLevel must be "anonymous", "function" or "admin", got %q`, level), "The authLevel is invalid.")
		return
	}
	trigger := &httpTrigger{route: r, authLevel: level}
	methods, _ := b.value.Get("methods")
	for _, m := range methods.Items {
		trigger.methods = append(trigger.methods, strings.ToLower(m.Text))
	}
	f.http = trigger
}

// checkRoutes refuses the second of two functions that answer the same route and method.
func checkRoutes(functions []*function) {
	for i, f := range functions {
		for _, other := range functions[:i] {
			if f.http != nil && other.http != nil && f.http.route.same(other.http.route) && f.http.overlaps(other.http) {
				f.fail(f.trigger().value.Line, fmt.Sprintf("the route %q is already the one of function %q", f.http.route.text, other.name),
					fmt.Sprintf("The route specified conflicts with the route defined by function '%s'.", other.name))
				f.http = nil
				break
			}
		}
	}
}

func (t *httpTrigger) overlaps(other *httpTrigger) bool {
	for _, m := range t.methods {
		if other.allows(m) {
			return true
		}
	}
	return len(t.methods) == 0
}

func (t *httpTrigger) allows(method string) bool {
	return len(t.methods) == 0 || containsFold(t.methods, method)
}

// httpOut is the http output binding.
func (f *function) httpOut() (binding, bool) { return f.output("http") }

func (f *function) output(kind string) (binding, bool) {
	for _, b := range f.bindings {
		if b.is(kind, "out") {
			return b, true
		}
	}
	return binding{}, false
}

// forwards says whether requests go to the handler as they are: one httpTrigger, one http output, nothing else.
func (f *function) forwards(c hostConfig) bool {
	_, out := f.httpOut()
	return c.forward && f.http != nil && out && len(f.bindings) == 2
}
