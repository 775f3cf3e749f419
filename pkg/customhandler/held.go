package customhandler

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/storage"
)

const poisonSuffix = "-poison"

// heldRecord is a message, or a timer's run, that waits for an operator. Its blob is held/<function>/<id>.json.
type heldRecord struct {
	ID       string // of the message's content: holding it twice is holding it once
	Function string
	Queue    string // empty for a timer
	Reason   string
	Since    time.Time
	Body     []byte // of the message, as it was delivered
}

func (r heldRecord) name() string { return "held/" + r.Function + "/" + r.ID + ".json" }

// poisonReason says why a message is in the poison queue. Its blob is poison/<function>/<id>.json.
type poisonReason struct {
	ID       string
	Function string
	Queue    string
	Reason   string
	Since    time.Time
	Failures int
	Lost     int
}

func (r poisonReason) name() string { return "poison/" + r.Function + "/" + r.ID + ".json" }

// hold stores the record. It is always written, even when it is there already, so that a release that is under way does not
// remove a hold that came after it.
func (h *Handler) hold(ctx context.Context, r heldRecord) error {
	r.Since = time.Now().UTC().Truncate(time.Second)
	r.Reason = h.scrub.text(r.Reason)
	err := h.writeRecord(ctx, r.name(), r, storage.Cond{New: true})
	if !errors.Is(err, storage.ErrConflict) {
		return err
	}
	var before heldRecord
	if _, err := h.readRecord(ctx, r.name(), &before); err == nil && !before.Since.IsZero() {
		r.Since = before.Since
	}
	return h.writeRecord(ctx, r.name(), r, storage.Cond{})
}

// poison moves a message to its poison queue: the reason first, then the message, and only then may the host forget it.
func (h *Handler) poison(ctx context.Context, a *attempt, reason error) error {
	if err := h.writeReason(ctx, a, reason); err != nil {
		return err
	}
	err := h.enqueue(ctx, a.item.queue+poisonSuffix, a.item.body, 0)
	if err == nil {
		h.forgetFailures(ctx, a)
	}
	return err
}

func (h *Handler) writeReason(ctx context.Context, a *attempt, reason error) error {
	r := poisonReason{ID: a.key(), Function: a.function.name, Queue: a.item.queue, Reason: h.scrub.text(reason.Error()),
		Since: time.Now().UTC().Truncate(time.Second), Failures: a.history().Failures, Lost: a.history().Lost}
	return h.writeRecord(ctx, r.name(), r, storage.Cond{})
}

// findHeld reads the held record with the id, of whatever function.
func (h *Handler) findHeld(ctx context.Context, id string) (heldRecord, string, error) {
	for properties, err := range h.app.State.List(ctx, "held/") {
		if err != nil {
			return heldRecord{}, "", err
		}
		if recordID(properties.Name) != id {
			continue
		}
		var r heldRecord
		etag, err := h.readRecord(ctx, properties.Name, &r)
		if err == nil && etag == "" {
			continue // gone meanwhile
		}
		return r, etag, err
	}
	return heldRecord{}, "", errUnknownID
}

// recordID is the id in the name of a record's blob.
func recordID(name string) string { return strings.TrimSuffix(path.Base(name), ".json") }

const (
	idLength = 2 * sha256.Size
	minID    = 6 // characters of an id that an operator must give
)

// fullID completes the beginning of an id, if what is held and poisoned has only one that begins so.
func (h *Handler) fullID(ctx context.Context, begin string) (string, error) {
	if begin = strings.ToLower(begin); len(begin) >= idLength {
		return begin, nil
	}
	if len(begin) < minID {
		return "", badRequest("id %q is too short: give at least the first %d characters", begin, minID)
	}
	known, err := h.knownIDs(ctx)
	if err != nil {
		return "", err
	}
	known = slices.DeleteFunc(known, func(id string) bool { return !strings.HasPrefix(id, begin) })
	slices.Sort(known)
	switch known = slices.Compact(known); len(known) {
	case 0:
		return "", errUnknownID
	case 1:
		return known[0], nil
	}
	return "", badRequest("%d ids begin with %q: give more characters", len(known), begin)
}

// knownIDs are the ids of all that is held, and of what is poisoned: by the reasons on record, and, for messages that the
// host moved by itself, by what the list shows.
func (h *Handler) knownIDs(ctx context.Context) ([]string, error) {
	var ids []string
	for _, prefix := range []string{"held/", "poison/"} {
		for properties, err := range h.app.State.List(ctx, prefix) {
			if err != nil {
				return nil, err
			}
			ids = append(ids, recordID(properties.Name))
		}
	}
	for _, file := range h.queueFiles() {
		messages, err := h.peekPoisoned(ctx, file)
		if err != nil {
			return nil, err
		}
		for _, p := range messages {
			ids = append(ids, p.id)
		}
	}
	return ids, nil
}

var errUnknownID = errors.New("nothing has this id: ask for the list, it may have been dealt with already")

// release lets a held message through: back to its queue first, out of the held ones last. Done twice it delivers twice,
// which handlers bear.
func (h *Handler) release(ctx context.Context, r heldRecord, etag string) error {
	bare, _ := splitDelivery(r.Body)
	book := bookkeeping{Released: &Release{At: time.Now().UTC().Truncate(time.Second), Reason: clip(r.Reason, maxReason)}}
	queue := r.Queue
	if file, ok := h.root.functions[strings.ToLower(r.Function)]; ok {
		queue = file.trigger.queue // it may have been renamed since
	}
	if err := h.enqueue(ctx, queue, joinDelivery(bare, book), 0); err != nil {
		return err
	}
	return h.dropHeld(ctx, r, etag)
}

// dropHeld removes the record that was read; one that was written since is a new hold and stays.
func (h *Handler) dropHeld(ctx context.Context, r heldRecord, etag string) error {
	err := h.app.State.Delete(ctx, r.name(), storage.Cond{ETag: etag})
	if errors.Is(err, storage.ErrConflict) {
		return nil
	}
	return err
}

// poisoned is one message of a poison queue.
type poisoned struct {
	function string
	queue    *storage.Queue
	id       string
	message  storage.Message
	body     []byte
}

func newPoisoned(file functionFile, q *storage.Queue, m storage.Message) poisoned {
	body := m.Body
	if body == nil {
		body = []byte(m.Wire) // never was base64; the host put it here unseen
	}
	return poisoned{function: file.name, queue: q, id: messageKey(body), message: m, body: body}
}

// peekPoisoned looks at the first messages of a function's poison queue.
func (h *Handler) peekPoisoned(ctx context.Context, file functionFile) ([]poisoned, error) {
	q := h.app.Storage.Queue(file.trigger.queue + poisonSuffix)
	messages, err := q.Peek(ctx, 32)
	if err != nil {
		return nil, fmt.Errorf("list what is poisoned: %w", err)
	}
	all := make([]poisoned, len(messages))
	for i, m := range messages {
		all[i] = newPoisoned(file, q, m)
	}
	return all, nil
}

// queueFiles are the app's queue functions, in order of name.
func (h *Handler) queueFiles() []functionFile {
	var files []functionFile
	for _, f := range h.root.functions {
		if f.trigger.kind() == queueTrigger && f.trigger.queue != "" {
			files = append(files, f)
		}
	}
	slices.SortFunc(files, func(a, b functionFile) int { return strings.Compare(a.name, b.name) })
	return files
}

// maxSearch bounds how many messages of a poison queue are looked through.
const maxSearch = 10_000

// search goes through the poison queues: it acts on the messages that match and puts all others back.
type search struct {
	match func(poisoned) bool
	act   func(context.Context, functionFile, poisoned) error
	one   bool // end with the first match
	acted int
}

func (h *Handler) searchPoisoned(ctx context.Context, s *search) error {
	for _, file := range h.queueFiles() {
		if err := s.in(ctx, file, h.app.Storage.Queue(file.trigger.queue+poisonSuffix)); err != nil {
			return err
		}
		if s.one && s.acted > 0 {
			break
		}
	}
	return nil
}

func (s *search) in(ctx context.Context, file functionFile, q *storage.Queue) error {
	var others []storage.Message
	defer func() { putBack(context.WithoutCancel(ctx), q, others) }()
	limit := maxSearch
	if !s.one { // what is poisoned again meanwhile must not be taken for ever
		var err error
		if limit, err = q.Len(ctx); err != nil {
			return err
		}
	}
	for seen := 0; seen < min(limit, maxSearch); {
		batch, err := q.Receive(ctx, 32, time.Minute)
		if err != nil || len(batch) == 0 {
			return err
		}
		seen += len(batch)
		for i, m := range batch {
			p := newPoisoned(file, q, m)
			if !s.match(p) {
				others = append(others, m)
				continue
			}
			if err := s.act(ctx, file, p); err != nil {
				others = append(others, batch[i:]...)
				return err
			}
			if s.acted++; s.one {
				others = append(others, batch[i+1:]...)
				return nil
			}
		}
	}
	return nil
}

// putBack makes received messages visible again. One that cannot be comes back by itself after a minute.
func putBack(ctx context.Context, q *storage.Queue, messages []storage.Message) {
	for _, m := range messages {
		if _, err := q.Hide(ctx, m, 0); err != nil && !errors.Is(err, storage.ErrNotFound) {
			Log(ctx).Warn("poison message stays hidden for a minute", "error", err)
		}
	}
}

// requeuePoisoned gives a message fresh tries: on its queue first, out of the poison queue and its reason last.
func (h *Handler) requeuePoisoned(ctx context.Context, file functionFile, p poisoned) error {
	bare, book := splitDelivery(p.body)
	body := joinDelivery(bare, bookkeeping{Requeued: book.Requeued + 1, Released: book.Released})
	if err := h.enqueue(ctx, file.trigger.queue, body, 0); err != nil {
		return err
	}
	return h.removePoisoned(ctx, p)
}

func (h *Handler) removePoisoned(ctx context.Context, p poisoned) error {
	if err := p.queue.Delete(ctx, p.message); err != nil {
		return err
	}
	reason := poisonReason{Function: p.function, ID: p.id}
	if err := h.app.State.Delete(ctx, reason.name(), storage.Cond{}); err != nil {
		return fmt.Errorf("the message was moved, its reason was not removed: %w", err)
	}
	return nil
}
