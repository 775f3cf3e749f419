package customhandler

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// listing is the answer to a plain GET of invoke.
type listing struct {
	App       string         `json:"app"`
	Problem   string         `json:"problem,omitempty"`
	Functions []listFunction `json:"functions"`
	Held      []listEntry    `json:"held"`
	Poisoned  []listEntry    `json:"poisoned"`
	Runs      []listRun      `json:"runs"`
	Notes     []string       `json:"notes,omitempty"` // what could not be listed, or not in full
}

type listFunction struct {
	Name     string `json:"name"`
	Trigger  string `json:"trigger"`
	Schedule string `json:"schedule,omitempty"`
	Queue    string `json:"queue,omitempty"`
	Version  int    `json:"messageVersion,omitempty"`
}

// listEntry is something that waits for an operator.
type listEntry struct {
	ID       string    `json:"id"`
	Function string    `json:"function"`
	Queue    string    `json:"queue,omitempty"`
	Reason   string    `json:"reason"`
	Since    time.Time `json:"since"`
	Bytes    int       `json:"bytes,omitempty"`
	Message  string    `json:"message,omitempty"`
	Do       string    `json:"do"`
}

type listRun struct {
	ID      string    `json:"id"`
	Written time.Time `json:"lastWritten"`
}

func (h *Handler) list(ctx context.Context) listing {
	l := listing{App: h.app.Name, Functions: h.listFunctions(), Held: []listEntry{}, Poisoned: []listEntry{}, Runs: []listRun{}}
	if h.app.Problem != nil {
		l.Problem = h.scrub.text(h.app.Problem.Error())
	}
	if h.app.Storage == nil || h.app.State == nil {
		l.Notes = append(l.Notes, errNoState.Error())
		return l
	}
	for _, add := range []func(context.Context, *listing) error{h.listHeld, h.listPoisoned, h.listRuns} {
		if err := add(ctx, &l); err != nil {
			l.Notes = append(l.Notes, h.scrub.text(err.Error()))
		}
	}
	return l
}

func (h *Handler) listFunctions() []listFunction {
	var all []listFunction
	for lower, f := range h.functions {
		if lower == invokeName || lower == checkName {
			continue
		}
		t := h.root.functions[lower].trigger
		all = append(all, listFunction{Name: f.name, Trigger: string(f.trigger), Schedule: t.schedule, Queue: t.queue, Version: f.version})
	}
	slices.SortFunc(all, func(a, b listFunction) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func (h *Handler) listHeld(ctx context.Context, l *listing) error {
	for p, err := range h.app.State.List(ctx, "held/") {
		if err != nil {
			return fmt.Errorf("list what is held: %w", err)
		}
		if len(l.Held) == maxListed {
			l.Notes = append(l.Notes, fmt.Sprintf("more than %d are held; deal with these first", maxListed))
			return nil
		}
		var r heldRecord
		etag, err := h.readRecord(ctx, p.Name, &r)
		if err != nil {
			l.Notes = append(l.Notes, h.scrub.text(err.Error()))
			continue
		}
		if etag == "" {
			continue
		}
		l.Held = append(l.Held, listEntry{ID: r.ID, Function: r.Function, Queue: r.Queue, Reason: r.Reason, Since: r.Since, Bytes: len(r.Body),
			Message: h.scrub.text(shown(r.Body, maxShown)), Do: fmt.Sprintf(`POST {"release":%q} or {"discard":%q}`, r.ID, r.ID)})
	}
	return nil
}

func (h *Handler) listPoisoned(ctx context.Context, l *listing) error {
	for _, file := range h.queueFiles() {
		messages, err := h.peekPoisoned(ctx, file)
		if err != nil {
			return err
		}
		for _, p := range messages {
			l.Poisoned = append(l.Poisoned, h.poisonedEntry(ctx, p))
		}
		q := h.app.Storage.Queue(file.trigger.queue + poisonSuffix)
		if total, err := q.Len(ctx); err == nil && total > len(messages) {
			l.Notes = append(l.Notes, fmt.Sprintf("about %d messages are in %s, %d are shown", total, q.Name(), len(messages)))
		}
	}
	return nil
}

func (h *Handler) poisonedEntry(ctx context.Context, p poisoned) listEntry {
	e := listEntry{ID: p.id, Function: p.function, Queue: p.queue.Name(), Since: p.message.Inserted, Bytes: len(p.body),
		Message: h.scrub.text(shown(p.body, maxShown)), Do: fmt.Sprintf(`POST {"requeue":%q} or {"discard":%q}`, p.id, p.id)}
	reason := poisonReason{Function: p.function, ID: p.id}
	etag, err := h.readRecord(ctx, reason.name(), &reason)
	switch {
	case err != nil:
		e.Reason = h.scrub.text(err.Error())
	case etag != "":
		e.Reason = reason.Reason
	case p.message.Body == nil:
		e.Reason = "the host moved it here unseen: it is not base64, so this app did not send it"
	default:
		e.Reason = "no reason is on record: the host moved it here by itself, after its last try ended with a dead handler or an unreachable one"
	}
	return e
}

// listRuns shows the newest runs.
func (h *Handler) listRuns(ctx context.Context, l *listing) error {
	for p, err := range h.app.State.List(ctx, "runs/") {
		if err != nil {
			return fmt.Errorf("list runs: %w", err)
		}
		id := strings.TrimSuffix(strings.TrimPrefix(p.Name, "runs/"), ".json")
		l.Runs = append(l.Runs, listRun{ID: id, Written: p.ModTime})
	}
	slices.Reverse(l.Runs) // ids begin with the time
	l.Runs = l.Runs[:min(len(l.Runs), 20)]
	return nil
}
