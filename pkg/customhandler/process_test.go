package customhandler_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/customhandler"
)

// processUnderTest is the main of a handler, or of a host that starts one: the tests run their own executable again.
func processUnderTest(role string) {
	switch role {
	case "host": // starts a handler, says so and waits to be killed
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "CUSTOMHANDLER_TEST_PROCESS=handler")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		if err := child.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(9)
		}
		_ = child.Wait() // the host is killed before
		os.Exit(9)
	case "panics":
		customhandler.Main("testapp", func([]string) (customhandler.App, error) { panic("boom in build") })
	case "hangs":
		customhandler.Main("testapp", func([]string) (customhandler.App, error) { select {} })
	case "unset":
		customhandler.Main("testapp", func([]string) (customhandler.App, error) {
			return customhandler.App{}, errors.New("FTPServer: is not set")
		})
	}
	customhandler.Main("testapp", func([]string) (customhandler.App, error) {
		log.Print("a warning of some library")
		return customhandler.App{Functions: []customhandler.Function{
			customhandler.TimerFunc("tick", func(ctx context.Context, timer customhandler.Timer) error {
				customhandler.Log(ctx).Info("timer runs", "input", timer.Input)
				if timer.Input == "wait" {
					<-ctx.Done()
					customhandler.Log(ctx).Info("timer ends", "cause", context.Cause(ctx))
					return context.Cause(ctx)
				}
				return nil
			}),
		}}, nil
	})
}

// handlerProcess is a handler as a child process.
type handlerProcess struct {
	cmd   *exec.Cmd
	lines chan string // of both streams
	done  chan struct{}
	all   bytes.Buffer // every line; complete when done is closed
}

func appRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

var timerApp = map[string]string{
	"host.json":            `{"version":"2.0","functionTimeout":"00:10:00"}`,
	"tick/function.json":   `{"bindings":[{"type":"timerTrigger","name":"timer","direction":"in","schedule":"0 0 2 * * *"}]}`,
	"invoke/function.json": `{"bindings":[{"type":"httpTrigger","name":"req","direction":"in"},{"type":"http","name":"res","direction":"out"}]}`,
	"check/function.json":  `{"bindings":[{"type":"httpTrigger","name":"req","direction":"in"},{"type":"http","name":"res","direction":"out"}]}`,
}

func startProcess(t *testing.T, role, root string, environ ...string) *handlerProcess {
	t.Helper()
	p := &handlerProcess{cmd: exec.Command(os.Args[0]), lines: make(chan string, 1000), done: make(chan struct{})}
	p.cmd.Env = append([]string{"CUSTOMHANDLER_TEST_PROCESS=" + role, "FUNCTIONS_APP_ROOT_PATH=" + root}, environ...)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go p.read(r)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // usually gone already
		_ = p.cmd.Wait()
		<-p.done
	})
	return p
}

func (p *handlerProcess) read(r io.ReadCloser) {
	defer close(p.done)
	defer r.Close()
	defer close(p.lines)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		p.all.WriteString(lines.Text() + "\n")
		p.lines <- lines.Text()
	}
}

// await waits for a line with all the words.
func (p *handlerProcess) await(t *testing.T, words ...string) string {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("the process ended without a line of %q", words)
			}
			found := true
			for _, w := range words {
				found = found && strings.Contains(line, w)
			}
			if found {
				return line
			}
		case <-limit:
			t.Fatalf("no line of %q", words)
		}
	}
}

func (p *handlerProcess) exitCode(t *testing.T) int {
	t.Helper()
	timer := time.AfterFunc(2*time.Minute, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	_ = p.cmd.Wait() // the code says it
	return p.cmd.ProcessState.ExitCode()
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func post(t *testing.T, port, body string) (int, error) {
	t.Helper()
	r, err := http.Post("http://127.0.0.1:"+port+"/tick", "application/json", strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	_, err = io.Copy(io.Discard, r.Body)
	return r.StatusCode, err
}

const waitingTimer = `{"Data":{"timer":{}},"Metadata":{"timer":"\"wait\""}}`

func TestWhatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() })
	_, taken, err := net.SplitHostPort(busy.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	broken := map[string]string{"host.json": "{\n\"version\": \"2.0\",\n}"}
	for name, row := range map[string]struct {
		role  string
		files map[string]string
		port  string
		code  int
		says  string
	}{
		"no host":            {"handler", timerApp, "", 2, `custom handler of the Azure Functions app "testapp"`},
		"port is no number":  {"handler", timerApp, "http", 1, `FUNCTIONS_CUSTOMHANDLER_PORT is \"http\"`},
		"port is taken":      {"handler", timerApp, taken, 1, `another process has it`},
		"no host.json":       {"handler", nil, "free", 1, `read host.json: open host.json`},
		"host.json is wrong": {"handler", broken, "free", 1, `read host.json: line 3`},
		"build panics":       {"panics", timerApp, "free", 1, `boom in build`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environ := []string{"FUNCTIONS_CUSTOMHANDLER_PORT=" + row.port}
			if row.port == "free" {
				environ = []string{"FUNCTIONS_CUSTOMHANDLER_PORT=" + freePort(t)}
			}
			p := startProcess(t, row.role, appRoot(t, row.files), environ...)
			code := p.exitCode(t)
			<-p.done
			if said := p.all.String(); code != row.code || !strings.Contains(said, row.says) {
				t.Errorf("exit code %d, want %d; it said\n%s", code, row.code, said)
			}
		})
	}
}

func TestTermLetsInvocationsFinish(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	p := startProcess(t, "handler", appRoot(t, timerApp), "FUNCTIONS_CUSTOMHANDLER_PORT="+port)
	p.await(t, `"msg":"a warning of some library"`, `"level":"info"`, `"app":"testapp"`) // the log package writes as all others
	p.await(t, "handler ready")
	if status, err := post(t, port, `{"Data":{"timer":{}}}`); status != 200 || err != nil {
		t.Errorf("timer: %d %v", status, err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.exitCode(t); code != 200 {
		t.Errorf("exit code %d, want 200: 0 would never be restarted, others are counted", code)
	}
}

func TestTermWhileBuilding(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	p := startProcess(t, "hangs", appRoot(t, timerApp), "FUNCTIONS_CUSTOMHANDLER_PORT="+port)
	waitForProbe(t, port)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.exitCode(t); code != 200 {
		t.Errorf("exit code %d, want 200", code)
	}
}

// waitForProbe asks as the host does until the process listens: nothing else tells when it does.
func waitForProbe(t *testing.T, port string) {
	t.Helper()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for {
		r, err := http.Get("http://127.0.0.1:" + port + "/")
		if err == nil {
			r.Body.Close()
			if r.StatusCode != 200 {
				t.Fatalf("probe: status %d", r.StatusCode)
			}
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal(err)
		}
	}
}

// A killed host leaves its handler running: it must notice, tell its handlers why, and end.
func TestOrphanEnds(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	host := startProcess(t, "host", appRoot(t, timerApp), "FUNCTIONS_CUSTOMHANDLER_PORT="+port)
	host.await(t, "handler ready")
	answered := make(chan error, 1)
	go func() {
		_, err := post(t, port, waitingTimer)
		answered <- err
	}()
	host.await(t, "timer runs")
	if err := host.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	host.await(t, "the host is gone", `"level":"warn"`)
	host.await(t, "timer ends", customhandler.ErrHostGone.Error())
	<-host.done // the pipe's last writer, the handler, is gone
	if err := <-answered; err != nil {
		t.Logf("the invocation's connection: %v", err)
	}
}

func TestUnusableSettingsStillAnswer(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	p := startProcess(t, "unset", appRoot(t, timerApp), "FUNCTIONS_CUSTOMHANDLER_PORT="+port)
	line := p.await(t, "settings are not usable")
	if !strings.Contains(line, "FTPServer: is not set") || !strings.Contains(line, `"level":"error"`) {
		t.Errorf("the log says %s", line)
	}
	if status, err := post(t, port, `{"Data":{"timer":{}}}`); status != 500 || err != nil {
		t.Errorf("timer: %d %v", status, err)
	}
}
