package customhandler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Exit codes; see the package documentation.
const (
	exitFailed  = 1
	exitNoHost  = 2
	exitRestart = 200 // the host's own code for "start me again, and do not count it"
)

const (
	stopGrace = 25 * time.Second // for invocations in flight after SIGTERM; container platforms kill after 30 s
	goneGrace = 5 * time.Second  // for invocations in flight when nobody can take their answers
)

// Main is the whole main function of an app. It listens, builds the app, answers the host, and never returns.
//
// build gets the process's environment. When the settings are unusable it returns an App with Problem set, or an error,
// which is taken as the Problem: the process then runs in degraded mode (App.Problem). A panic in build ends the process.
func Main(name string, build func(environ []string) (App, error)) {
	root, err := os.Getwd()
	if err != nil {
		root = "."
	}
	environ := os.Environ()
	if dir := lookup(environ, "FUNCTIONS_APP_ROOT_PATH"); dir != "" {
		root = dir
	}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	p := process{name: name, build: build, environ: environ, root: os.DirFS(root), stdout: os.Stdout, stderr: os.Stderr,
		stop: stop.Done(), orphaned: watchParent()}
	os.Exit(p.run())
}

// process is one life of the executable, apart from what belongs to the operating system.
type process struct {
	name           string
	build          func([]string) (App, error)
	environ        []string
	root           fs.FS
	stdout, stderr io.Writer
	stop           <-chan struct{} // closed by SIGTERM or SIGINT
	orphaned       <-chan struct{} // closed when the parent process is gone
}

func (p process) run() int {
	started := time.Now()
	port := lookup(p.environ, "FUNCTIONS_CUSTOMHANDLER_PORT")
	if port == "" {
		fmt.Fprint(p.stderr, usage(p.name))
		return exitNoHost
	}
	console := newConsole(p.stdout, p.stderr)
	logger := console.logger(p.name)
	slog.SetDefault(logger) // also for the log package, so that no library writes past the console
	log.SetFlags(0)
	listener, err := listen(port)
	if err != nil {
		logger.Error("cannot start", "error", err)
		return exitFailed
	}
	root, err := readAppRoot(p.root, p.environ)
	if err != nil {
		logger.Error("cannot start", "error", err)
		return exitFailed
	}
	front := &gate{ready: make(chan struct{}), limit: root.allowed()}
	server := &http.Server{Handler: front, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer server.Close()
	select {
	case <-p.stop:
		return exitRestart
	case <-p.orphaned:
		return exitFailed
	case b := <-p.startBuild():
		if b.err != nil {
			logger.Error("cannot start", "error", b.err)
			return exitFailed
		}
		h := newHandler(b.app, root, p.environ, console)
		front.open(h)
		h.announce(time.Since(started))
		return p.serve(h, server, served)
	}
}

func listen(port string) (net.Listener, error) {
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return nil, fmt.Errorf("FUNCTIONS_CUSTOMHANDLER_PORT is %q, want a port number: it is set by the Functions host, do not set it yourself", port)
	}
	listener, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on port %s of FUNCTIONS_CUSTOMHANDLER_PORT: another process has it, perhaps an earlier handler: %w", port, err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on port %s of FUNCTIONS_CUSTOMHANDLER_PORT: %w", port, err)
	}
	return listener, nil
}

type built struct {
	app App
	err error
}

// startBuild builds the app on a goroutine, so that a slow build does not keep the process from ending.
func (p process) startBuild() <-chan built {
	result := make(chan built, 1)
	go func() {
		var b built
		defer func() {
			if v := recover(); v != nil {
				b.err = fmt.Errorf("the app panicked while it was built: %v\n%s", v, clip(string(debug.Stack()), maxStack))
			}
			result <- b
		}()
		app, err := p.build(p.environ)
		if err != nil && app.Problem == nil {
			app.Problem = err
		}
		if app.Name == "" {
			app.Name = p.name
		}
		b.app = app
	}()
	return result
}

// announce is the first record of a process's life.
func (h *Handler) announce(took time.Duration) {
	version := h.app.Version
	if info, ok := debug.ReadBuildInfo(); ok && version == "" {
		version = info.Main.Version
	}
	h.log.Info("handler ready", "version", version, "go", runtime.Version(), "functions", len(h.functions), "functionTimeout", h.root.timeout, "took", took)
	if h.app.Problem != nil {
		h.log.Error("settings are not usable: timers fail, messages are put off by "+postponed.String()+" until they are repaired", "error", h.app.Problem)
	}
}

// serve waits for the end of the process's life.
func (p process) serve(h *Handler, server *http.Server, served <-chan error) int {
	select {
	case <-p.stop:
		h.log.Info("asked to stop: invocations in flight may finish", "limit", stopGrace)
		h.drain(server, stopGrace, ErrStopping)
		return exitRestart
	case <-p.orphaned:
		h.log.Warn("the host is gone: stopping", "limit", goneGrace)
		h.end(ErrHostGone)
		h.drain(server, goneGrace, ErrHostGone)
		return exitFailed
	case err := <-served:
		h.log.Error("the server stopped", "error", err)
		return exitFailed
	}
}

// drain takes no more requests and waits for what is in flight, runs by hand too; past the limit contexts end with cause.
func (h *Handler) drain(server *http.Server, limit time.Duration, cause error) {
	for _, patience := range []time.Duration{limit, goneGrace / 2} {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		err := errors.Join(server.Shutdown(ctx), h.runs.wait(ctx))
		cancel()
		h.end(cause)
		if err == nil {
			return
		}
	} // whatever is left now is left to the next delivery
}

// gate answers the host's probe at once and lets invocations wait until the app is built.
type gate struct {
	limit   time.Duration // of an invocation's wait; 0 means none
	ready   chan struct{}
	handler http.Handler
}

func (g *gate) open(h http.Handler) {
	g.handler = h
	close(g.ready)
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		writeReply(w, http.StatusOK, emptyReply)
		return
	}
	if g.await(r.Context()) {
		g.handler.ServeHTTP(w, r)
		return
	}
	writeReply(w, http.StatusInternalServerError, []byte(`{"error":"the app is still being built"}`))
}

func (g *gate) await(ctx context.Context) bool {
	select {
	case <-g.ready:
		return true
	default:
	}
	if g.limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, g.limit)
		defer cancel()
	}
	select {
	case <-g.ready:
		return true
	case <-ctx.Done():
		return false
	}
}

func usage(name string) string {
	executable := "handler"
	if len(os.Args) > 0 {
		executable = filepath.Base(os.Args[0])
	}
	return strings.NewReplacer("{name}", name, "{executable}", executable).Replace(
		`{executable} is the custom handler of the Azure Functions app "{name}". It is started by a Functions host, not by hand.

To run it:
  on this machine, with an emulator:     make run
  under Azure Functions Core Tools:      func start --script-root build/apps/{name}
  in Azure:                              make package, then deploy build/{name}-linux-amd64.zip

A host tells it where to listen by FUNCTIONS_CUSTOMHANDLER_PORT, which is not set.
`)
}
