package customhandler

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// invocation is what one run of a function knows about itself.
type invocation struct {
	function   string
	started    time.Time
	id         string
	manual     bool
	dryRun     bool
	app        *slog.Logger // the app's logger
	transcript *transcript  // kept for runs through invoke, else nil

	mu      sync.Mutex
	reports []json.RawMessage
	size    int
}

const maxReports = 64 << 10 // bytes of reports kept for one invocation

type invocationKey struct{}

func invocationOf(ctx context.Context) *invocation {
	inv, _ := ctx.Value(invocationKey{}).(*invocation)
	return inv
}

func (inv *invocation) attrs() []slog.Attr {
	return []slog.Attr{slog.String("function", inv.function), slog.String("invocation", inv.id)}
}

// logger makes the invocation's logger from the app's.
func (inv *invocation) logger() *slog.Logger {
	h, ok := inv.app.Handler().(*logHandler)
	if !ok {
		return inv.app
	}
	return slog.New(&logHandler{h.console, h.encoder.WithAttrs(inv.attrs()), inv})
}

// DryRun says that nothing may be changed: the handler works out what it would do and reports it. Only a run through the
// invoke function can be one.
func DryRun(ctx context.Context) bool {
	inv := invocationOf(ctx)
	return inv != nil && inv.dryRun
}

// Report notes what was done, or in a dry run would be done, as a value that encodes as JSON. Each call adds one. The reports
// are returned by the invoke function and logged once, when the invocation ends. More than 64 KiB of them are cut.
func Report(ctx context.Context, v any) {
	inv := invocationOf(ctx)
	if inv == nil {
		return
	}
	encoded, err := marshal(v)
	if err != nil {
		encoded, _ = marshal(fmt.Sprintf("a report of type %T cannot be encoded: %v", v, err))
	}
	inv.mu.Lock()
	defer inv.mu.Unlock()
	if inv.size += len(encoded); inv.size <= maxReports {
		inv.reports = append(inv.reports, encoded)
	}
}

func (inv *invocation) reported() []json.RawMessage {
	inv.mu.Lock()
	defer inv.mu.Unlock()
	return append([]json.RawMessage(nil), inv.reports...)
}

// Log returns the logger of the invocation that ctx belongs to: its records carry app, function and invocation id. Outside
// an invocation it is slog's default logger.
func Log(ctx context.Context) *slog.Logger {
	if inv := invocationOf(ctx); inv != nil {
		return inv.logger()
	}
	return slog.Default()
}
