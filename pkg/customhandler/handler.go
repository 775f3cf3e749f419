package customhandler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	invokeName = "invoke"
	checkName  = "check"

	// maxPayload bounds an invocation's request in bytes. A queue message is below 64 KiB, and up to thirty times as long when
	// a string binding encodes it; HTTP bodies of that size do not belong into a custom handler.
	maxPayload = 32 << 20

	maxKept = 1 << 20 // bytes of a buffer worth keeping for the next invocation
)

// Handler answers the host for one app. It is safe for concurrent use.
type Handler struct {
	app       App
	root      appRoot
	functions map[string]Function // by lower-case name
	console   *console
	log       *slog.Logger
	scrub     scrubber
	deadline  error           // why a context ends when the time is over
	ctx       context.Context // ends, with its cause, when every invocation must
	end       context.CancelCauseFunc
	runs      *runs
	buffers   sync.Pool
}

// New makes the handler of an app whose root (host.json and <function>/function.json) is root. environ is the process's
// environment, for the host's own settings. stdout and stderr are the streams that the host reads; nil means the process's.
// It fails when the app root cannot be read. What does not match between app and root is logged, and fails the invocations concerned.
func New(app App, root fs.FS, environ []string, stdout, stderr io.Writer) (*Handler, error) {
	if stdout == nil {
		stdout = os.Stdout
	}
	if stderr == nil {
		stderr = os.Stderr
	}
	r, err := readAppRoot(root, environ)
	if err != nil {
		return nil, err
	}
	return newHandler(app, r, environ, newConsole(stdout, stderr)), nil
}

func newHandler(app App, r appRoot, environ []string, c *console) *Handler {
	if r.debug {
		c.level.Set(slog.LevelDebug)
	}
	app.openStorage(environ)
	h := &Handler{app: app, root: r, console: c, log: c.logger(app.Name), scrub: scrubber{app.Secrets}}
	c.keepOut(h.scrub)
	h.ctx, h.end = context.WithCancelCause(context.Background())
	h.deadline = fmt.Errorf("%w (%v in host.json)", ErrDeadline, r.timeout)
	h.runs = newRuns(h)
	h.buffers.New = func() any { return new(bytes.Buffer) }
	h.register(app.Functions)
	return h
}

// register makes the table of functions. In degraded mode functions that are only known from their function.json count too.
func (h *Handler) register(fns []Function) {
	if h.app.Problem == nil {
		for _, problem := range h.root.compare(fns) {
			h.log.Error("app root and handler do not match", "error", problem)
		}
	}
	h.functions = map[string]Function{}
	if h.app.Problem != nil {
		for lower, file := range h.root.functions {
			h.functions[lower] = Function{name: file.name, trigger: file.trigger.kind()}
		}
	}
	for _, f := range fns {
		h.functions[strings.ToLower(f.name)] = f
	}
	h.functions[invokeName] = HTTPFunc(invokeName, http.HandlerFunc(h.serveInvoke))
	h.functions[checkName] = HTTPFunc(checkName, http.HandlerFunc(h.serveCheck))
}

// Close ends every invocation with ErrStopping, and the runs started through invoke.
func (h *Handler) Close() {
	h.end(ErrStopping)
	h.runs.all.Wait()
}

// ServeHTTP answers the host's probe and its invocations.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		writeReply(w, http.StatusOK, emptyReply)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/")
	f, ok := h.functions[strings.ToLower(name)]
	if !ok {
		h.refuse(w, http.StatusNotFound, fmt.Errorf("app %q has no function %q", h.app.Name, name))
		return
	}
	if r.Method != http.MethodPost {
		h.refuse(w, http.StatusMethodNotAllowed, fmt.Errorf("function %q: method is %s, the host sends POST", f.name, r.Method))
		return
	}
	h.invoke(w, r, f)
}

// invoke runs one invocation and answers it.
func (h *Handler) invoke(w http.ResponseWriter, r *http.Request, f Function) {
	body := h.buffers.Get().(*bytes.Buffer)
	body.Reset()
	defer func() {
		if body.Cap() <= maxKept {
			h.buffers.Put(body)
		}
	}()
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxPayload)); err != nil {
		h.fail(w, f, fmt.Errorf("read invocation: %w", err))
		return
	}
	p, err := parsePayload(body.Bytes())
	if err != nil {
		h.fail(w, f, err)
		return
	}
	inv := &invocation{function: f.name, id: r.Header.Get("X-Azure-Functions-InvocationId"), started: time.Now(), app: h.log}
	if inv.id == "" {
		inv.id = uuid.NewString()
	}
	ctx, cancel := h.invocationContext(r.Context(), inv)
	defer cancel()
	file := h.root.functions[strings.ToLower(f.name)]
	var outputs json.RawMessage
	switch f.trigger {
	case timerTrigger:
		err = h.serveTimer(ctx, f, p, file)
	case queueTrigger:
		err = h.serveQueue(ctx, f, p, file)
	case httpTrigger:
		outputs, err = h.serveHTTPFunction(ctx, f, p, file)
	default:
		err = fmt.Errorf("function %q has the trigger %q, which no handler can have", f.name, f.trigger)
	}
	if err != nil {
		h.refuse(w, http.StatusInternalServerError, err)
		return
	}
	writeReply(w, http.StatusOK, replyWith(file.response, outputs))
}

func (h *Handler) serveTimer(ctx context.Context, f Function, p payload, file functionFile) error {
	timer, err := parseTimer(p, file.trigger)
	if err != nil {
		return h.logFailure(ctx, err)
	}
	invocationOf(ctx).manual = timer.Manual
	return h.concludeTimer(ctx, f, h.run(ctx, func(ctx context.Context) error { return h.runTimer(ctx, f, timer) }))
}

func (h *Handler) runTimer(ctx context.Context, f Function, timer Timer) error {
	if h.app.Problem != nil {
		return h.app.Problem
	}
	return f.timer(ctx, timer)
}

func (h *Handler) serveHTTPFunction(ctx context.Context, f Function, p payload, file functionFile) (json.RawMessage, error) {
	request, err := parseHTTP(ctx, p, file.trigger)
	if err != nil {
		return nil, h.logFailure(ctx, err)
	}
	response := newAnswer()
	err = h.run(ctx, func(ctx context.Context) error {
		if h.app.Problem != nil && f.name != invokeName && f.name != checkName {
			return h.app.Problem
		}
		f.http.ServeHTTP(response, request.WithContext(ctx))
		return nil
	})
	var outputs json.RawMessage
	if err == nil {
		outputs, err = response.encode(h.scrub)
	}
	if err != nil {
		return nil, h.logFailure(ctx, err)
	}
	h.conclude(ctx, done, nil)
	return outputs, nil
}

// logFailure logs the error of an invocation once and returns it for the reply.
func (h *Handler) logFailure(ctx context.Context, err error) error {
	h.conclude(ctx, failed, err)
	return err
}

// fail answers a request that never became an invocation.
func (h *Handler) fail(w http.ResponseWriter, f Function, err error) {
	h.log.Error("invocation refused", "function", f.name, "error", err)
	h.refuse(w, http.StatusInternalServerError, err)
}

func (h *Handler) refuse(w http.ResponseWriter, status int, err error) {
	body, _ := json.Marshal(map[string]string{"error": h.scrub.text(err.Error())}) // strings always encode
	writeReply(w, status, body)
}

// emptyReply is the smallest answer that the host takes for success: an empty body would hang it until functionTimeout.
var emptyReply = []byte(`{"Outputs":{},"Logs":[],"ReturnValue":null}`)

func replyWith(binding string, outputs json.RawMessage) []byte {
	if outputs == nil {
		return emptyReply
	}
	if binding == "$return" {
		return append(append([]byte(`{"Outputs":{},"Logs":[],"ReturnValue":`), outputs...), '}')
	}
	name, _ := json.Marshal(binding)
	reply := append([]byte(`{"Outputs":{`), name...)
	reply = append(append(reply, ':'), outputs...)
	return append(reply, `},"Logs":[],"ReturnValue":null}`...)
}

func writeReply(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a host that is gone is noticed by its closed connection
}

// invocationContext ends with the host's connection, with the process, and a little before functionTimeout.
func (h *Handler) invocationContext(parent context.Context, inv *invocation) (context.Context, context.CancelFunc) {
	// Not a child of parent: that would end with a bare "context canceled" and hide the cause.
	ctx, cancel := context.WithCancelCause(context.WithValue(context.WithoutCancel(parent), invocationKey{}, inv))
	stopProcess := context.AfterFunc(h.ctx, func() { cancel(context.Cause(h.ctx)) })
	stopParent := context.AfterFunc(parent, func() { cancel(ErrHostGone) })
	limit, stopLimit := ctx, context.CancelFunc(func() {})
	if allowed := h.root.allowed(); allowed > 0 {
		limit, stopLimit = context.WithTimeoutCause(ctx, allowed, h.deadline)
	}
	return limit, func() {
		stopLimit()
		stopParent()
		stopProcess()
		cancel(nil)
	}
}

// margin is the time kept between the handler's deadline and the host's: at its own the host kills the whole process, with
// every invocation in it.
func (r appRoot) margin() time.Duration { return min(30*time.Second, r.timeout/10) }

// allowed is how long a handler may take; 0 means as long as it likes.
func (r appRoot) allowed() time.Duration { return r.timeout - r.margin() }

// interrupted tells whether the context ended because of the host or the process, which is no fault of the work.
func interrupted(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return errors.Is(cause, ErrHostGone) || errors.Is(cause, ErrStopping)
}
