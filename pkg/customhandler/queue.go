package customhandler

import (
	"context"
	"fmt"
	"time"
)

const (
	// postponed is how long a message waits for an admin to repair the app's settings.
	postponed = 15 * time.Minute

	// maxLost is how many handlers may die over one message before it is taken for the cause.
	maxLost = 20

	// renewFrom is the delivery from which a message's lost tries are given back: the first one that is lost costs nothing yet.
	renewFrom = 3
)

// attempt is one delivery of a queue message together with what is known of earlier ones.
type attempt struct {
	function Function
	item     queueItem
	bare     []byte      // the body without its bookkeeping
	book     bookkeeping // as the body brought it
	recorded int         // failed tries of this delivery's id that are on record
}

func newAttempt(f Function, item queueItem) *attempt {
	a := &attempt{function: f, item: item}
	a.bare, a.book = splitDelivery(item.body)
	return a
}

// key names the message; most deliveries never need it.
func (a *attempt) key() string { return bareKey(a.bare) }

// mayHaveFailed tells whether there can be a record of failed tries.
func (a *attempt) mayHaveFailed() bool {
	return a.item.dequeueCount != 1 || a.recorded > 0 || a.book.Failures > 0
}

// held is the record of the message for an operator.
func (a *attempt) held(reason error) heldRecord {
	return heldRecord{ID: a.key(), Function: a.function.name, Queue: a.item.queue, Reason: reason.Error(), Body: a.item.body}
}

// lost is how many earlier deliveries ended without a word.
func (a *attempt) lost() int { return max(0, a.item.dequeueCount-1-a.recorded) }

// history is the bookkeeping for a copy of the message, which starts with a count of its own.
func (a *attempt) history() bookkeeping {
	book := a.book
	book.Failures += a.recorded
	book.Lost += a.lost()
	return book
}

func (h *Handler) serveQueue(ctx context.Context, f Function, p payload, file functionFile) error {
	item, err := parseQueue(p, file.trigger)
	if err != nil {
		return h.logFailure(ctx, err)
	}
	a := newAttempt(f, item)
	invocationOf(ctx).manual = item.manual
	if item.manual {
		return h.concludeByHand(ctx, a, h.runQueue(ctx, f, item))
	}
	if settled, err := h.renew(ctx, a); settled || err != nil {
		return err
	}
	item.lost = a.history().Lost
	return h.enact(ctx, a, h.runQueue(ctx, f, item))
}

func (h *Handler) runQueue(ctx context.Context, f Function, item queueItem) error {
	if h.app.Problem != nil {
		return fmt.Errorf("%w (%w)", h.app.Problem, RetryAfter(postponed))
	}
	work, err := f.prepare(item)
	if err != nil {
		return err
	}
	return h.run(ctx, work)
}

// prepare decodes the message. A type whose own decoding panics over it does not bring down more than the message.
func (f Function) prepare(item queueItem) (work func(context.Context) error, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = Permanent(fmt.Errorf("message of queue %q: its decoding panicked: %v", item.queue, v))
		}
	}()
	return f.queue(item)
}

// renew gives a message back the tries that killed handlers cost it. settled says that this delivery is dealt with.
func (h *Handler) renew(ctx context.Context, a *attempt) (settled bool, err error) {
	if a.item.dequeueCount < 2 {
		return false, nil
	}
	ctx, cancel := h.writing(ctx)
	defer cancel()
	record, _, err := h.readFailures(ctx, a)
	if err != nil {
		Log(ctx).Warn("failed tries cannot be read; the host's count stands", "error", err)
		a.recorded = a.item.dequeueCount - 1
		return false, nil
	}
	a.recorded = record.Tries[a.item.id]
	if a.item.dequeueCount < min(renewFrom, h.root.maxDequeue) || a.lost() == 0 {
		return false, nil
	}
	if book := a.history(); book.Lost >= maxLost {
		reason := fmt.Errorf("the handler died %d times over this message: look for what kills it (memory, a crash in the log), then requeue it", book.Lost)
		return true, h.settle(ctx, permanent, reason, h.poison(ctx, a, reason))
	}
	if err := h.enqueue(ctx, a.item.queue, joinDelivery(a.bare, a.history()), 0); err != nil {
		return false, h.logFailure(ctx, fmt.Errorf("renew message: %w", err))
	}
	Log(ctx).Info("message renewed: earlier handlers died over it", "lost", a.history().Lost, "failures", a.history().Failures)
	return true, nil
}

// enact does what the handler's error asks for. It returns an error when the host must keep the message.
func (h *Handler) enact(ctx context.Context, a *attempt, outcome error) error {
	v, after := judge(outcome)
	if v == failed && interrupted(ctx) {
		return h.logFailure(ctx, outcome) // nobody's fault: not recorded, so that renewal gives the try back
	}
	if v == done && !a.mayHaveFailed() { // nearly always: nothing to write
		h.conclude(ctx, done, nil)
		return nil
	}
	write, cancel := h.writing(ctx)
	defer cancel()
	switch v {
	case done:
		h.conclude(ctx, done, nil)
		h.forgetFailures(write, a)
		return nil
	case retry:
		book := a.history()
		book.PutOff++
		return h.settle(ctx, retry, outcome, h.enqueue(write, a.item.queue, joinDelivery(a.bare, book), after))
	case permanent:
		return h.settle(ctx, permanent, outcome, h.poison(write, a, outcome))
	case hold:
		err := h.hold(write, a.held(outcome))
		if err == nil {
			h.forgetFailures(write, a)
		}
		return h.settle(ctx, hold, outcome, err)
	}
	return h.recordFailure(ctx, write, a, outcome)
}

// settle logs an outcome that was written down, or the failure to do so, which the host must hear of.
func (h *Handler) settle(ctx context.Context, v verdict, outcome, written error) error {
	if written != nil {
		return h.logFailure(ctx, fmt.Errorf("%w; and this outcome (%s) could not be stored, so the message stays: %w", outcome, v, written))
	}
	h.conclude(ctx, v, outcome)
	return nil
}

// recordFailure counts a failed try, and gives the message up when it was the last.
func (h *Handler) recordFailure(ctx, write context.Context, a *attempt, outcome error) error {
	reason := h.scrub.text(outcome.Error())
	if err := h.countFailure(write, a, reason); err != nil {
		Log(ctx).Warn("failed try not recorded", "error", err)
	}
	if a.book.Failures+a.recorded < h.root.maxDequeue && a.item.dequeueCount < h.root.maxDequeue {
		return h.logFailure(ctx, outcome)
	}
	outcome = fmt.Errorf("%w (the last of %d tries)", outcome, h.root.maxDequeue)
	if a.item.dequeueCount > 0 && a.item.dequeueCount < h.root.maxDequeue {
		// A renewed message is young for the host, which would try it again.
		return h.settle(ctx, permanent, outcome, h.poison(write, a, outcome))
	}
	if err := h.writeReason(write, a, outcome); err != nil {
		Log(ctx).Warn("reason not recorded", "error", err)
	} else {
		h.forgetFailures(write, a)
	}
	return h.logFailure(ctx, outcome) // the host moves the message itself
}

// concludeByHand reports a run by hand to whoever asked for it. There is no message to put off or to poison; a hold is kept.
func (h *Handler) concludeByHand(ctx context.Context, a *attempt, outcome error) error {
	if v, _ := judge(outcome); v != hold || DryRun(ctx) {
		if outcome != nil {
			return h.logFailure(ctx, outcome)
		}
		h.conclude(ctx, done, nil)
		return nil
	}
	write, cancel := h.writing(ctx)
	defer cancel()
	return h.settle(ctx, hold, outcome, h.hold(write, a.held(outcome)))
}
