package customhandler

import (
	"errors"
	"fmt"
	"time"
)

// MaxRetryAfter is the longest that a message can be put off: the limit of Azure Storage queues.
const MaxRetryAfter = 7 * 24 * time.Hour

// Causes of a handler's context ending early, as told by context.Cause.
var (
	ErrDeadline = errors.New("the time allowed by functionTimeout is over")
	ErrHostGone = errors.New("the Functions host is gone")
	ErrStopping = errors.New("the process was asked to stop")
)

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

type retryError struct{ after time.Duration }

func (e *retryError) Error() string { return fmt.Sprintf("to be tried again in %v", e.after) }

type holdError struct{ reason string }

func (e *holdError) Error() string { return e.reason }

// Permanent says that trying again cannot help: the message goes to the poison queue at once and err is kept beside it as
// the reason. Permanent(nil) is nil. It may be wrapped.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// RetryAfter puts the message back on its queue, invisible for d, without costing it a try. d is cut to [0, MaxRetryAfter].
// Say why by wrapping it: fmt.Errorf("server is busy: %w", RetryAfter(d)). A timer has no message to put off: there it is
// an ordinary failure, and the schedule decides when the function runs again.
func RetryAfter(d time.Duration) error {
	return &retryError{min(max(d, 0), MaxRetryAfter)}
}

// Hold parks the message, or the timer's run, with the reason, until an operator releases or discards it through the invoke
// function. A released message comes back with Message.Released set, a released timer runs with Timer.Released set.
func Hold(reason string) error { return &holdError{reason} }

// verdict is what an invocation's error asks for.
type verdict string

const (
	done      verdict = "done"
	permanent verdict = "permanent"
	retry     verdict = "retry"
	hold      verdict = "hold"
	failed    verdict = "failed"
)

// judge reads the verdict off an error. When an error joins several, the most careful one wins: a hold keeps a human in the
// loop, a permanent error keeps its reason, and only then is the message tried again later.
func judge(err error) (verdict, time.Duration) {
	var h *holdError
	var p *permanentError
	var r *retryError
	switch {
	case err == nil:
		return done, 0
	case errors.As(err, &h):
		return hold, 0
	case errors.As(err, &p):
		return permanent, 0
	case errors.As(err, &r):
		return retry, r.after
	}
	return failed, 0
}

// Outcome names what an error asks for: "done", "permanent", "retry", "hold" or "failed".
func Outcome(err error) string {
	v, _ := judge(err)
	return string(v)
}
