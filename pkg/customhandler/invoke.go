package customhandler

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nightshift-hq/nightshift/pkg/storage"
)

const (
	defaultWait = 30 * time.Second
	maxWait     = 200 * time.Second // Azure's front end gives up at 230
	maxListed   = 100               // entries of each list
	maxShown    = 500               // bytes of a message shown in a list
	maxInput    = 1 << 20           // bytes of an invoke request
)

// invokeRequest is what an operator posts. Exactly one of function, release, discard and requeue is given. Of an id the
// beginning is enough, as long as no other begins so.
type invokeRequest struct {
	Function    string          `json:"function"` // to run
	Input       json.RawMessage `json:"input"`    // a queue's message, or any JSON for a timer
	DryRun      bool            `json:"dryRun"`
	WaitSeconds *int            `json:"waitSeconds"` // 0 to 200, default 30
	Release     string          `json:"release"`     // id of what is held
	Discard     string          `json:"discard"`     // id of what is held or poisoned
	Requeue     string          `json:"requeue"`     // id of what is poisoned, or "all"
}

const allPoisoned = "all"

// statusError is an error with the HTTP status that fits it.
type statusError struct {
	status int
	error
}

func (e *statusError) Unwrap() error { return e.error }

func badRequest(format string, args ...any) error {
	return &statusError{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

// serveInvoke is the operator's door: GET lists, GET ?id= tells about a run, POST runs, releases, discards and requeues.
func (h *Handler) serveInvoke(w http.ResponseWriter, r *http.Request) {
	var result any
	var err error
	switch {
	case r.Method == http.MethodGet && r.URL.Query().Has("id"):
		result, err = h.tellRun(r)
	case r.Method == http.MethodGet:
		result = h.list(r.Context())
	case r.Method == http.MethodPost:
		result, err = h.order(r)
	default:
		err = &statusError{http.StatusMethodNotAllowed, errors.New("use GET or POST")}
	}
	status := http.StatusOK
	if err != nil {
		status = statusOf(err)
		result = map[string]string{"error": err.Error()}
	}
	if run, ok := result.(runRecord); ok && run.State == running {
		status = http.StatusAccepted
		w.Header().Set("Location", run.Ask)
	}
	writeJSON(w, status, result)
}

func statusOf(err error) int {
	var s *statusError
	switch {
	case errors.As(err, &s):
		return s.status
	case errors.Is(err, errUnknownID), errors.Is(err, errUnknownRun):
		return http.StatusNotFound
	case errors.Is(err, errTooManyRuns):
		return http.StatusTooManyRequests
	case errors.Is(err, storage.ErrUnavailable), errors.Is(err, errNoState):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func (h *Handler) tellRun(r *http.Request) (runRecord, error) {
	query := r.URL.Query()
	wait := time.Duration(0)
	if text := query.Get("waitSeconds"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil {
			return runRecord{}, badRequest("waitSeconds is %q, want a number from 0 to %d", text, int(maxWait/time.Second))
		}
		if wait, err = waitFor(&seconds); err != nil {
			return runRecord{}, err
		}
	}
	record, err := h.runs.find(r.Context(), query.Get("id"), wait)
	record.Ask = askAgain(r, record)
	return record, err
}

func waitFor(seconds *int) (time.Duration, error) {
	if seconds == nil {
		return defaultWait, nil
	}
	if *seconds < 0 || *seconds > int(maxWait/time.Second) {
		return 0, badRequest("waitSeconds is %d, want 0 to %d", *seconds, int(maxWait/time.Second))
	}
	return time.Duration(*seconds) * time.Second, nil
}

// askAgain is the address that tells about a run, without the caller's key.
func askAgain(r *http.Request, record runRecord) string {
	if record.State != running {
		return ""
	}
	u := *r.URL
	u.RawQuery = url.Values{"id": {record.ID}}.Encode()
	return u.String()
}

// order does what a POST asks for.
func (h *Handler) order(r *http.Request) (any, error) {
	req, err := readInvoke(r.Body)
	if err != nil {
		return nil, err
	}
	switch {
	case req.Function != "":
		return h.runByHand(r, req)
	case h.app.Storage == nil || h.app.State == nil:
		return nil, errNoState
	case req.Requeue == allPoisoned:
		return h.requeueByHand(r.Context(), allPoisoned)
	}
	id, err := h.fullID(r.Context(), cmp.Or(req.Release, req.Discard, req.Requeue))
	if err != nil {
		return nil, err
	}
	switch {
	case req.Release != "":
		return h.releaseByHand(r, req, id)
	case req.Discard != "":
		return h.discardByHand(r.Context(), id)
	}
	return h.requeueByHand(r.Context(), id)
}

// readInvoke reads a POST strictly: a misspelt dryRun must not become a real run.
func readInvoke(body io.Reader) (invokeRequest, error) {
	var req invokeRequest
	raw, err := io.ReadAll(io.LimitReader(body, maxInput+1))
	if err != nil {
		return req, badRequest("read request: %w", err)
	}
	if len(raw) > maxInput {
		return req, badRequest("the request is longer than %d bytes", maxInput)
	}
	if len(raw) == 0 {
		return req, badRequest(`the request has no body, want JSON such as {"function": "name"}; the host drops the body of a chunked request: send Content-Length`)
	}
	err = json.Unmarshal(raw, &req)
	if err := mustBeObject(raw, err); err != nil {
		return req, badRequest("the request: %w", err)
	}
	if err := shapeOf[invokeRequest]().check(raw); err != nil {
		return req, badRequest("the request: %w", err)
	}
	if err != nil {
		return req, badRequest("the request: %w", describeType(err))
	}
	given := 0
	for _, text := range []string{req.Function, req.Release, req.Discard, req.Requeue} {
		if text != "" {
			given++
		}
	}
	if given != 1 {
		return req, badRequest(`give exactly one of "function", "release", "discard" and "requeue"`)
	}
	if req.Function == "" && (req.Input != nil || req.DryRun) {
		return req, badRequest(`"input" and "dryRun" go with "function" only`)
	}
	return req, nil
}

func (h *Handler) runByHand(r *http.Request, req invokeRequest) (runRecord, error) {
	f, ok := h.functions[strings.ToLower(req.Function)]
	if !ok {
		return runRecord{}, &statusError{http.StatusNotFound, fmt.Errorf("no function is called %q, there are %s", req.Function, strings.Join(h.runnable(), ", "))}
	}
	file := h.root.functions[strings.ToLower(f.name)]
	var work func(context.Context) error
	switch f.trigger {
	case timerTrigger:
		timer := Timer{Schedule: file.trigger.schedule, Manual: true, Input: inputText(req.Input), Now: time.Now()}
		work = h.timerByHand(f, timer)
	case queueTrigger:
		item, err := h.itemByHand(f, file, req.Input)
		if err != nil {
			return runRecord{}, err
		}
		work = h.queueByHand(f, item)
	default:
		return runRecord{}, badRequest("%q is an HTTP function: call its own address", f.name)
	}
	return h.startAndWait(r, f, req, work, nil)
}

func (h *Handler) startAndWait(r *http.Request, f Function, req invokeRequest, work, after func(context.Context) error) (runRecord, error) {
	wait, err := waitFor(req.WaitSeconds)
	if err != nil {
		return runRecord{}, err
	}
	run, err := h.runs.start(f, req.DryRun, work, after)
	if err != nil {
		return runRecord{}, err
	}
	run.await(r.Context(), wait)
	record := run.snapshot()
	record.Ask = askAgain(r, record)
	return record, nil
}

func (h *Handler) timerByHand(f Function, timer Timer) func(context.Context) error {
	return func(ctx context.Context) error {
		err := h.run(ctx, func(ctx context.Context) error { return h.runTimer(ctx, f, timer) })
		return cmpErr(h.concludeTimer(ctx, f, err), err)
	}
}

func (h *Handler) queueByHand(f Function, item queueItem) func(context.Context) error {
	return func(ctx context.Context) error {
		err := h.runQueue(ctx, f, item)
		return cmpErr(h.concludeByHand(ctx, newAttempt(f, item), err), err)
	}
}

// cmpErr prefers the failure to store an outcome to the outcome.
func cmpErr(stored, outcome error) error {
	if stored != nil {
		return stored
	}
	return outcome
}

// itemByHand makes a message of the input. By hand the version may be left out: it is then the current one.
func (h *Handler) itemByHand(f Function, file functionFile, input json.RawMessage) (queueItem, error) {
	if kindOf(input) == '"' {
		input = unquote(input) // as the host's admin API takes it
	}
	if kindOf(input) != '{' || !json.Valid(input) {
		return queueItem{}, badRequest(`"input" must be the message of function %q, a JSON object`, f.name)
	}
	body := append([]byte(nil), input...)
	if _, ok := exactMember(body, versionField); !ok {
		body = appendFirst(body, versionField, strconv.AppendInt(nil, int64(f.version), 10))
	}
	return queueItem{queue: file.trigger.queue, body: body, manual: true}, nil
}

func inputText(input json.RawMessage) string {
	switch kindOf(input) {
	case '"':
		return string(unquote(input))
	case 'n':
		return ""
	}
	return string(input)
}

func (h *Handler) runnable() []string {
	var names []string
	for _, f := range h.functions {
		if f.trigger != httpTrigger {
			names = append(names, f.name)
		}
	}
	slices.Sort(names)
	return names
}

// releaseByHand lets what is held through: a message goes back to its queue, a timer is run now.
func (h *Handler) releaseByHand(r *http.Request, req invokeRequest, id string) (any, error) {
	ctx := r.Context()
	held, etag, err := h.findHeld(ctx, id)
	if err != nil {
		return nil, err
	}
	if held.Queue != "" {
		if err := h.release(ctx, held, etag); err != nil {
			return nil, err
		}
		Log(ctx).Info("held message released", "id", held.ID, "of", held.Function, "reason", held.Reason)
		return map[string]string{"released": held.ID, "function": held.Function, "queue": held.Queue}, nil
	}
	f, ok := h.functions[strings.ToLower(held.Function)]
	if !ok || f.trigger != timerTrigger {
		return nil, &statusError{http.StatusConflict, fmt.Errorf("the timer %q, which is held, is no longer part of the app: discard it", held.Function)}
	}
	released := &Release{At: time.Now().UTC().Truncate(time.Second), Reason: clip(held.Reason, maxReason)}
	work := h.timerByHand(f, Timer{Manual: true, Released: released, Now: time.Now(), Schedule: h.root.functions[strings.ToLower(f.name)].trigger.schedule})
	return h.startAndWait(r, f, req, work, func(ctx context.Context) error { return h.dropHeld(ctx, held, etag) })
}

// discardByHand forgets what is held or poisoned. The log keeps what it was.
func (h *Handler) discardByHand(ctx context.Context, id string) (any, error) {
	held, etag, err := h.findHeld(ctx, id)
	if err == nil {
		if err := h.dropHeld(ctx, held, etag); err != nil {
			return nil, err
		}
		Log(ctx).Warn("held message discarded", "id", id, "of", held.Function, "reason", held.Reason, "message", shown(held.Body, maxValue/2))
		return map[string]string{"discarded": id, "function": held.Function}, nil
	}
	if !errors.Is(err, errUnknownID) {
		return nil, err
	}
	s := &search{one: true, match: func(p poisoned) bool { return p.id == id }, act: func(ctx context.Context, file functionFile, p poisoned) error {
		if err := h.removePoisoned(ctx, p); err != nil {
			return err
		}
		Log(ctx).Warn("poisoned message discarded", "id", id, "of", file.name, "message", shown(p.body, maxValue/2))
		return nil
	}}
	if err := h.searchPoisoned(ctx, s); err != nil {
		return nil, err
	}
	if s.acted == 0 {
		return nil, errUnknownID
	}
	return map[string]any{"discarded": id, "messages": s.acted}, nil
}

// requeueByHand gives poisoned messages fresh tries: the one with the id, or all that are there now.
func (h *Handler) requeueByHand(ctx context.Context, id string) (any, error) {
	all := id == allPoisoned
	s := &search{one: !all, match: func(p poisoned) bool { return all || p.id == id }, act: func(ctx context.Context, file functionFile, p poisoned) error {
		if err := h.requeuePoisoned(ctx, file, p); err != nil {
			return err
		}
		Log(ctx).Info("poisoned message requeued", "id", p.id, "of", file.name)
		return nil
	}}
	if err := h.searchPoisoned(ctx, s); err != nil {
		return nil, err
	}
	if s.one && s.acted == 0 {
		return nil, errUnknownID
	}
	return map[string]any{"requeued": id, "messages": s.acted}, nil
}

// shown is a message's body as an operator can read it.
func shown(body []byte, limit int) string {
	if !utf8.Valid(body) {
		return fmt.Sprintf("%d bytes that are no text", len(body))
	}
	return clip(string(body), limit)
}
