package localhost

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/localhost/internal/netjson"
)

// outputMessages turns the value of a queue output into message bodies, with the host's conversions: a string that happens
// to be base64 is decoded unless the binding is binary, an array is one message an element, objects are indented JSON.
func outputMessages(b binding, v netjson.Value, local *time.Location) ([][]byte, error) {
	text := func(v netjson.Value) []byte { return []byte(netjson.Text(v, local)) }
	switch v.Kind {
	case netjson.Null:
		return nil, nil
	case netjson.Array:
		var bodies [][]byte
		for _, item := range v.Items {
			if item.Kind != netjson.Null {
				bodies = append(bodies, text(item))
			}
		}
		return bodies, nil
	case netjson.String:
		return stringMessages(b, v, local)
	}
	return [][]byte{text(v)}, nil
}

func stringMessages(b binding, v netjson.Value, local *time.Location) ([][]byte, error) {
	if b.dataType != "binary" {
		if body, ok := decodeBase64(v.Text); ok {
			return [][]byte{body}, nil
		}
	}
	trimmed := strings.TrimSpace(v.Text)
	isArray := strings.HasPrefix(trimmed, "[") && strings.HasSuffix(trimmed, "]")
	isObject := strings.HasPrefix(trimmed, "{") && strings.HasSuffix(trimmed, "}")
	if !isArray && !isObject {
		return [][]byte{[]byte(netjson.Text(v, local))}, nil
	}
	doc, err := netjson.Parse(trimmed)
	if err != nil {
		return nil, fmt.Errorf("output %q looks like JSON and is not: %w", b.name, err)
	}
	return outputMessages(b, doc, local)
}

// messageText is the stored form of a body.
func (q queueOptions) messageText(body []byte) (string, error) {
	if !q.raw {
		return base64.StdEncoding.EncodeToString(body), nil
	}
	text := toUTF8(body)
	for _, r := range text {
		if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff {
			return "", errors.New("the message has characters that a queue cannot hold; use messageEncoding base64")
		}
	}
	return text, nil
}

// storeOutputs puts the messages of every queue output on its queue.
func (a *app) storeOutputs(ctx context.Context, f *function, r reply) error {
	for _, b := range f.bindings {
		if !b.is("queue", "out") {
			continue
		}
		v, ok := r.output(b.name)
		if !ok && r.result.Kind == netjson.Object && !f.returns() {
			// Without a $return binding an object's properties act as outputs.
			for _, m := range r.result.Members {
				if m.Name == b.name {
					v, ok = m.Value, true
				}
			}
		}
		if !ok {
			continue
		}
		bodies, err := outputMessages(b, v, a.local)
		if err != nil {
			return err
		}
		if err := a.enqueue(ctx, b, bodies); err != nil {
			return fmt.Errorf("output %q: %w", b.name, err)
		}
	}
	return nil
}

// returns says whether an output binding is named $return.
func (f *function) returns() bool {
	for _, b := range f.bindings {
		if b.name == "$return" {
			return true
		}
	}
	return false
}

func (a *app) enqueue(ctx context.Context, b binding, bodies [][]byte) error {
	q, err := a.openQueue(b)
	if err != nil {
		return err
	}
	for _, body := range bodies {
		text, err := a.config.queues.messageText(body)
		if err != nil {
			return err
		}
		if err := q.put(ctx, text); err != nil {
			return err
		}
	}
	if len(bodies) > 0 {
		a.wake(q.name)
	}
	return nil
}
