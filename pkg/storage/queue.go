package storage

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2"
)

// Queue is a storage queue. A queue that does not exist is an empty one; Enqueue creates it.
type Queue struct {
	account *Account
	name    string
	client  *azqueue.QueueClient
}

// MaxBody is the biggest body of a message, in bytes: base64 makes 64 KiB of it, the service's limit.
const MaxBody = 48 << 10

// maxDelay is how long the service keeps a message invisible at most.
const maxDelay = 7 * 24 * time.Hour

// maxBatch is how many messages the service hands out at once.
const maxBatch = 32

// Message is a message of a queue.
type Message struct {
	ID           string
	PopReceipt   string // what Delete and Hide need; empty after Peek
	Body         []byte // nil when the message is not base64, and so was not written by us or by the Functions host
	Wire         string // the message as it stands in the queue
	DequeueCount int
	Inserted     time.Time
	Expires      time.Time
}

// Name is the queue's name.
func (q *Queue) Name() string { return q.name }

// String names the queue and its account, for messages.
func (q *Queue) String() string { return fmt.Sprintf("queue %q of account %q", q.name, q.account.name) }

// Create makes the queue; that it exists already is no error.
func (q *Queue) Create(ctx context.Context) error {
	if err := checkName("queue", q.name); err != nil {
		return err
	}
	_, err := q.client.Create(ctx, nil)
	err = q.wrap(ctx, err, "create")
	if errors.Is(err, ErrConflict) {
		return nil // it exists with metadata that somebody gave it
	}
	return err
}

// Enqueue adds a message of at most MaxBody bytes that becomes visible after delay (at most seven days) and never expires,
// and returns its id. The body is base64 on the wire, as a queue binding of data type binary expects. When the answer is
// lost the message may come twice.
func (q *Queue) Enqueue(ctx context.Context, body []byte, delay time.Duration) (string, error) {
	if len(body) > MaxBody {
		return "", fmt.Errorf("enqueue to %s: the message is %d bytes, the limit is %d", q, len(body), MaxBody)
	}
	if delay < 0 || delay > maxDelay {
		return "", fmt.Errorf("enqueue to %s: a delay of %s, from 0 to %s is allowed", q, delay, maxDelay)
	}
	// Rounded up: a message must not come back before its time.
	forever, hidden := int32(-1), int32((delay+time.Second-1)/time.Second)
	text := base64.StdEncoding.EncodeToString(body)
	send := func() (azqueue.EnqueueMessagesResponse, error) {
		r, err := q.client.EnqueueMessage(ctx, text, &azqueue.EnqueueMessageOptions{TimeToLive: &forever, VisibilityTimeout: &hidden})
		return r, q.wrap(ctx, err, "enqueue to")
	}
	r, err := send()
	if errors.Is(err, ErrNotFound) {
		if err := q.Create(ctx); err != nil {
			return "", err
		}
		r, err = send()
	}
	if err != nil {
		return "", err
	}
	if len(r.Messages) != 1 {
		return "", &Error{Op: "enqueue to", Resource: q.String(), Kind: ErrUnavailable, Detail: "the service's answer names no message"}
	}
	return value(r.Messages[0].MessageID), nil
}

// Peek shows up to n visible messages, at most 32, and changes nothing.
func (q *Queue) Peek(ctx context.Context, n int) ([]Message, error) {
	wanted := int32(min(n, maxBatch))
	r, err := q.client.PeekMessages(ctx, &azqueue.PeekMessagesOptions{NumberOfMessages: &wanted})
	err = q.wrap(ctx, err, "peek into")
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	var messages []Message
	for _, m := range r.Messages {
		messages = append(messages, message(m.MessageID, nil, m.MessageText, m.DequeueCount, m.InsertionTime, m.ExpirationTime))
	}
	return messages, err
}

// Receive takes up to n messages, at most 32, and hides them from others for the time given; what is not deleted by then
// comes back.
func (q *Queue) Receive(ctx context.Context, n int, visibility time.Duration) ([]Message, error) {
	wanted, hidden := int32(min(n, maxBatch)), int32(visibility/time.Second)
	r, err := q.client.DequeueMessages(ctx, &azqueue.DequeueMessagesOptions{NumberOfMessages: &wanted, VisibilityTimeout: &hidden})
	err = q.wrap(ctx, err, "receive from")
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	var messages []Message
	for _, m := range r.Messages {
		messages = append(messages, message(m.MessageID, m.PopReceipt, m.MessageText, m.DequeueCount, m.InsertionTime, m.ExpirationTime))
	}
	return messages, err
}

func message(id, receipt, text *string, count *int64, inserted, expires *time.Time) Message {
	m := Message{ID: value(id), PopReceipt: value(receipt), Wire: value(text), DequeueCount: int(value(count)),
		Inserted: value(inserted), Expires: value(expires)}
	if body, err := base64.StdEncoding.DecodeString(m.Wire); err == nil {
		m.Body = body
	}
	return m
}

// Hide keeps a received message invisible for d from now on; 0 gives it back at once. It returns the message with the receipt
// that is valid from now on. ErrConflict when somebody else received the message meanwhile.
func (q *Queue) Hide(ctx context.Context, m Message, d time.Duration) (Message, error) {
	hidden := int32(d / time.Second)
	r, err := q.client.UpdateMessage(ctx, m.ID, m.PopReceipt, m.Wire, &azqueue.UpdateMessageOptions{VisibilityTimeout: &hidden})
	if err != nil {
		return m, q.wrap(ctx, err, "hide a message of")
	}
	m.PopReceipt = value(r.PopReceipt)
	return m, nil
}

// Delete removes a received message; that it is gone already is no error. ErrConflict when somebody else received it
// meanwhile and the service says so: it may also call such a message gone.
func (q *Queue) Delete(ctx context.Context, m Message) error {
	_, err := q.client.DeleteMessage(ctx, m.ID, m.PopReceipt, nil)
	err = q.wrap(ctx, err, "delete a message of")
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Len is the number of messages, hidden ones included; the service calls it approximate.
func (q *Queue) Len(ctx context.Context) (int, error) {
	r, err := q.client.GetProperties(ctx, nil)
	err = q.wrap(ctx, err, "measure")
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	return int(value(r.ApproximateMessagesCount)), err
}

func (q *Queue) wrap(ctx context.Context, err error, op string) error {
	return q.account.wrap(ctx, err, op, fmt.Sprintf("queue %q", q.name))
}
