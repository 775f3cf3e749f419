package simwinrm_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
)

const (
	bootstrap = "powershell.exe -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -OutputFormat Text -EncodedCommand QQA="
	nonce     = "00112233445566778899aabbccddeeff"
	script    = "param($Name)\n'hello'\n"
)

func payloadLine(t testing.TB, fields map[string]any) string {
	t.Helper()
	all := map[string]any{"version": 1, "nonce": nonce, "name": "hello.ps1", "sha256": simwinrm.Hash(script), "script": script,
		"params": map[string]any{"name": "Ada"}}
	for k, v := range fields {
		all[k] = v
	}
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(data)
	z.Close()
	return base64.StdEncoding.EncodeToString(packed.Bytes()) + "\n"
}

// runScript sends a payload and returns the frames, decoded, the other output, and the exit code.
func runScript(t testing.TB, s *simwinrm.Server, payload string) (frames []map[string]any, noise, stderr, exit string) {
	t.Helper()
	c := connect(t, s)
	shell := c.shell()
	command := c.begin(shell, bootstrap)
	half := len(payload) / 2
	c.send(shell, command, payload[:half], "false").want(t, "")
	c.send(shell, command, payload[half:], "true").want(t, "")
	stdout, stderr, exit := c.finish(shell, command)
	for line := range strings.Lines(stdout) {
		line = strings.TrimRight(line, "\r\n")
		packed, framed := strings.CutPrefix(line, "##"+nonce+":")
		if !framed { // what fails before the nonce is known
			packed, framed = strings.CutPrefix(line, "##:")
		}
		if !framed {
			noise += line + "\n"
			continue
		}
		data, err := base64.StdEncoding.DecodeString(packed)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.IndexFunc(data, func(r rune) bool { return r > 0x7e }); i >= 0 {
			t.Errorf("a frame holds more than ASCII: %s", data)
		}
		var frame map[string]any
		if err := json.Unmarshal(data, &frame); err != nil {
			t.Fatal(err)
		}
		frames = append(frames, frame)
	}
	c.delete(shell).want(t, "")
	return frames, noise, stderr, exit
}

func TestEmulation(t *testing.T) {
	t.Parallel()
	type params struct{ Name string }
	for name, tc := range map[string]struct {
		payload map[string]any
		run     func(ctx context.Context, c *simwinrm.Call) error
		frames  string // type and one telling field
		noise   string
		exit    string
	}{
		"a result": {run: func(_ context.Context, c *simwinrm.Call) error {
			var p params
			if err := c.Decode(&p); err != nil {
				return err
			}
			c.Progress("greet", "Zoë \U0001F600", 1, 2)
			c.Noise("native tool\r\n")
			c.Log("warning", "late")
			return c.Result("hello " + p.Name)
		}, frames: "progress Zoë \U0001F600|log late|result hello Ada", noise: "native tool\n", exit: "0"},
		"an exit code of its own": {run: func(_ context.Context, c *simwinrm.Call) error {
			c.Exit(simwinrm.ExitPartial)
			return c.Result("half")
		}, frames: "result half", exit: "10"},
		"an exception": {run: func(context.Context, *simwinrm.Call) error {
			return &simwinrm.ScriptError{Message: "no such thing", Line: 7, ID: "Missing"}
		}, frames: "error no such thing", exit: "20"},
		"an error of the file system": {run: func(_ context.Context, c *simwinrm.Call) error {
			_, err := c.Drive.ReadFile(`C:\none.txt`)
			return err
		}, frames: `error Could not find file 'C:\none.txt'.`, exit: "20"},
		"an unknown parameter": {payload: map[string]any{"params": map[string]any{"other": 1}}, run: func(_ context.Context, c *simwinrm.Call) error {
			return c.Decode(&params{})
		}, frames: `error json: unknown field "other"`, exit: "20"},
		"a script that has changed": {payload: map[string]any{"script": "new", "sha256": simwinrm.Hash("new")},
			frames: "error the emulation of hello.ps1 is out of date: the script has changed (SHA-256 " + simwinrm.Hash("new") +
				"); adapt the emulation, then its hash", exit: "20"},
		"a script that nobody emulates": {payload: map[string]any{"name": "other.ps1"},
			frames: "error the simulator has no emulation of other.ps1", exit: "20"},
		"a script without a result": {run: func(context.Context, *simwinrm.Call) error { return nil },
			frames: "error The script returned nothing.", exit: "20"},
		"a script that was cut": {payload: map[string]any{"script": "para"},
			frames: "error the script hello.ps1 did not arrive whole: its hash differs", exit: "30"},
		"an unknown version": {payload: map[string]any{"version": 2},
			frames: "error the payload has version 2; this runner knows 1", exit: "30"},
		"a nonce that could break frames": {payload: map[string]any{"nonce": "a:b"},
			frames: "error the nonce of the payload is not 32 hexadecimal digits", exit: "30"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, simwinrm.Options{ChunkSize: 7})
			s.Emulate("hello.ps1", simwinrm.Hash(script), tc.run)
			frames, noise, stderr, exit := runScript(t, s, payloadLine(t, tc.payload))
			var got []string
			for _, f := range frames {
				text, _ := f["message"].(string)
				if r, ok := f["result"].(string); ok {
					text = r
				}
				got = append(got, fmt.Sprint(f["type"], " ", text))
			}
			if all := strings.Join(got, "|"); all != tc.frames || noise != tc.noise || stderr != "" || exit != tc.exit {
				t.Errorf("frames %q\nwant   %q\nnoise %q, stderr %q, exit %s", all, tc.frames, noise, stderr, exit)
			}
		})
	}
}

// What arrived is there for tests that look for secrets.
func TestRunsAreRecorded(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{})
	s.Emulate("hello.ps1", simwinrm.Hash(script), func(_ context.Context, c *simwinrm.Call) error { return c.Result(nil) })
	runScript(t, s, payloadLine(t, nil))
	runs := s.Runs()
	if len(runs) != 1 || runs[0].CommandLine != bootstrap || runs[0].Script != script || runs[0].Name != "hello.ps1" || string(runs[0].Params) != `{"name":"Ada"}` {
		t.Errorf("runs %+v", runs)
	}
	var actions []string
	for _, r := range s.Requests() {
		actions = append(actions, r.Action)
		if r.User != "user" || r.Status != 200 || r.Size != len(r.Body) || r.ShellID == "" || (r.CommandID == "") != (r.Action == "Create" || r.Action == "Delete") {
			t.Errorf("request %+v", r)
		}
	}
	if got := strings.Join(actions, " "); !strings.HasPrefix(got, "Create Command Send Send Receive") || !strings.HasSuffix(got, "Receive Delete") {
		t.Errorf("actions %s", got)
	}
}

// Detached work goes on when the command, the shell and the service are gone, and ends with the server.
func TestDetachedWork(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{})
	ended := make(chan error, 1)
	s.Emulate("hello.ps1", simwinrm.Hash(script), func(_ context.Context, c *simwinrm.Call) error {
		if err := c.Detach(func(ctx context.Context) {
			<-ctx.Done()
			ended <- ctx.Err()
		}); err != nil {
			return err
		}
		return c.Result("started")
	})
	if frames, _, _, _ := runScript(t, s, payloadLine(t, nil)); frames[0]["result"] != "started" {
		t.Fatal(frames)
	}
	s.Restart()
	select {
	case <-ended:
		t.Fatal("the detached work ended with its shell")
	default:
	}
	if n := s.Processes(); n != 1 {
		t.Errorf("%d processes", n)
	}
	s.Stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A script reaches storage through the server's own way out, which can be shut.
func TestEgress(t *testing.T) {
	t.Parallel()
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	}))
	defer storage.Close()
	s := start(t, simwinrm.Options{})
	s.Emulate("hello.ps1", simwinrm.Hash(script), func(ctx context.Context, c *simwinrm.Call) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, storage.URL, strings.NewReader("blob"))
		if err != nil {
			return err
		}
		resp, err := c.HTTP.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		return c.Result(string(data))
	})
	run := func() map[string]any {
		t.Helper()
		frames, _, _, _ := runScript(t, s, payloadLine(t, nil))
		if len(frames) != 1 {
			t.Fatalf("frames %v", frames)
		}
		return frames[0]
	}
	if got := run(); got["result"] != "blob" {
		t.Errorf("open: %v", got)
	}
	s.Egress(false)
	if got, _ := run()["message"].(string); !strings.Contains(got, "unable to connect to the remote server") {
		t.Errorf("shut: %q", got)
	}
	s.Egress(true)
	if got := run(); got["result"] != "blob" {
		t.Errorf("open again: %v", got)
	}
}
