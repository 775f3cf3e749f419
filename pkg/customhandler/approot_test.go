package customhandler

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func rootWith(files map[string]string) fstest.MapFS {
	root := fstest.MapFS{"host.json": {Data: []byte(`{"version":"2.0"}`)}}
	for name, content := range files {
		root[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return root
}

func TestFunctionTimeout(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		host, override string
		want           time.Duration
		problem        string
	}{
		"default":            {`{}`, "", 5 * time.Minute, ""},
		"host.json":          {`{"functionTimeout":"00:10:00"}`, "", 10 * time.Minute, ""},
		"without seconds":    {`{"functionTimeout":"01:30"}`, "", 90 * time.Minute, ""},
		"days and fractions": {`{"functionTimeout":"1.02:00:00.5000000"}`, "", 26 * time.Hour, ""},
		"none":               {`{"functionTimeout":"-1"}`, "", 0, ""},
		"null":               {`{"functionTimeout":null}`, "", 5 * time.Minute, ""},
		"setting wins":       {`{"functionTimeout":"00:10:00"}`, "00:20:00", 20 * time.Minute, ""},
		"byte order mark":    {"\ufeff" + `{"functionTimeout":"00:10:00"}`, "", 10 * time.Minute, ""},
		"nonsense":           {`{"functionTimeout":"soon"}`, "", 0, `functionTimeout: "soon" is no time span, want hh:mm:ss`},
		"too many minutes":   {`{"functionTimeout":"00:90:00"}`, "", 0, "no time span"},
		"zero":               {`{"functionTimeout":"00:00:00"}`, "", 0, "no time span"},
		"number":             {`{"functionTimeout":600}`, "", 0, "read host.json"},
		"no JSON":            {"{\n\n\"a\": }", "", 0, "read host.json: line 3"},
		"other encoding":     {`{"extensions":{"queues":{"messageEncoding":"none"}}}`, "", 0, `messageEncoding is "none", want base64`},
		"forwarding":         {`{"customHandler":{"enableForwardingHttpRequest":true}}`, "", 0, "enableForwardingHttpRequest is true, want false"},
		"empty":              {"", "", 0, "read host.json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := rootWith(nil)
			root["host.json"].Data = []byte(row.host)
			var environ []string
			if row.override != "" {
				environ = []string{"azurefunctionsjobhost__functiontimeout=" + row.override}
			}
			got, err := readAppRoot(root, environ)
			if row.problem != "" {
				if err == nil || !strings.Contains(err.Error(), row.problem) {
					t.Errorf("got error %v, want one with %q", err, row.problem)
				}
				return
			}
			if err != nil || got.timeout != row.want {
				t.Errorf("got %v and error %v, want %v", got.timeout, err, row.want)
			}
		})
	}
}

func TestHandlerDeadlineLeavesRoomForTheOutcome(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]time.Duration{
		0: 0, 10 * time.Second: 9 * time.Second, 5 * time.Minute: 4*time.Minute + 30*time.Second, time.Hour: 59*time.Minute + 30*time.Second,
	} {
		if got := (appRoot{timeout: timeout}).allowed(); got != want {
			t.Errorf("of %v a handler gets %v, want %v", timeout, got, want)
		}
	}
}

func TestMaxDequeueCount(t *testing.T) {
	t.Parallel()
	root := rootWith(map[string]string{"host.json": `{"extensions":{"queues":{"maxDequeueCount":7}}}`})
	if r, err := readAppRoot(root, nil); err != nil || r.maxDequeue != 7 {
		t.Errorf("got %d and %v", r.maxDequeue, err)
	}
	if r, err := readAppRoot(root, []string{"AzureFunctionsJobHost__extensions__queues__maxDequeueCount=3"}); err != nil || r.maxDequeue != 3 {
		t.Errorf("overridden: got %d and %v", r.maxDequeue, err)
	}
	if r, err := readAppRoot(rootWith(nil), nil); err != nil || r.maxDequeue != 5 {
		t.Errorf("default: got %d and %v", r.maxDequeue, err)
	}
	if _, err := readAppRoot(rootWith(map[string]string{"host.json": `{"extensions":{"queues":{"maxDequeueCount":0}}}`}), nil); err == nil {
		t.Error("0 was taken")
	}
}

func TestSettingsAreFilledIn(t *testing.T) {
	t.Parallel()
	environ := []string{"Queue=Files", "PATH=/bin"}
	for text, want := range map[string]string{
		"plain": "plain", "%Queue%": "Files", "%queue%-x": "Files-x", "a-%Queue%-%Queue%": "a-Files-Files", "%Nope%": "%Nope%", "50%": "50%", "%%": "%%", "": "",
	} {
		if got := fillIn(text, environ); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

const (
	queueJSON = `{"bindings":[{"type":"queueTrigger","name":"m","direction":"in","queueName":"q","dataType":"binary"}]}`
	timerJSON = `{"bindings":[{"type":"timerTrigger","name":"t","direction":"in","schedule":"0 0 2 * * *"}]}`
	httpJSON  = `{"bindings":[{"type":"httpTrigger","name":"req","direction":"in"},{"type":"http","name":"res","direction":"out"}]}`
)

func TestCheckFunctions(t *testing.T) {
	t.Parallel()
	work, tick := QueueFunc[order]("work", nil), TimerFunc("tick", nil)
	all := map[string]string{"work/function.json": queueJSON, "tick/function.json": timerJSON, "invoke/function.json": httpJSON, "check/function.json": httpJSON}
	for name, row := range map[string]struct {
		change   map[string]string // "" removes the file
		fns      []Function
		problems []string
	}{
		"all there":           {nil, []Function{work, tick}, nil},
		"handler missing":     {nil, []Function{work}, []string{"tick/function.json has no handler"}},
		"file missing":        {map[string]string{"tick/function.json": ""}, []Function{work, tick}, []string{`function "tick" has a handler but no tick/function.json`}},
		"no invoke":           {map[string]string{"invoke/function.json": ""}, []Function{work, tick}, []string{`"invoke"`}},
		"other trigger":       {map[string]string{"tick/function.json": queueJSON}, []Function{work, tick}, []string{"trigger is queueTrigger, the handler is for timerTrigger"}},
		"twice":               {nil, []Function{work, tick, TimerFunc("Tick", nil)}, []string{`function "Tick" is registered twice`}},
		"spelled differently": {nil, []Function{work, TimerFunc("Tick", nil)}, []string{`the folder is called "tick", the handler "Tick"`}},
		"not binary":          {map[string]string{"work/function.json": strings.Replace(queueJSON, "binary", "string", 1)}, []Function{work, tick}, []string{`"dataType": "binary"`}},
		"no queue":            {map[string]string{"work/function.json": strings.Replace(queueJSON, `"queueName":"q",`, "", 1)}, []Function{work, tick}, []string{`no "queueName"`}},
		"other account": {map[string]string{"work/function.json": strings.Replace(queueJSON, `"queueName"`, `"connection":"Other","queueName"`, 1)}, []Function{work, tick},
			[]string{`connection is "Other"`}},
		"retry policy": {map[string]string{"work/function.json": strings.Replace(queueJSON, `{"bindings"`, `{"retry":{"strategy":"fixedDelay"},"bindings"`, 1)}, []Function{work, tick},
			[]string{`needs no "retry"`}},
		"no trigger":   {map[string]string{"work/function.json": `{"bindings":[]}`}, []Function{work, tick}, []string{"work/function.json: it has no trigger"}},
		"two triggers": {map[string]string{"work/function.json": `{"bindings":[{"type":"queueTrigger"},{"type":"timerTrigger"}]}`}, []Function{work, tick}, []string{"two triggers"}},
		"bad type":     {nil, []Function{QueueFunc[reservedName]("work", nil), tick}, []string{`the field name "version" is reserved`}},
		"several":      {map[string]string{"check/function.json": "", "invoke/function.json": ""}, []Function{work, tick}, []string{`"check"`, `"invoke"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{}
			for file, content := range all {
				files[file] = content
			}
			for file, content := range row.change {
				if files[file] = content; content == "" {
					delete(files, file)
				}
			}
			err := CheckFunctions(rootWith(files), row.fns)
			if len(row.problems) == 0 && err != nil {
				t.Error(err)
			}
			for _, want := range row.problems {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		})
	}
}

type reservedName struct {
	Version int `json:"version"`
}

func (reservedName) MessageVersion() int { return 1 }
