package storage_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/v2"

	"github.com/nightshift-hq/nightshift/pkg/storage"
)

func TestQueueThatDoesNotExistIsEmpty(t *testing.T) {
	t.Parallel()
	q, ctx := openAt(t, emulator.Server(t).ConnectionString()).Queue(freshName()), t.Context()
	n, lenErr := q.Len(ctx)
	peeked, peekErr := q.Peek(ctx, 1)
	received, receiveErr := q.Receive(ctx, 1, time.Minute)
	if err := errors.Join(lenErr, peekErr, receiveErr); err != nil || n+len(peeked)+len(received) != 0 {
		t.Errorf("%d %v %v %v", n, peeked, received, err)
	}
}

func TestMessagesGoThroughUnchanged(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for name, body := range map[string][]byte{
		"empty": {}, "text": []byte(`{"a":"ü"}`), "looks like base64": []byte("test"), "any bytes": {0, 1, 0xff, '<', '&'},
		"the biggest": bytes.Repeat([]byte{0xff}, storage.MaxBody),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := openAt(t, emulator.Server(t).ConnectionString()).Queue(freshName())
			id, err := q.Enqueue(ctx, body, 0)
			if err != nil {
				t.Fatal(err)
			}
			peeked, err := q.Peek(ctx, 100)
			if err != nil || len(peeked) != 1 || !bytes.Equal(peeked[0].Body, body) || peeked[0].ID != id {
				t.Fatalf("peeked %d messages, error %v", len(peeked), err)
			}
			received, err := q.Receive(ctx, 100, time.Minute)
			if err != nil || len(received) != 1 || !bytes.Equal(received[0].Body, body) {
				t.Fatalf("received %d messages, error %v", len(received), err)
			}
			m := received[0]
			if m.ID != id || m.DequeueCount != 1 || m.Expires.Year() != 9999 || m.Inserted.IsZero() {
				t.Errorf("got %+v", m)
			}
			if again, err := q.Receive(ctx, 1, time.Minute); len(again) != 0 || err != nil {
				t.Errorf("a hidden message came again: %v %v", again, err)
			}
			if err := q.Delete(ctx, m); err != nil {
				t.Error(err)
			}
			if err := q.Delete(ctx, m); err != nil {
				t.Errorf("delete again: %v", err)
			}
		})
	}
}

func TestHiddenMessages(t *testing.T) {
	t.Parallel()
	q, ctx := openAt(t, emulator.Server(t).ConnectionString()).Queue(freshName()), t.Context()
	if _, err := q.Enqueue(ctx, []byte("later"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if n, err := q.Len(ctx); n != 1 || err != nil {
		t.Errorf("length %d %v, want 1: hidden messages count", n, err)
	}
	if got, err := q.Receive(ctx, 1, time.Minute); len(got) != 0 || err != nil {
		t.Errorf("the delayed message is there: %v %v", got, err)
	}
	if _, err := q.Enqueue(ctx, []byte("now"), 0); err != nil {
		t.Fatal(err)
	}
	got, err := q.Receive(ctx, 1, time.Hour)
	if err != nil || len(got) != 1 {
		t.Fatalf("%v %v", got, err)
	}
	back, err := q.Hide(ctx, got[0], 0)
	if err != nil {
		t.Fatal(err)
	}
	again, err := q.Receive(ctx, 1, time.Hour)
	if err != nil || len(again) != 1 || string(again[0].Body) != "now" || again[0].DequeueCount != 2 {
		t.Fatalf("after it was given back: %+v %v", again, err)
	}
	if err := q.Delete(ctx, back); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("deleting what somebody else received: %v", err)
	}
}

func TestForeignMessageIsShownAsItIs(t *testing.T) {
	t.Parallel()
	q, ctx := openAt(t, emulator.Server(t).ConnectionString()).Queue(freshName()), t.Context()
	if err := q.Create(ctx); err != nil {
		t.Fatal(err)
	}
	other, err := azqueue.NewQueueClientFromConnectionString(emulator.Server(t).ConnectionString(), q.Name(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.EnqueueMessage(ctx, "not base64!", nil); err != nil {
		t.Fatal(err)
	}
	if got, err := q.Peek(ctx, 1); err != nil || len(got) != 1 || got[0].Body != nil || got[0].Wire != "not base64!" {
		t.Errorf("%+v %v", got, err)
	}
}
