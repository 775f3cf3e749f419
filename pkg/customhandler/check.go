package customhandler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"

	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// checkLimit is how long one check may take.
const checkLimit = 30 * time.Second

// checkResult is one row of the check function's answer.
type checkResult struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Do     string `json:"do,omitempty"`
	TookMS int64  `json:"tookMs"`
}

// serveCheck tries every setting and connection of the app. It answers 200 when all of it works and 503 when something does
// not, so that a monitor needs to read nothing else.
func (h *Handler) serveCheck(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		writeJSON(w, http.StatusMethodNotAllowed, map[string]string{"error": "use GET"})
		return
	}
	results := append(h.checkSettings(), h.runChecks(r.Context(), append(h.ownChecks(), h.app.Checks...))...)
	status := http.StatusOK
	for _, result := range results {
		if !result.OK {
			status = http.StatusServiceUnavailable
		}
	}
	if wantsText(r) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(checkTable(results))) // an answer in memory
		return
	}
	writeJSON(w, status, struct {
		App    string        `json:"app"`
		OK     bool          `json:"ok"`
		Checks []checkResult `json:"checks"`
	}{h.app.Name, status == http.StatusOK, results})
}

func wantsText(r *http.Request) bool {
	if format := r.URL.Query().Get("format"); format != "" {
		return strings.EqualFold(format, "text")
	}
	return strings.HasPrefix(r.Header.Get("Accept"), "text/plain")
}

// checkSettings is one row a problem, or one row that says that there is none.
func (h *Handler) checkSettings() []checkResult {
	var problems settings.Problems
	switch {
	case h.app.Problem == nil:
		detail := "all valid"
		if h.app.Settings != nil {
			detail = fmt.Sprintf("%d settings known, all valid", len(settings.Describe(h.app.Settings)))
		}
		return []checkResult{{Check: "settings", OK: true, Detail: detail}}
	case errors.As(h.app.Problem, &problems):
		var rows []checkResult
		for _, p := range problems {
			do := "set it to " + p.Want
			switch {
			case p.Example != "":
				do += fmt.Sprintf(", for example %q", p.Example)
			case p.Hint != "": // of a name that is misspelt there is nothing to set
				do = p.Hint
			}
			rows = append(rows, checkResult{Check: "setting " + p.Setting, Detail: h.scrub.text(p.String()), Do: do})
		}
		return rows
	}
	return []checkResult{{Check: "settings", Detail: h.scrub.text(h.app.Problem.Error()), Do: adviceOf(h.app.Problem)}}
}

// ownChecks try what every app needs: its state container and its queues.
func (h *Handler) ownChecks() []Check {
	checks := []Check{{Name: "state container", Try: h.checkState}}
	for _, file := range h.queueFiles() {
		checks = append(checks, Check{Name: "queue " + file.trigger.queue, Try: func(ctx context.Context) (string, error) {
			return h.checkQueue(ctx, file)
		}})
	}
	return checks
}

func (h *Handler) checkState(ctx context.Context) (string, error) {
	if h.app.State == nil {
		return "", errNoState
	}
	name := "check/" + uuid.NewString()
	if _, err := h.app.State.Write(ctx, name, []byte("check"), storage.Cond{New: true}, storage.Meta{ContentType: "text/plain"}); err != nil {
		return "", err
	}
	if err := h.app.State.Delete(ctx, name, storage.Cond{}); err != nil {
		return "", err
	}
	return "wrote and deleted a blob in " + h.app.State.Name(), nil
}

func (h *Handler) checkQueue(ctx context.Context, file functionFile) (string, error) {
	if h.app.Storage == nil {
		return "", errNoState
	}
	q := h.app.Storage.Queue(file.trigger.queue)
	if err := q.Create(ctx); err != nil {
		return "", err
	}
	waiting, err := q.Len(ctx)
	if err != nil {
		return "", err
	}
	poison, err := h.app.Storage.Queue(file.trigger.queue + poisonSuffix).Len(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("about %d waiting, %d poisoned", waiting, poison), nil
}

// runChecks tries all checks at once, each within its limit, and keeps their order.
func (h *Handler) runChecks(ctx context.Context, checks []Check) []checkResult {
	results := make([]checkResult, len(checks))
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() { results[i] = h.runCheck(ctx, c) })
	}
	all.Wait()
	return results
}

func (h *Handler) runCheck(ctx context.Context, c Check) checkResult {
	started := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, checkLimit, fmt.Errorf("no answer within %v", checkLimit))
	defer cancel()
	detail, err := h.try(ctx, c)
	result := checkResult{Check: c.Name, OK: err == nil, Detail: h.scrub.text(detail), TookMS: time.Since(started).Milliseconds()}
	if err != nil {
		result.Detail, result.Do = h.scrub.text(err.Error()), h.scrub.text(adviceOf(err))
		Log(ctx).Warn("check failed", "check", c.Name, "error", err)
	}
	return result
}

// try bounds a check that ignores its context, and survives one that panics.
func (h *Handler) try(ctx context.Context, c Check) (string, error) {
	type outcome struct {
		detail string
		err    error
	}
	result := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if v := recover(); v != nil {
				o = outcome{err: fmt.Errorf("the check panicked: %v", v)}
			}
			result <- o
		}()
		o.detail, o.err = c.Try(ctx)
	}()
	select {
	case o := <-result:
		return o.detail, explain(ctx, o.err)
	case <-ctx.Done():
	}
	select {
	case o := <-result: // it noticed, and may know more
		return o.detail, explain(ctx, o.err)
	case <-time.After(time.Second):
		return "", context.Cause(ctx)
	}
}

func checkTable(results []checkResult) string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHAT\tWORKS\tDETAIL, AND WHAT TO DO")
	for _, r := range results {
		works := "yes"
		if !r.OK {
			works = "NO"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", oneLine(r.Check), works, oneLine(r.Detail))
		if r.Do != "" { // on a line of its own: a long detail would push a fourth column off the screen
			fmt.Fprintf(t, "\t\t-> %s\n", oneLine(r.Do))
		}
	}
	_ = t.Flush() // into memory
	return b.String()
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // plain values into memory
}
