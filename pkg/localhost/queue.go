package localhost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2/queueerror"
)

// minPolling is the first wait after an empty poll.
const minPolling = 100 * time.Millisecond

const poisonSuffix = "-poison"

// queue is a storage queue with raw message texts.
type queue struct {
	name   string
	client *azqueue.QueueClient
}

// openQueue opens the queue of a binding; it does not call it.
func (a *app) openQueue(b binding) (*queue, error) {
	name, err := a.env.resolve(b.text("queueName"))
	if err != nil {
		return nil, err
	}
	connection := b.text("connection")
	if connection == "" {
		connection = defaultConnection
	}
	return a.queueNamed(connection, strings.ToLower(name))
}

func (a *app) queueNamed(connection, name string) (*queue, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	service := a.services[connection]
	if service == nil {
		var err error
		if service, err = a.env.queueService(connection, a.transport); err != nil {
			return nil, err
		}
		a.services[connection] = service
	}
	return &queue{name, service.NewQueueClient(name)}, nil
}

// put stores a message; the queue is created when it is missing. The time to live is the service's default, seven days.
func (q *queue) put(ctx context.Context, text string) error {
	_, err := q.client.EnqueueMessage(ctx, text, nil)
	if queueerror.HasCode(err, queueerror.QueueNotFound) {
		if _, err = q.client.Create(ctx, nil); err == nil || queueerror.HasCode(err, queueerror.QueueAlreadyExists) {
			_, err = q.client.EnqueueMessage(ctx, text, nil)
		}
	}
	if err != nil {
		return fmt.Errorf("put a message on queue %q: %s", q.name, failure(err))
	}
	return nil
}

// listener polls one queue for one function.
type listener struct {
	app      *app
	function *function
	queue    *queue
	poison   *queue // nil when the name leaves no room for one, or is a poison queue itself
	woken    chan struct{}

	problem string // what the last poll failed with

	mu      sync.Mutex
	running int
	done    chan struct{} // signalled when an invocation ends
}

func (a *app) newListener(f *function) (*listener, error) {
	q, err := a.queueNamed(f.queue.connection, f.queue.queue)
	if err != nil {
		return nil, err
	}
	l := &listener{app: a, function: f, queue: q, woken: make(chan struct{}, 1), done: make(chan struct{}, 1)}
	if poison := q.name + poisonSuffix; !strings.HasSuffix(q.name, poisonSuffix) && len(poison) <= 63 {
		if l.poison, err = a.queueNamed(f.queue.connection, poison); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// run polls until ctx ends: a full batch at once, the next when few enough are running, ever slower while nothing comes.
func (l *listener) run(ctx context.Context) {
	options := l.app.config.queues
	empty := 0
	for ctx.Err() == nil {
		messages, err := l.receive(ctx, options.batchSize)
		if ctx.Err() == nil {
			l.reportPoll(err)
		}
		if len(messages) == 0 {
			wait := minPolling
			if empty > 0 {
				wait = backoff(minPolling, l.app.maxPolling(), empty)
			}
			empty++
			l.idle(ctx, wait)
			continue
		}
		empty = 0
		for _, m := range messages {
			l.start(m)
		}
		l.awaitRoom(ctx, options.newBatchThreshold)
	}
}

// idle waits, or less when this process itself put a message on the queue.
func (l *listener) idle(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.woken:
	case <-ctx.Done():
	}
}

// reportPoll tells what needs a person, once. A missing queue is normal: it is made when something is put on it.
func (l *listener) reportPoll(err error) {
	var answer *azcore.ResponseError
	if errors.As(err, &answer) && (answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusConflict) {
		err = nil
	}
	problem := ""
	if err != nil {
		problem = failure(err)
	}
	switch {
	case problem == l.problem:
	case problem == "":
		l.app.log.Info(fmt.Sprintf("queue %q can be polled again", l.queue.name), "function", l.function.name)
	default:
		l.app.log.Error(fmt.Sprintf("cannot poll queue %q, trying on: %s", l.queue.name, problem), "function", l.function.name)
	}
	l.problem = problem
}

func (l *listener) receive(ctx context.Context, n int) ([]*azqueue.DequeuedMessage, error) {
	resp, err := l.queue.client.DequeueMessages(ctx, &azqueue.DequeueMessagesOptions{
		NumberOfMessages:  to.Ptr(int32(n)),
		VisibilityTimeout: to.Ptr(wholeSeconds(l.app.options.HiddenFor)),
	})
	if err != nil {
		return nil, err
	}
	return resp.Messages, nil
}

// wholeSeconds rounds up: the service counts in seconds.
func wholeSeconds(d time.Duration) int32 {
	return int32((d + time.Second - 1) / time.Second)
}

func (l *listener) start(m *azqueue.DequeuedMessage) {
	l.mu.Lock()
	l.running++
	l.mu.Unlock()
	l.app.busy.Go(func() {
		l.process(&heldMessage{listener: l, id: *m.MessageID, receipt: *m.PopReceipt, text: *m.MessageText, received: m})
		l.mu.Lock()
		l.running--
		l.mu.Unlock()
		select {
		case l.done <- struct{}{}:
		default:
		}
	})
}

func (l *listener) awaitRoom(ctx context.Context, threshold int) {
	for {
		l.mu.Lock()
		running := l.running
		l.mu.Unlock()
		if running <= threshold {
			return
		}
		select {
		case <-l.done:
		case <-ctx.Done():
			return
		}
	}
}

// process takes one message to its end: deleted, poisoned, or visible again later.
func (l *listener) process(m *heldMessage) {
	a, f := l.app, l.function
	log := a.log.With("function", f.name, "message", m.id)
	count, max := *m.received.DequeueCount, int64(a.config.queues.maxDequeueCount)
	body := []byte(m.text)
	if !a.config.queues.raw {
		var ok bool
		if body, ok = decodeBase64(m.text); !ok {
			log.Warn("Message decoding has failed! Check MessageEncoding settings. The message is no base64.")
			m.toPoison(log)
			return
		}
	}
	if count > max {
		m.toPoison(log)
		return
	}
	stopRenewal := m.renew(log)
	_, err := a.invoke(invocation{
		function: f,
		reason:   fmt.Sprintf("New queue message detected on '%s'. MessageId: %s, DequeueCount: %d", l.queue.name, m.id, count),
		build: func() (payload, error) {
			return queuePayload(f, queueMessage{
				id: m.id, popReceipt: *m.received.PopReceipt, dequeueCount: count, body: body,
				inserted: *m.received.InsertionTime, expires: *m.received.ExpirationTime, nextVisible: *m.received.TimeNextVisible,
			}, false, a.local, time.Now())
		},
	})
	stopRenewal()
	switch {
	case err == nil:
		m.delete(log)
	case errors.Is(err, errStopping):
		m.release(log, 0)
	case l.poison != nil && count >= max:
		m.toPoison(log)
	case l.poison != nil:
		m.release(log, a.config.queues.visibility)
	}
	// Without a poison queue a failed message stays hidden, as in the host, or it would come back at once for ever.
}
