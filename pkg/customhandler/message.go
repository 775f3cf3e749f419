package customhandler

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// MaxMessage is the size of the largest message body in bytes. A queue takes 48 KiB before base64; 1 KiB of it is kept for the
// "delivery" property that is added when a message is put off, renewed or released.
const MaxMessage = 47 << 10

// Names that every message reserves.
const (
	versionField  = "version"
	deliveryField = "delivery"
)

// Versioned is implemented, on the value, by the type that travels on a queue. Raise the version with every change that the
// previous release of the app could not read.
type Versioned interface{ MessageVersion() int }

// Message is one delivery of a queue message.
type Message[T any] struct {
	Data         T
	ID           string    // the queue's id; empty when unknown or run by hand. It changes when a message is put off or renewed.
	DequeueCount int       // deliveries of this id, this one included; 0 when unknown or run by hand
	Inserted     time.Time // zero when unknown
	Released     *Release  // not nil after an operator released the message from a hold
	Again        bool      // it was delivered before: an earlier delivery may have done some of the work
	Lost         int       // earlier deliveries whose handler died, as far as known
	Manual       bool      // run by hand, through invoke or the host's admin API: there is no message on the queue
}

// Release is an operator's decision to let a held message or timer run through.
type Release struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"` // what it was held for, cut to 120 bytes
}

// maxReason is what of a hold's reason travels with a released message, in bytes; JSON may make six of one.
const maxReason = 120

// bookkeeping travels in the message's "delivery" property, so that a message that is put off or renewed keeps its history.
type bookkeeping struct {
	Failures int      `json:"failures,omitempty"` // tries that ended in an error
	Lost     int      `json:"lost,omitempty"`     // deliveries whose handler died
	PutOff   int      `json:"putOff,omitempty"`   // deliveries that ended in RetryAfter
	Requeued int      `json:"requeued,omitempty"` // times that an operator took it out of the poison queue
	Released *Release `json:"released,omitempty"`
}

func (b bookkeeping) empty() bool { return b == bookkeeping{} }

// Encode returns the body of a queue message: v's JSON fields and "version". It fails when v is no JSON object, uses a
// reserved name ("version", "delivery") or does not fit in a message (MaxMessage).
func Encode[T Versioned](v T) ([]byte, error) {
	fields, err := marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode message %T: %w", v, err)
	}
	if kindOf(fields) != '{' {
		return nil, fmt.Errorf("encode message %T: it is not a JSON object", v)
	}
	for name := range members(fields) {
		if bytes.EqualFold(name, []byte(versionField)) || bytes.EqualFold(name, []byte(deliveryField)) {
			return nil, fmt.Errorf("encode message %T: the field name %q is reserved", v, name)
		}
	}
	body := appendFirst(fields, versionField, strconv.AppendInt(nil, int64(v.MessageVersion()), 10))
	if len(body) > MaxMessage {
		return nil, fmt.Errorf("encode message %T: %d bytes are more than the %d that fit: put less into one message", v, len(body), MaxMessage)
	}
	return body, nil
}

// marshal encodes without the escapes for HTML: they lengthen messages, and hide a "&sig=" from the scrubber.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// appendFirst returns the object with one more member in front.
func appendFirst(object []byte, name string, value []byte) []byte {
	out := make([]byte, 0, len(object)+len(name)+len(value)+8)
	out = append(out, '{', '"')
	out = append(out, name...)
	out = append(out, '"', ':')
	out = append(out, value...)
	if rest := object[1:]; kindOf(rest) != '}' {
		out = append(out, ',')
	}
	return append(out, object[1:]...)
}

// decodeMessage reads T out of a body, strictly. Its errors say what is wrong with the message.
func decodeMessage[T Versioned](body []byte, s *shape) (T, bookkeeping, error) {
	var value T
	var book bookkeeping
	err := json.Unmarshal(body, &value) // first, because it also tells whether the rest can be walked
	if err := mustBeObject(body, err); err != nil {
		return value, book, err
	}
	want := value.MessageVersion()
	version, ok := exactMember(body, versionField)
	if !ok {
		return value, book, fmt.Errorf("field %q is missing, want %d", versionField, want)
	}
	if string(version) != strconv.Itoa(want) {
		return value, book, fmt.Errorf("field %q is %s, this release of the app reads %d", versionField, clip(string(version), 40), want)
	}
	if err := s.check(body); err != nil {
		return value, book, err
	}
	if raw, ok := exactMember(body, deliveryField); ok {
		if err := json.Unmarshal(raw, &book); err != nil {
			return value, book, fmt.Errorf("field %q: %w", deliveryField, err)
		}
	}
	return value, book, describeType(err)
}

// mustBeObject judges text that json.Unmarshal answered with err: is it one JSON object, whatever it holds?
func mustBeObject(body []byte, err error) error {
	var syntax *json.SyntaxError
	switch {
	case len(body) == 0:
		return errors.New("it is empty, want a JSON object")
	case errors.As(err, &syntax):
		return fmt.Errorf("it is not JSON: %w", err)
	case kindOf(body) != '{':
		return errors.New("it is not a JSON object")
	}
	return nil
}

func describeType(err error) error {
	var typeError *json.UnmarshalTypeError
	if errors.As(err, &typeError) {
		return fmt.Errorf("field %q holds a %s, want %s", typeError.Field, typeError.Value, typeError.Type)
	}
	return err
}

func exactMember(raw []byte, name string) ([]byte, bool) {
	for n, value := range members(raw) {
		if string(n) == name {
			return value, true
		}
	}
	return nil, false
}

// messageShape is the shape of T with the reserved names added.
func messageShape[T Versioned]() (*shape, error) {
	s := shapeOf[T]()
	if s.fields == nil {
		return s, nil
	}
	for name := range s.fields {
		if bytes.EqualFold([]byte(name), []byte(versionField)) || bytes.EqualFold([]byte(name), []byte(deliveryField)) {
			var zero T
			return s, fmt.Errorf("message type %T: the field name %q is reserved", zero, name)
		}
	}
	s.fields[versionField] = shapeField{&shape{}, len(s.fields)}
	s.fields[deliveryField] = shapeField{shapeOf[bookkeeping](), len(s.fields)}
	return s, nil
}

// splitDelivery separates a body from its bookkeeping. A body that is no JSON object, or whose bookkeeping cannot be read,
// comes back whole.
func splitDelivery(body []byte) (bare []byte, book bookkeeping) {
	if !bytes.Contains(body, []byte(deliveryField)) || !json.Valid(body) {
		return body, book
	}
	raw, ok := exactMember(body, deliveryField)
	if !ok {
		return body, book
	}
	if json.Unmarshal(raw, &book) != nil {
		return body, bookkeeping{}
	}
	return without(body, deliveryField), book
}

// joinDelivery is the inverse of splitDelivery: it notes book in the body of a message. A body that is no JSON object has no
// room for it and is returned as it is.
func joinDelivery(bare []byte, book bookkeeping) []byte {
	if book.empty() || !json.Valid(bare) || kindOf(bare) != '{' {
		return bare
	}
	note, err := json.Marshal(book)
	if err != nil {
		return bare // three plain fields always encode
	}
	at, comma := skipSpace(bare, 0)+1, ""
	for m := range spans(bare) {
		at, comma = m.end, ","
	}
	out := make([]byte, 0, len(bare)+len(note)+16)
	out = append(out, bare[:at]...)
	out = append(out, comma+`"`+deliveryField+`":`...)
	out = append(out, note...)
	return append(out, bare[at:]...)
}

// messageKey names a message by what it says: the same work has the same key, whatever happened to it on the way.
func messageKey(body []byte) string {
	bare, _ := splitDelivery(body)
	return bareKey(bare)
}

func bareKey(bare []byte) string {
	sum := sha256.Sum256(bare)
	return hex.EncodeToString(sum[:])
}

// clip cuts text to n bytes, at a character's border.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && text[n]&0xC0 == 0x80 {
		n--
	}
	return text[:n] + "…"
}
