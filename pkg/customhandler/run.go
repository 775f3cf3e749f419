package customhandler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"time"
)

// maxStack bounds a stack in a log record, in bytes.
const maxStack = 7 << 10

// panicError is a handler's panic, already logged with its stack.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("the handler panicked: %v", e.value) }

var errStuck = errors.New("the handler did not stop when its time was over; its stack is in the log, and it still runs")

// run calls the handler's code on a goroutine of its own, so that a handler that panics or ignores its context fails its
// invocation and nothing else. It waits for the handler, and after the context's end for a little longer.
func (h *Handler) run(ctx context.Context, work func(context.Context) error) error {
	inv := invocationOf(ctx)
	result := make(chan error, 1)
	go pprof.Do(ctx, pprof.Labels("invocation", inv.id), func(ctx context.Context) {
		err := errors.New("the handler left by runtime.Goexit")
		defer func() {
			if v := recover(); v != nil {
				inv.logger().Error("handler panicked", "panic", fmt.Sprint(v), "stack", clip(string(debug.Stack()), maxStack))
				err = &panicError{v}
			}
			result <- err
		}()
		err = work(ctx)
	})
	select {
	case err := <-result:
		return explain(ctx, err)
	case <-ctx.Done():
	}
	patience := time.NewTimer(h.patience())
	defer patience.Stop()
	select {
	case err := <-result:
		return explain(ctx, err)
	case <-patience.C:
	}
	inv.logger().Error("handler ignores that its time is over", "cause", context.Cause(ctx), "stack", stackOf(inv.id))
	go func() {
		err := <-result
		inv.logger().Warn("handler ended after its invocation was given up", "error", err)
	}()
	return errStuck
}

// patience is how long a handler may take to notice that its context ended: a third of the margin. Another third is for
// writing down what became of the message.
func (h *Handler) patience() time.Duration {
	if h.root.timeout == 0 {
		return 10 * time.Second
	}
	return h.root.margin() / 3
}

// explain adds to a handler's error why its context ended, where the error only says that it did.
func explain(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(err, cause) {
		return fmt.Errorf("%w (%v)", err, cause)
	}
	return err
}

// stackOf returns the stacks of an invocation's goroutines, found by the label that run gives them and that the goroutines
// they start inherit.
func stackOf(id string) string {
	var all, found bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		return err.Error()
	}
	for _, one := range strings.Split(all.String(), "\n\n") {
		if strings.Contains(one, id) {
			found.WriteString(one + "\n\n")
		}
	}
	return clip(found.String(), maxStack)
}

// concludeTimer reports a timer's run. The host never repeats a failed timer run, so nothing but a hold is kept.
func (h *Handler) concludeTimer(ctx context.Context, f Function, outcome error) error {
	if v, _ := judge(outcome); v == hold && !DryRun(ctx) {
		write, cancel := h.writing(ctx)
		defer cancel()
		return h.settle(ctx, hold, outcome, h.hold(write, heldRecord{
			ID: messageKey([]byte("timer " + f.name)), Function: f.name, Reason: outcome.Error()}))
	}
	if outcome != nil {
		return h.logFailure(ctx, outcome)
	}
	h.conclude(ctx, done, nil)
	return nil
}

// conclude logs an invocation's end, once.
func (h *Handler) conclude(ctx context.Context, v verdict, outcome error) {
	inv := invocationOf(ctx)
	attrs := []slog.Attr{slog.String("outcome", string(v)), slog.Duration("took", time.Since(inv.started))}
	if reports := inv.reported(); len(reports) > 0 {
		attrs = append(attrs, slog.Any("report", reports))
	}
	if inv.manual {
		attrs = append(attrs, slog.Bool("byHand", true), slog.Bool("dryRun", inv.dryRun))
	}
	level := slog.LevelInfo
	if outcome != nil {
		attrs = append(attrs, slog.Any("error", outcome))
	}
	if outcome != nil && v != retry {
		level = slog.LevelError
	}
	h.log.LogAttrs(ctx, level, "invocation "+string(v), attrs...)
}

// writing is a context for storing an outcome: the handler's own may be over.
func (h *Handler) writing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), h.patience())
}
