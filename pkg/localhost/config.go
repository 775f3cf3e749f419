package localhost

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/localhost/internal/netjson"
)

// hostConfig is what host.json says, with the AzureFunctionsJobHost__ overrides applied and defaults filled in.
type hostConfig struct {
	timeout     time.Duration // 0: none
	exe         string
	args        []string
	workDir     string
	initTimeout time.Duration
	port        int // 0: any
	forward     bool
	routePrefix string
	queues      queueOptions
	retry       *retryPolicy
	only        []string // functions to load; empty: all
}

// queueOptions are extensions.queues.
type queueOptions struct {
	batchSize, newBatchThreshold, maxDequeueCount int
	maxPolling, visibility                        time.Duration
	raw                                           bool // messageEncoding none
}

// loadHostConfig reads root/host.json. As in the host, one bad value fails the whole app and unknown keys are ignored.
func loadHostConfig(root string, env *environment) (hostConfig, error) {
	file := filepath.Join(root, "host.json")
	doc, err := readJSON(file)
	if err != nil {
		return hostConfig{}, err
	}
	r := &configReader{file: file, doc: doc, env: env}
	if version := r.text("", "version"); version != "2.0" {
		r.fail(doc.Line, `"version" must be "2.0"`)
	}
	c := hostConfig{
		timeout:     r.duration(30*time.Minute, "functionTimeout"),
		initTimeout: r.duration(30*time.Second, "customHandler", "initializationTimeout"),
		port:        r.number(0, 0, 65535, "customHandler", "port"),
		forward:     r.boolean("customHandler", "enableForwardingHttpRequest"),
		routePrefix: strings.Trim(r.text("api", "extensions", "http", "routePrefix"), "/"),
		queues:      r.queues(),
		retry:       r.retry("retry"),
		only:        r.strings("functions"),
	}
	if c.timeout < 0 {
		c.timeout = 0
	}
	r.handler(root, &c)
	return c, errors.Join(r.problems...)
}

func (r *configReader) queues() queueOptions {
	const longest = 24 * time.Hour * 365
	batch := r.number(16, 1, 32, "extensions", "queues", "batchSize")
	q := queueOptions{
		batchSize:         batch,
		newBatchThreshold: r.number(batch/2*runtime.NumCPU(), 0, math.MaxInt32, "extensions", "queues", "newBatchThreshold"),
		maxDequeueCount:   r.number(5, 1, math.MaxInt32, "extensions", "queues", "maxDequeueCount"),
		maxPolling:        r.durationIn(time.Minute, 100*time.Millisecond, longest, "extensions", "queues", "maxPollingInterval"),
		visibility:        r.durationIn(0, 0, 7*24*time.Hour, "extensions", "queues", "visibilityTimeout"),
	}
	if _, set := r.find("extensions", "queues", "maxPollingInterval"); !set && r.env.development() {
		q.maxPolling = 2 * time.Second
	}
	switch encoding := r.text("base64", "extensions", "queues", "messageEncoding"); strings.ToLower(encoding) {
	case "base64":
	case "none":
		q.raw = true
	default:
		v, _ := r.find("extensions", "queues", "messageEncoding")
		r.fail(v.Line, fmt.Sprintf(`extensions.queues.messageEncoding must be "base64" or "none", got %q`, encoding))
	}
	return q
}

// development says whether the host's settings for a developer's machine hold: they do unless another environment is named.
func (e *environment) development() bool {
	name := e.get("AZURE_FUNCTIONS_ENVIRONMENT")
	return name == "" || strings.EqualFold(name, "Development")
}

// handler finds the executable, its arguments and its working directory.
func (r *configReader) handler(root string, c *hostConfig) {
	description, ok := r.find("customHandler", "description")
	if !ok {
		r.fail(r.doc.Line, `"customHandler": {"description": {"defaultExecutablePath": "handler"}} is missing: only custom handlers run here`)
		return
	}
	exe := r.env.expand(r.text("", "customHandler", "description", "defaultExecutablePath"))
	if exe == "" {
		r.fail(description.Line, "customHandler.description.defaultExecutablePath is empty; name the handler's executable")
		return
	}
	worker := r.env.expand(r.text("", "customHandler", "description", "defaultWorkerPath"))
	parts := r.strings("customHandler", "description", "arguments")
	if worker != "" {
		parts = append(parts, `"`+worker+`"`)
	}
	parts = append(parts, r.strings("customHandler", "description", "workerArguments")...)
	c.args = splitArguments(r.env.expand(strings.Join(parts, " ")))
	c.exe = exe
	if worker == "" && !filepath.IsAbs(exe) {
		c.exe = findExecutable(root, exe)
	}
	c.workDir = r.env.expand(r.text("", "customHandler", "description", "workingDirectory"))
	if !filepath.IsAbs(c.workDir) {
		c.workDir = filepath.Join(root, c.workDir)
	}
	if info, err := os.Stat(c.workDir); err != nil || !info.IsDir() {
		v, _ := r.find("customHandler", "description", "workingDirectory")
		r.fail(v.Line, fmt.Sprintf("customHandler.description.workingDirectory %q is not a directory", c.workDir))
	}
}

// findExecutable joins exe to the app root when it exists there; else the name is left for PATH.
func findExecutable(root, exe string) string {
	candidates := []string{exe}
	if runtime.GOOS == "windows" && filepath.Ext(exe) == "" {
		candidates = append(candidates, exe+".exe")
	}
	for _, name := range candidates {
		// Not filepath.Join: argv[0] keeps what was written, as at the host.
		path := root + string(filepath.Separator) + name
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path
		}
	}
	return exe
}

// splitArguments cuts a command line as .NET does: blanks separate, double quotes group, \" is a quote.
func splitArguments(line string) []string {
	var args []string
	var arg strings.Builder
	inQuotes, started := false, false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && i+1 < len(line) && line[i+1] == '"':
			i++
			arg.WriteByte('"')
			started = true
		case c == '"':
			inQuotes, started = !inQuotes, true
		case (c == ' ' || c == '\t') && !inQuotes:
			if started {
				args = append(args, arg.String())
				arg.Reset()
				started = false
			}
		default:
			arg.WriteByte(c)
			started = true
		}
	}
	if started {
		args = append(args, arg.String())
	}
	return args
}

// configReader reads typed values and collects every problem with its line.
type configReader struct {
	file     string
	doc      netjson.Value
	env      *environment
	problems []error
}

func (r *configReader) fail(line int, problem string) {
	r.problems = append(r.problems, &FileError{r.file, line, problem})
}

// find looks a value up: the AzureFunctionsJobHost__a__b setting first, then the file.
func (r *configReader) find(path ...string) (netjson.Value, bool) {
	if text, ok := r.env.lookup("AzureFunctionsJobHost__" + strings.Join(path, "__")); ok {
		return netjson.Str(text), true
	}
	v := r.doc
	for _, name := range path {
		var ok bool
		if v, ok = v.Get(name); !ok || v.Kind == netjson.Null {
			return netjson.Value{}, false
		}
	}
	return v, true
}

// invalid reports a value and where it came from.
func (r *configReader) invalid(v netjson.Value, want string, path []string) {
	name := strings.Join(path, ".")
	if v.Line == 0 {
		name = "setting AzureFunctionsJobHost__" + strings.Join(path, "__")
	}
	r.fail(v.Line, fmt.Sprintf("%s must be %s, got %s", name, want, netjson.Compact(v, nil)))
}

func (r *configReader) text(absent string, path ...string) string {
	v, ok := r.find(path...)
	if !ok {
		return absent
	}
	if v.Kind == netjson.Object || v.Kind == netjson.Array {
		r.invalid(v, "a string", path)
	}
	return netjson.Text(v, nil)
}

func (r *configReader) boolean(path ...string) bool {
	v, ok := r.find(path...)
	if !ok {
		return false
	}
	b, err := strconv.ParseBool(strings.ToLower(netjson.Text(v, nil)))
	if err != nil {
		r.invalid(v, "true or false", path)
	}
	return b
}

func (r *configReader) number(absent, low, high int, path ...string) int {
	v, ok := r.find(path...)
	if !ok {
		return absent
	}
	n, err := strconv.Atoi(netjson.Text(v, nil))
	if err != nil || n < low || n > high {
		want := fmt.Sprintf("a whole number from %d to %d", low, high)
		if high == math.MaxInt32 {
			want = fmt.Sprintf("a whole number, at least %d", low)
		}
		r.invalid(v, want, path)
	}
	return n
}

func (r *configReader) duration(absent time.Duration, path ...string) time.Duration {
	return r.durationIn(absent, math.MinInt64, math.MaxInt64, path...)
}

func (r *configReader) durationIn(absent, low, high time.Duration, path ...string) time.Duration {
	v, ok := r.find(path...)
	if !ok {
		return absent
	}
	d, err := parseTimeSpan(netjson.Text(v, nil))
	if err != nil {
		r.invalid(v, `a time span like "00:05:00"`, path)
	} else if d < low || d > high {
		r.invalid(v, fmt.Sprintf("from %s to %s", low, high), path)
	}
	return d
}

func (r *configReader) strings(path ...string) []string {
	v, ok := r.find(path...)
	if !ok {
		return nil
	}
	if v.Kind != netjson.Array {
		r.invalid(v, "an array of strings", path)
	}
	var list []string
	for _, item := range v.Items {
		list = append(list, netjson.Text(item, nil))
	}
	return list
}

// parseTimeSpan reads .NET's [-][d.]hh:mm[:ss[.fffffff]], and a bare number as days.
func parseTimeSpan(text string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a time span like 00:05:00", text)
	rest, negative := strings.CutPrefix(strings.TrimSpace(text), "-")
	fields := strings.Split(rest, ":")
	units := []time.Duration{time.Hour, time.Minute, time.Second}
	limits := []int{23, 59, 59}
	var total time.Duration
	day, clock, hasDays := strings.Cut(fields[0], ".")
	if hasDays || len(fields) == 1 {
		n, err := strconv.ParseUint(day, 10, 16)
		if err != nil || hasDays == (len(fields) == 1) {
			return 0, bad
		}
		total, fields[0] = time.Duration(n)*24*time.Hour, clock
		if len(fields) == 1 {
			fields = nil
		}
	}
	if len(fields) > 3 {
		return 0, bad
	}
	for i, field := range fields {
		whole, fraction, hasFraction := strings.Cut(field, ".")
		n, err := strconv.ParseUint(whole, 10, 16)
		if err != nil || int(n) > limits[i] || hasFraction && (i != 2 || len(fraction) > 7) {
			return 0, bad
		}
		total += time.Duration(n) * units[i]
		if hasFraction {
			f, err := strconv.ParseFloat("0."+fraction, 64)
			if err != nil {
				return 0, bad
			}
			total += time.Duration(math.Round(f * float64(time.Second)))
		}
	}
	if negative {
		total = -total
	}
	return total, nil
}
