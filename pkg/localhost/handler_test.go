//go:build unix

package localhost

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asHandler makes the test binary a handler instead: one that records what it gets and answers as its script says.
const asHandler = "LOCALHOST_TEST_HANDLER"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asHost) != "":
		os.Exit(runTestHost())
	case os.Getenv(asHandler) != "":
		os.Exit(runTestHandler())
	}
	goleak.VerifyTestMain(m)
}

// asHost makes the test binary a host, for tests that kill it: its value is the app root.
const asHost = "LOCALHOST_TEST_HOST"

func runTestHost() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	root := os.Getenv(asHost)
	os.Unsetenv(asHost)
	err := Run(ctx, Options{Roots: []string{root}, Environ: append(os.Environ(), asHandler+"=1"), Address: "127.0.0.1:0",
		Out: os.Stdout, HandlerGrace: 100 * time.Millisecond})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func startHostProcess(t *testing.T, root string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host := exec.Command(exe)
	host.Env = append(os.Environ(), asHost+"="+root)
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { host.Process.Kill() })
	return host
}

// script is control.json in the app root: the same form that the recordings use.
type script struct {
	Startup struct {
		Mode   string   `json:"mode"` // never, exit
		Code   int      `json:"code"`
		Delay  float64  `json:"delay"`
		Stdout []string `json:"stdout"`
		Stderr []string `json:"stderr"`
	} `json:"startup"`
	Replies map[string]scriptedReplies `json:"replies"`
	OnTerm  string                     `json:"onterm"` // ignore
	OnUSR1  *int                       `json:"usr1_exit"`
}

// scriptedReplies is one reply or a list, whose last goes on for ever.
type scriptedReplies []scriptedReply

func (s *scriptedReplies) UnmarshalJSON(text []byte) error {
	if strings.HasPrefix(string(text), "[") {
		return json.Unmarshal(text, (*[]scriptedReply)(s))
	}
	*s = make([]scriptedReply, 1)
	return json.Unmarshal(text, &(*s)[0])
}

type scriptedReply struct {
	Action  string          `json:"action"` // hang, cut, close, half, exit:N, kill
	Delay   float64         `json:"delay"`
	Status  int             `json:"status"`
	Body    *string         `json:"body"`
	JSON    json.RawMessage `json:"json"`
	Headers *[][2]string    `json:"headers"`
	Stdout  []string        `json:"stdout"`
	Stderr  []string        `json:"stderr"`
}

// seen is a recorded request or event.
type seen struct {
	Event   string      `json:"event,omitempty"` // start
	Pid     int         `json:"pid"`
	Method  string      `json:"method,omitempty"`
	Path    string      `json:"path,omitempty"`
	Headers [][2]string `json:"headers,omitempty"`
	Body    string      `json:"body,omitempty"`
	Env     []string    `json:"env,omitempty"`
	Args    []string    `json:"args,omitempty"`
	Dir     string      `json:"dir,omitempty"`
}

type testHandler struct {
	root   string
	script script
	mu     sync.Mutex
	counts map[string]int
}

func runTestHandler() int {
	h := &testHandler{root: os.Getenv("FUNCTIONS_APP_ROOT_PATH"), counts: map[string]int{}}
	if text, err := os.ReadFile(filepath.Join(h.root, "control.json")); err == nil {
		if err := json.Unmarshal(text, &h.script); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 9
		}
	}
	dir, _ := os.Getwd()
	h.record(seen{Event: "start", Env: os.Environ(), Args: os.Args, Dir: dir})
	printLines(h.script.Startup.Stdout, h.script.Startup.Stderr)
	pause(context.Background(), time.Duration(h.script.Startup.Delay*float64(time.Second)))
	if h.script.OnTerm == "ignore" {
		signal.Ignore(syscall.SIGTERM)
	}
	if h.script.OnUSR1 != nil {
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGUSR1)
		go func() { <-asked; os.Exit(*h.script.OnUSR1) }()
	}
	switch h.script.Startup.Mode {
	case "exit":
		return h.script.Startup.Code
	case "never":
		select {}
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 8
	}
	server := &http.Server{Handler: withHeads(h), ConnContext: rememberConn}
	server.Serve(headListener{l})
	return 7
}

func printLines(stdout, stderr []string) {
	for _, line := range stderr {
		fmt.Fprintln(os.Stderr, line)
	}
	for _, line := range stdout {
		fmt.Println(line)
	}
}

func (h *testHandler) record(s seen) {
	s.Pid = os.Getpid()
	text, _ := json.Marshal(s)
	f, err := os.OpenFile(filepath.Join(h.root, "seen.jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer f.Close()
	f.Write(append(text, '\n'))
}

func (h *testHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := seen{Method: r.Method, Path: r.RequestURI}
	for _, header := range rawHeaders(r) {
		s.Headers = append(s.Headers, [2]string{header.name, strings.Join(header.values, ",")})
	}
	body, _ := io.ReadAll(r.Body)
	s.Body = string(body)
	h.record(s)
	key, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "?")
	h.answer(w, r, h.reply(key))
}

// reply is the next scripted answer to a function, counted over all processes of the app by the recording.
func (h *testHandler) reply(key string) scriptedReply {
	if key == "" {
		key = "/"
	}
	list := h.script.Replies[key]
	if len(list) == 0 {
		list = h.script.Replies[strings.TrimPrefix(key, "api/")]
	}
	if len(list) == 0 {
		return scriptedReply{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.counts[key]
	h.counts[key]++
	return list[min(n, len(list)-1)]
}

func (h *testHandler) answer(w http.ResponseWriter, r *http.Request, reply scriptedReply) {
	printLines(reply.Stdout, reply.Stderr)
	pause(context.Background(), time.Duration(reply.Delay*float64(time.Second)))
	action, code, _ := strings.Cut(reply.Action, ":")
	switch action {
	case "hang":
		<-r.Context().Done()
		return
	case "exit":
		n, _ := strconv.Atoi(code)
		os.Exit(n)
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "cut", "close", "half":
		breakConnection(w, action)
		return
	}
	body := `{"Outputs":{},"Logs":[],"ReturnValue":null}`
	if reply.Body != nil {
		body = *reply.Body
	} else if reply.JSON != nil {
		body = string(reply.JSON)
	} else if reply.Status == 204 || reply.Status == 304 {
		body = ""
	}
	w.Header()["Date"] = nil
	w.Header()["Content-Type"] = []string{"application/json"}
	if reply.Headers != nil {
		w.Header()["Content-Type"] = nil
		for _, pair := range *reply.Headers {
			w.Header()[pair[0]] = append(w.Header()[pair[0]], pair[1])
		}
	}
	if reply.Status != 0 {
		w.WriteHeader(reply.Status)
	}
	io.WriteString(w, body)
}

func breakConnection(w http.ResponseWriter, action string) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if action == "half" {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"Outputs\":")
	}
	if tcp, ok := conn.(*headConn).Conn.(*net.TCPConn); ok && action != "close" {
		tcp.SetLinger(0)
	}
	conn.Close()
}
