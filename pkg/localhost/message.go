package localhost

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2/queueerror"
)

// settleLimit bounds the calls that end a message: they run to their end also while the host stops.
const settleLimit = 30 * time.Second

// heldMessage is a message that this host has received and others cannot see.
type heldMessage struct {
	listener *listener
	id, text string
	received *azqueue.DequeuedMessage

	mu      sync.Mutex
	receipt string // changes with every update
}

func settling() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), settleLimit)
}

// renew keeps the message hidden while its invocation runs; the returned function ends that.
func (m *heldMessage) renew(log *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		hidden := m.listener.app.options.HiddenFor
		for pause(ctx, hidden/2) {
			err := m.update(ctx, hidden)
			if gone(err) {
				return
			}
			if err != nil && ctx.Err() == nil {
				log.Warn(fmt.Sprintf("cannot keep the message hidden: %s", failure(err)))
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

func (m *heldMessage) update(ctx context.Context, hidden time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	resp, err := m.listener.queue.client.UpdateMessage(ctx, m.id, m.receipt, m.text,
		&azqueue.UpdateMessageOptions{VisibilityTimeout: to.Ptr(wholeSeconds(hidden))})
	if err == nil && resp.PopReceipt != nil {
		m.receipt = *resp.PopReceipt
	}
	return err
}

// release makes the message visible again after d.
func (m *heldMessage) release(log *slog.Logger, d time.Duration) {
	ctx, cancel := settling()
	defer cancel()
	if err := m.update(ctx, d); err != nil && !gone(err) {
		log.Warn(fmt.Sprintf("cannot give the message back, it shows up again by itself: %s", failure(err)))
	}
}

// gone says that the message is somebody else's by now: its time ran out, or a handler renewed or deleted it.
func gone(err error) bool {
	return queueerror.HasCode(err, queueerror.MessageNotFound, queueerror.PopReceiptMismatch)
}

func (m *heldMessage) delete(log *slog.Logger) {
	ctx, cancel := settling()
	defer cancel()
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.listener.queue.client.DeleteMessage(ctx, m.id, m.receipt, nil); err != nil && !gone(err) {
		log.Warn(fmt.Sprintf("cannot delete the finished message, it will come again: %s", failure(err)))
	}
}

// toPoison copies the text to the poison queue and deletes the message, in this order: twice rather than lost.
func (m *heldMessage) toPoison(log *slog.Logger) {
	l := m.listener
	if l.poison == nil {
		log.Warn("the message failed for good and there is no poison queue for this queue; it stays hidden for now")
		return
	}
	log.Warn(fmt.Sprintf("Message has reached MaxDequeueCount of %d. Moving message to queue '%s'.", l.app.config.queues.maxDequeueCount, l.poison.name))
	ctx, cancel := settling()
	defer cancel()
	if err := l.poison.put(ctx, m.text); err != nil {
		log.Error(fmt.Sprintf("cannot move the message, it stays where it is: %v", err))
		return
	}
	l.app.wake(l.poison.name)
	m.delete(log)
}
