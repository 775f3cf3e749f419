package customhandler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// failures is the record of a message's failed tries, by the queue's id, because the same body can be there twice.
type failures struct {
	Function string
	Tries    map[string]int
	Reason   string
	Since    time.Time
	Last     time.Time
}

const maxRecord = 1 << 20 // bytes of any record kept in the state container

func failuresName(a *attempt) string { return "failed/" + a.function.name + "/" + a.key() + ".json" }

func (h *Handler) readFailures(ctx context.Context, a *attempt) (failures, string, error) {
	var f failures
	etag, err := h.readRecord(ctx, failuresName(a), &f)
	return f, etag, err
}

// countFailure adds a failed try to the record and leaves the new count in a.
func (h *Handler) countFailure(ctx context.Context, a *attempt, reason string) error {
	var err error
	for range 5 {
		var f failures
		var etag string
		if f, etag, err = h.readFailures(ctx, a); err != nil {
			return err
		}
		now := time.Now().UTC()
		if f.Tries == nil {
			f = failures{Function: a.function.name, Tries: map[string]int{}, Since: now}
		}
		f.Tries[a.item.id]++
		f.Reason, f.Last = reason, now
		if err = h.writeRecord(ctx, failuresName(a), f, storage.Cond{ETag: etag, New: etag == ""}); err == nil {
			a.recorded = f.Tries[a.item.id]
			return nil
		}
		if !errors.Is(err, storage.ErrConflict) {
			return err
		}
	}
	return err
}

// forgetFailures removes the record of failed tries, if there can be one.
func (h *Handler) forgetFailures(ctx context.Context, a *attempt) {
	if h.app.State == nil || !a.mayHaveFailed() {
		return
	}
	if err := h.app.State.Delete(ctx, failuresName(a), storage.Cond{}); err != nil {
		Log(ctx).Warn("record of failed tries not removed", "error", err)
	}
}

// readRecord reads a record of the state container. One that is absent leaves into alone and has no ETag.
func (h *Handler) readRecord(ctx context.Context, name string, into any) (etag string, err error) {
	if h.app.State == nil {
		return "", errNoState
	}
	raw, properties, err := h.app.State.Read(ctx, name, maxRecord)
	if errors.Is(err, storage.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return "", fmt.Errorf("read record %q: %w: delete the blob", name, err)
	}
	return properties.ETag, nil
}

func (h *Handler) writeRecord(ctx context.Context, name string, record any, cond storage.Cond) error {
	if h.app.State == nil {
		return errNoState
	}
	raw, err := marshal(record)
	if err != nil {
		return fmt.Errorf("write record %q: %w", name, err)
	}
	_, err = h.app.State.Write(ctx, name, raw, cond, storage.Meta{ContentType: "application/json"})
	return err
}

func (h *Handler) enqueue(ctx context.Context, queue string, body []byte, delay time.Duration) error {
	if h.app.Storage == nil {
		return errNoState
	}
	_, err := h.app.Storage.Queue(queue).Enqueue(ctx, body, delay)
	return err
}

var errNoState = errors.New("the app has no storage: check AzureWebJobsStorage")
