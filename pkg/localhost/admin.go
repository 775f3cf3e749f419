package localhost

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/localhost/internal/netjson"
)

// serveAdmin answers /admin. Everything but the ping needs the master key when keys are on.
func (a *app) serveAdmin(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")[1:]
	call := r.Method + " " + strings.ToLower(strings.Join(parts, "/"))
	if call == "GET host/ping" || call == "POST host/ping" {
		w.Header().Set("Cache-Control", "no-store,no-cache")
		w.Header().Set("Pragma", "no-cache")
		w.WriteHeader(http.StatusOK)
		return
	}
	if !a.keys.permits(a.keys.identify(r), "admin") {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch call {
	case "GET host/status", "POST host/status":
		writeJSON(w, a.status())
	case "POST host/drain":
		a.drain()
		w.WriteHeader(http.StatusAccepted)
	case "GET host/drain/status":
		writeJSON(w, a.drainStatus())
	case "GET functions":
		a.serveFunctions(w)
	default:
		if len(parts) >= 2 && len(parts) <= 3 && strings.EqualFold(parts[0], "functions") {
			a.serveOne(w, r, parts[1], strings.ToLower(strings.Join(parts[2:], "/")))
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	io.WriteString(w, strings.TrimSuffix(text.String(), "\n"))
}

// hostStatus has the properties of the host's HostStatus in its order.
type hostStatus struct {
	ID              string   `json:"id"`
	State           string   `json:"state"`
	Version         string   `json:"version"`
	VersionDetails  string   `json:"versionDetails"`
	PlatformVersion string   `json:"platformVersion"`
	InstanceID      string   `json:"instanceId"`
	ComputerName    string   `json:"computerName"`
	Errors          []string `json:"errors,omitempty"`
	ProcessUptime   int64    `json:"processUptime"`
	EditingState    string   `json:"functionAppContentEditingState"`
}

func (a *app) status() hostStatus {
	s := hostStatus{ID: a.hostID, State: "Running", Version: hostVersion, VersionDetails: hostVersion,
		ProcessUptime: time.Since(a.started).Milliseconds(), EditingState: "Unknown"}
	if err := a.handler.failure(); err != nil {
		s.State, s.Errors = "Error", []string{err.Error()}
	}
	return s
}

// functionInfo has the properties of the host's FunctionMetadataResponse in its order.
type functionInfo struct {
	Name              string          `json:"name"`
	ScriptRootPath    string          `json:"script_root_path_href"`
	Script            *string         `json:"script_href"`
	Config            string          `json:"config_href"`
	TestDataPath      string          `json:"test_data_href"`
	Href              string          `json:"href"`
	InvokeURLTemplate *string         `json:"invoke_url_template"`
	Language          *string         `json:"language"`
	Bindings          json.RawMessage `json:"config"`
	Files             *string         `json:"files"`
	TestData          string          `json:"test_data"`
	IsDisabled        bool            `json:"isDisabled"`
	IsDirect          bool            `json:"isDirect"`
	IsProxy           bool            `json:"isProxy"`
}

func (a *app) info(f *function, base string) functionInfo {
	vfs := base + "/admin/vfs/" + filepath.Base(a.root) + "/"
	info := functionInfo{
		Name:           f.name,
		ScriptRootPath: vfs + f.name + "/",
		Config:         vfs + f.name + "/function.json",
		TestDataPath:   base + "/admin/vfs/data/" + f.name + ".dat",
		Href:           base + "/admin/functions/" + f.name,
		Bindings:       json.RawMessage(netjson.Compact(f.config, nil)),
		IsDisabled:     f.disabled,
	}
	if f.http != nil {
		url := base + "/" + strings.ToLower(f.http.route.text)
		info.InvokeURLTemplate = &url
	}
	return info
}

// serveFunctions lists the functions; the host does not know its own address there and says localhost.
func (a *app) serveFunctions(w http.ResponseWriter) {
	list := []functionInfo{}
	for _, f := range a.functions {
		if f.listed {
			list = append(list, a.info(f, "https://localhost"))
		}
	}
	writeJSON(w, list)
}

// functionStatus is what the host found wrong with a function.
type functionStatus struct {
	Errors []string `json:"errors,omitempty"`
}

func (a *app) serveOne(w http.ResponseWriter, r *http.Request, name, sub string) {
	f := a.function(name)
	switch {
	case f == nil:
		w.WriteHeader(http.StatusNotFound)
	case sub == "status" && r.Method == http.MethodGet:
		status := functionStatus{}
		if f.problem != nil {
			status.Errors = []string{f.hostSays}
		}
		writeJSON(w, status)
	case sub == "" && !f.listed:
		w.WriteHeader(http.StatusNotFound)
	case sub == "" && r.Method == http.MethodGet:
		writeJSON(w, a.info(f, "http://"+r.Host))
	case sub == "" && r.Method == http.MethodPost:
		a.serveRun(w, r, f)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// function finds a function whatever the case of its name.
func (a *app) function(name string) *function {
	for _, f := range a.functions {
		if strings.EqualFold(f.name, name) {
			return f
		}
	}
	return nil
}

// serveRun starts a function by hand: 202 at once, whatever becomes of the run.
func (a *app) serveRun(w http.ResponseWriter, r *http.Request, f *function) {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if media != "application/json" && media != "text/json" && !strings.HasSuffix(media, "+json") {
		w.WriteHeader(http.StatusUnsupportedMediaType)
		return
	}
	input, err := readInput(r)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if !a.enter() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	a.busy.Go(func() { a.runManually(f, input) })
	a.busy.Done()
	w.WriteHeader(http.StatusAccepted)
}

// readInput reads {"input":"…"}; nil when there is no input.
func readInput(r *http.Request) (*string, error) {
	text, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	doc, err := netjson.Parse(string(text))
	if err != nil {
		return nil, err
	}
	if doc.Kind != netjson.Object {
		return nil, fmt.Errorf("the body must be an object, got %s", doc.Kind)
	}
	input, ok := doc.Get("input")
	switch {
	case !ok || input.Kind == netjson.Null:
		return nil, nil
	case input.Kind != netjson.String:
		return nil, fmt.Errorf("input must be a string, got %s", input.Kind)
	}
	return &input.Text, nil
}

// runManually runs a function as the admin API asks. Nothing of it comes back but the log.
func (a *app) runManually(f *function, input *string) {
	log := a.log.With("function", f.name)
	switch {
	case f.problem != nil:
		log.Error(fmt.Sprintf("cannot run %s by hand: %v", f.name, f.problem))
	case f.timer != nil:
		a.runTimerManually(f, input)
	case f.queue != nil && input == nil:
		log.Error(fmt.Sprintf("cannot run %s by hand without an input: send {\"input\":\"the message\"}", f.name))
	case f.queue != nil:
		never := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
		a.invokeManually(f, func() (payload, error) {
			now := time.Now()
			m := queueMessage{inserted: now, expires: never, nextVisible: never, body: []byte(*input)}
			return queuePayload(f, m, true, a.local, now)
		})
	default:
		log.Error(fmt.Sprintf("an HTTP function cannot be run through the admin API: call %s", a.invokeURL(f)))
	}
}

type drainState struct {
	State       string `json:"state"`
	Invocations int64  `json:"outstandingInvocations"`
	Retries     int64  `json:"outstandingRetries"`
}

func (a *app) drainStatus() drainState {
	s := drainState{State: "Disabled", Invocations: a.running.Load()}
	if a.soft.Err() != nil {
		s.State = "Completed"
		if s.Invocations > 0 {
			s.State = "InProgress"
		}
	}
	return s
}
