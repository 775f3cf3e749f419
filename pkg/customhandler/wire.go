package customhandler

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// payload is the body of an invocation request: {"Data":{binding: value}, "Metadata":{name: value}}. Names are taken in any case.
type payload struct{ data, metadata []byte }

func parsePayload(body []byte) (payload, error) {
	if !json.Valid(body) {
		return payload{}, errors.New("read invocation: the request's body is not JSON")
	}
	var p payload
	p.data, _ = member(body, "Data")
	p.metadata, _ = member(body, "Metadata")
	if kindOf(p.data) != '{' {
		return payload{}, errors.New(`read invocation: the request has no "Data" object`)
	}
	return p, nil
}

// input returns the value of the trigger's binding.
func (p payload) input(binding string) ([]byte, error) {
	if value, ok := member(p.data, binding); ok {
		return value, nil
	}
	if binding == "" { // no function.json to say: a trigger has exactly one value
		for _, value := range members(p.data) {
			return value, nil
		}
	}
	return nil, fmt.Errorf("read invocation: Data has no binding %q", binding)
}

// text reads a metadata value: a number, a string, or a string that holds a JSON string.
func (p payload) text(name string) (string, bool) {
	value, ok := member(p.metadata, name)
	if !ok {
		return "", false
	}
	return looseText(value), true
}

func looseText(value []byte) string {
	if kindOf(value) != '"' {
		return string(value)
	}
	if inner, ok := bytes.CutPrefix(value, []byte(`"\"`)); ok { // the host's usual form, without a detour over encoding/json
		if inner, ok := bytes.CutSuffix(inner, []byte(`\""`)); ok && bytes.IndexByte(inner, '\\') < 0 {
			return string(inner)
		}
	}
	text := unquote(value)
	if kindOf(text) == '"' && json.Valid(text) {
		text = unquote(bytes.TrimSpace(text))
	}
	return string(text)
}

// queueItem is one delivery as the host tells it.
type queueItem struct {
	queue        string
	body         []byte
	id           string // empty when unknown
	dequeueCount int    // 0 when unknown
	inserted     time.Time
	manual       bool
	lost         int // earlier deliveries whose handler died, as far as known
}

// parseQueue reads a queue function's payload. binary is the binding's dataType in function.json.
//
// The host encodes a binary binding as base64 and any other one as a JSON string inside a string. The second kind starts with
// a quote, which base64 never does, so the two cannot be confused; other hosts' plain text and plain JSON are taken too.
func parseQueue(p payload, b binding) (queueItem, error) {
	value, err := p.input(b.Name)
	if err != nil {
		return queueItem{}, err
	}
	item := queueItem{queue: b.queue}
	text := false
	item.body, text = queueBody(value, b.binary())
	overridden := func(name string) bool { return text && overrides(item.body, name) }
	if !overridden("Id") {
		item.id, _ = p.text("Id")
	}
	if n, ok := p.text("DequeueCount"); ok && !overridden("DequeueCount") {
		count, _ := strconv.Atoi(n)
		item.dequeueCount = max(0, count)
	}
	if t, ok := p.text("InsertionTime"); ok && !overridden("InsertionTime") {
		item.inserted = parseHostTime(t)
	}
	if item.dequeueCount == 0 {
		item.manual = neverQueued(p, overridden)
	}
	return item, nil
}

// neverQueued recognises a message run by hand: the host gives it neither id nor receipt, and it never expires.
func neverQueued(p payload, overridden func(string) bool) bool {
	for _, name := range []string{"Id", "PopReceipt"} {
		if _, ok := p.text(name); ok && !overridden(name) {
			return false
		}
	}
	expires, _ := p.text("ExpirationTime")
	return expires == "" || strings.HasPrefix(expires, "9999-")
}

// queueBody decodes a message's body. text says that it came through a string binding, into whose metadata the host merges
// the body's own properties.
func queueBody(value []byte, binary bool) (body []byte, text bool) {
	if kindOf(value) != '"' {
		return bytes.Clone(value), true
	}
	content := unquote(value)
	if kindOf(content) == '"' && json.Valid(content) {
		return bytes.Clone(unquote(bytes.TrimSpace(content))), true
	}
	if binary {
		decoded := make([]byte, base64.StdEncoding.DecodedLen(len(content)))
		if n, err := base64.StdEncoding.Decode(decoded, content); err == nil {
			return decoded[:n], false
		}
	}
	return bytes.Clone(content), true
}

// overrides tells whether a JSON body has a property that the host lets win over its own metadata of that name. Arrays and
// nulls are not merged.
func overrides(body []byte, name string) bool {
	if kindOf(body) != '{' || !json.Valid(body) {
		return false
	}
	for n, value := range members(body) {
		if strings.EqualFold(string(n), name) && kindOf(value) != '[' && kindOf(value) != 'n' {
			return true
		}
	}
	return false
}

// parseTimer reads a timer function's payload.
func parseTimer(p payload, b binding) (Timer, error) {
	value, err := p.input(b.Name)
	if err != nil {
		return Timer{}, err
	}
	if kindOf(value) == '"' {
		value = []byte(looseText(value))
		if !json.Valid(value) {
			value = nil
		}
	}
	if kindOf(value) != '{' {
		return Timer{}, fmt.Errorf("read invocation: binding %q is no timer object", b.Name)
	}
	t := Timer{Schedule: b.schedule, Now: time.Now()}
	t.IsPastDue = truth(value, "IsPastDue")
	if schedule, ok := member(value, "Schedule"); ok {
		t.AdjustForDST = truth(schedule, "AdjustForDST")
	}
	if status, ok := member(value, "ScheduleStatus"); ok && kindOf(status) == '{' {
		t.Status = &ScheduleStatus{Last: timeOf(status, "Last"), Next: timeOf(status, "Next"), LastUpdated: timeOf(status, "LastUpdated")}
	}
	// The host passes a manual run's input as metadata of the binding's name, and nothing of that name otherwise.
	t.Input, t.Manual = p.text(b.Name)
	return t, nil
}

func truth(object []byte, name string) bool {
	value, _ := member(object, name)
	return strings.EqualFold(looseText(value), "true")
}

func timeOf(object []byte, name string) time.Time {
	value, _ := member(object, name)
	return parseHostTime(looseText(value))
}

// parseHostTime reads the host's ISO times, with or without an offset (then UTC). What it cannot read is unknown: zero.
func parseHostTime(text string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, text); err == nil {
			if t.UTC().Year() <= 1 {
				return time.Time{} // .NET's "never", in whatever zone the host runs
			}
			return t
		}
	}
	return time.Time{}
}
