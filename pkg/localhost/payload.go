package localhost

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/encoding/unicode"

	"github.com/nightshift-hq/nightshift/pkg/localhost/internal/netjson"
)

// payload is the body of an invocation: {"Data":{<binding>: …},"Metadata":{…}}.
type payload struct {
	binding  string
	data     netjson.Value
	metadata metadata
}

// metadata keeps the order of first mention; names ignore case.
type metadata []netjson.Member

func (m *metadata) set(name string, v netjson.Value) {
	if v.Kind == netjson.Null || hasSuffixFold(name, "trigger") {
		return
	}
	for i := range *m {
		if strings.EqualFold((*m)[i].Name, name) {
			(*m)[i].Value = v
			return
		}
	}
	*m = append(*m, netjson.Member{Name: name, Value: v})
}

func (m metadata) has(name string) bool {
	for _, member := range m {
		if strings.EqualFold(member.Name, name) {
			return true
		}
	}
	return false
}

// setSystem adds the host's own entry. A payload's entry of that name, if first, keeps its place.
func (m *metadata) setSystem(function string, now time.Time) {
	name := "sys"
	if m.has(name) {
		name = "$sys"
	}
	m.set(name, netjson.Obj(
		netjson.Member{Name: "MethodName", Value: netjson.Str(function)},
		netjson.Member{Name: "UtcNow", Value: netjson.Str(now.UTC().Format("2006-01-02T15:04:05.9999999Z"))},
		netjson.Member{Name: "RandGuid", Value: netjson.Str(uuid.NewString())},
	))
}

// merge adds the top-level properties of a JSON object, as text; arrays and nulls are dropped, objects kept.
func (m *metadata) merge(doc netjson.Value, local *time.Location) {
	for _, p := range doc.Members {
		switch p.Value.Kind {
		case netjson.Null, netjson.Array:
		case netjson.Object:
			m.set(p.Name, netjson.Value{Kind: netjson.Raw, Text: netjson.Compact(p.Value, local)})
		default:
			m.set(p.Name, doubled(netjson.Text(p.Value, local)))
		}
	}
}

// doubled is a string that holds a JSON string: how the host encodes every text.
func doubled(text string) netjson.Value { return netjson.Str(netjson.Quote(text)) }

// encode finishes the body. retry is null when the function has no retry policy.
func (p payload) encode(retry netjson.Value) []byte {
	m := p.metadata
	if retry.Kind != netjson.Null {
		m = append(m[:len(m):len(m)], netjson.Member{Name: "RetryContext", Value: retry})
	}
	return []byte(netjson.Compact(netjson.Obj(
		netjson.Member{Name: "Data", Value: netjson.Obj(netjson.Member{Name: p.binding, Value: p.data})},
		netjson.Member{Name: "Metadata", Value: netjson.Obj(m...)},
	), nil))
}

// timerPayload is what a timer function gets. status is the JSON of the schedule's status or "null".
func timerPayload(f *function, status string, pastDue bool, input *string, now time.Time) payload {
	b := f.trigger()
	p := payload{binding: b.name, data: netjson.Obj(
		netjson.Member{Name: "Schedule", Value: netjson.Obj(netjson.Member{Name: "AdjustForDST", Value: netjson.Value{Kind: netjson.Bool, Bool: f.timer.adjustsForDST()}})},
		netjson.Member{Name: "ScheduleStatus", Value: netjson.Value{Kind: netjson.Raw, Text: status}},
		netjson.Member{Name: "IsPastDue", Value: netjson.Value{Kind: netjson.Bool, Bool: pastDue}},
	)}
	if input != nil {
		p.metadata.set(b.name, doubled(*input))
	}
	p.metadata.setSystem(f.name, now)
	return p
}

// queueMessage is a message as the handler learns of it.
type queueMessage struct {
	id, popReceipt                 string // empty on a manual run
	dequeueCount                   int64
	inserted, expires, nextVisible time.Time
	body                           []byte
}

var errNotUTF8 = errors.New("the message is not UTF-8, so it does not fit a string binding; set \"dataType\": \"binary\" in function.json")

// queuePayload is what a queue function gets: base64 for a binary binding; else the text, and if that is a JSON object its
// properties override the metadata.
func queuePayload(f *function, m queueMessage, manual bool, local *time.Location, now time.Time) (payload, error) {
	b := f.trigger()
	p := payload{binding: b.name}
	p.metadata.set("DequeueCount", netjson.Str(integer(int(m.dequeueCount)).Text))
	p.metadata.set("ExpirationTime", netjson.Str(seconds(m.expires)))
	if !manual {
		p.metadata.set("Id", doubled(m.id))
	}
	p.metadata.set("InsertionTime", netjson.Str(seconds(m.inserted)))
	p.metadata.set("NextVisibleTime", netjson.Str(seconds(m.nextVisible)))
	if manual {
		p.metadata.set(b.name, doubled(string(m.body)))
	} else {
		p.metadata.set("PopReceipt", doubled(m.popReceipt))
	}
	p.metadata.setSystem(f.name, now)
	if b.dataType == "binary" {
		p.data = netjson.Str(base64.StdEncoding.EncodeToString(m.body))
		return p, nil
	}
	if !utf8.Valid(m.body) {
		return payload{}, errNotUTF8
	}
	text := string(m.body)
	p.data = doubled(text)
	if doc, ok := jsonObject(text); ok {
		p.metadata.merge(doc, local)
	}
	return p, nil
}

func seconds(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05-07:00") }

// jsonObject reads text that looks like and is a JSON object.
func jsonObject(text string) (netjson.Value, bool) {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "{") || !strings.HasSuffix(text, "}") {
		return netjson.Value{}, false
	}
	doc, err := netjson.Parse(text)
	return doc, err == nil
}

// decodeBase64 reads base64 as .NET does: white space does not count, padding must be there.
func decodeBase64(text string) ([]byte, bool) {
	body, err := base64.StdEncoding.DecodeString(strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "").Replace(text))
	return body, err == nil
}

// decodeText is .NET's reading of a stream as UTF-8: a byte order mark goes, and see toUTF8.
func decodeText(b []byte) string {
	return toUTF8(bytes.TrimPrefix(b, []byte("\ufeff")))
}

// toUTF8 puts U+FFFD for what is no UTF-8, one for each longest broken sequence, as .NET does.
func toUTF8(b []byte) string {
	text, err := unicode.UTF8.NewDecoder().Bytes(b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\ufffd")
	}
	return string(text)
}
