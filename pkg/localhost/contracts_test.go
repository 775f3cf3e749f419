package localhost

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The recordings of the real host are the golden files of this package. testdata holds what the tests need of them;
// NIGHTSHIFT_CONTRACTS names a folder with more of the same kind.

// recordings reads the cases of one file.
func recordings[T any](t *testing.T, name string) []T {
	t.Helper()
	dir := "testdata"
	if full := os.Getenv("NIGHTSHIFT_CONTRACTS"); full != "" {
		dir = full
	}
	text, err := os.ReadFile(filepath.Join(dir, "functions-host", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []T
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(cases) == 0 {
		t.Fatalf("%s holds no recordings", name)
	}
	return cases
}

// recordedRequest is what the real host sent to the handler.
type recordedRequest struct {
	Method  string      `json:"method"`
	Path    string      `json:"path"`
	Headers [][2]string `json:"headers"`
	Body    string      `json:"body_text"`
}

// clientResponse is what a caller got; recorded as an object or as [status, headers, body].
type clientResponse struct {
	Status  any         `json:"status"`
	Headers [][2]string `json:"headers"`
	Body    string      `json:"body"`
}

func (c *clientResponse) UnmarshalJSON(text []byte) error {
	if !strings.HasPrefix(string(text), "[") {
		type plain clientResponse
		return json.Unmarshal(text, (*plain)(c))
	}
	return json.Unmarshal(text, &[]any{&c.Status, &c.Headers, &c.Body})
}

// status is 0 when the caller gave up waiting.
func (c clientResponse) status() int {
	n, _ := c.Status.(float64)
	return int(n)
}

type functionJSON struct {
	Bindings []map[string]any `json:"bindings"`
}

// settle replaces what differs from run to run: ports, ids, times.
func settle(text string) string {
	for _, r := range []struct{ pattern, with string }{
		{`127\.0\.0\.1:\d+`, "127.0.0.1:0"},
		{`"UtcNow":"[^"]*"`, `"UtcNow":"now"`},
		{`"RandGuid":"[^"]*"`, `"RandGuid":"guid"`},
		{`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, "guid"},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.with)
	}
	return text
}

func settleHeaders(headers [][2]string) [][2]string {
	var settled [][2]string
	for _, h := range headers {
		settled = append(settled, [2]string{h[0], settle(h[1])})
	}
	return settled
}

// loadOne loads a recorded function.json as the function called name.
func loadOne(t *testing.T, name string, doc any, hostJSON string, environ ...string) (*function, hostConfig) {
	t.Helper()
	root := t.TempDir()
	write := func(path string, text []byte) {
		if err := os.WriteFile(filepath.Join(root, path), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	write(name+"/function.json", text)
	if hostJSON == "" {
		hostJSON = `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"handler"}}}`
	}
	write("host.json", []byte(hostJSON))
	env := newEnvironment(append(environ, "AzureWebJobsStorage=UseDevelopmentStorage=true"))
	config, err := loadHostConfig(root, env)
	if err != nil {
		t.Fatal(err)
	}
	functions, err := loadFunctions(root, config, env)
	if err != nil || len(functions) != 1 {
		t.Fatalf("load %s: %v", name, err)
	}
	if functions[0].problem != nil {
		t.Fatal(functions[0].problem)
	}
	return functions[0], config
}

func timerFunction(schedule string, more ...string) string {
	return fmt.Sprintf(`{"bindings":[{"type":"timerTrigger","direction":"in","name":"timer","schedule":%q%s}]}`, schedule, strings.Join(more, ""))
}

const (
	queueFunction = `{"bindings":[{"type":"queueTrigger","direction":"in","name":"msg","queueName":"work"}]}`
	httpFunction  = `{"bindings":[{"type":"httpTrigger","direction":"in","name":"req","authLevel":"anonymous"},{"type":"http","direction":"out","name":"res"}]}`
)
