package customhandler

import (
	"bytes"
	"encoding/json"
	"iter"
)

// The functions here walk JSON that json.Valid has accepted, without copying it. They exist because the payload must be read
// leniently (case of names, encodings) and a message strictly (duplicate and case-variant names), and encoding/json can do neither.

// members yields the members of the object raw in order: the decoded name and the bytes of the value, a part of raw.
// Anything but an object has none.
func members(raw []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for m := range spans(raw) {
			if !yield(unquote(raw[m.start:m.name]), raw[m.value:m.end]) {
				return
			}
		}
	}
}

// span is where a member lies: its name in raw[start:name], its value in raw[value:end].
type span struct{ start, name, value, end int }

func spans(raw []byte) iter.Seq[span] {
	return func(yield func(span) bool) {
		i := skipSpace(raw, 0)
		if i >= len(raw) || raw[i] != '{' {
			return
		}
		for i = skipSpace(raw, i+1); i < len(raw) && raw[i] == '"'; {
			m := span{start: i, name: skipValue(raw, i)}
			m.value = skipSpace(raw, skipSpace(raw, m.name)+1) // over the colon
			m.end = skipValue(raw, m.value)
			if !yield(m) {
				return
			}
			i = skipSpace(raw, skipSpace(raw, m.end)+1) // over the comma or the closing brace
		}
	}
}

// without returns the object raw without the member of that exact name, in new memory when there is one.
func without(raw []byte, name string) []byte {
	previous := -1
	for m := range spans(raw) {
		if string(unquote(raw[m.start:m.name])) != name {
			previous = m.end
			continue
		}
		from, to := m.start, m.end
		if previous >= 0 {
			from = previous // with the comma before it
		} else if next := skipSpace(raw, to); raw[next] == ',' {
			to = next + 1
		}
		return append(append(make([]byte, 0, len(raw)-(to-from)), raw[:from]...), raw[to:]...)
	}
	return raw
}

// elements yields the elements of the array raw. Anything but an array has none.
func elements(raw []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		i := skipSpace(raw, 0)
		if i >= len(raw) || raw[i] != '[' {
			return
		}
		for i = skipSpace(raw, i+1); i < len(raw) && raw[i] != ']'; {
			end := skipValue(raw, i)
			if !yield(raw[i:end]) {
				return
			}
			i = skipSpace(raw, skipSpace(raw, end)+1)
		}
	}
}

// member finds a member by name: the exact name first, else the first that differs only in case.
func member(raw []byte, name string) ([]byte, bool) {
	var folded []byte
	found := false
	for n, value := range members(raw) {
		if string(n) == name {
			return value, true
		}
		if !found && bytes.EqualFold(n, []byte(name)) {
			folded, found = value, true
		}
	}
	return folded, found
}

// kindOf returns the first byte of the value: one of { [ " t f n or the start of a number; 0 when raw is blank.
func kindOf(raw []byte) byte {
	if i := skipSpace(raw, 0); i < len(raw) {
		return raw[i]
	}
	return 0
}

// unquote decodes a JSON string. The result may share memory with raw.
func unquote(raw []byte) []byte {
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil // raw is valid JSON and starts with a quote: cannot happen
	}
	return []byte(text)
}

func skipSpace(raw []byte, i int) int {
	for i < len(raw) && (raw[i] == ' ' || raw[i] == '\t' || raw[i] == '\n' || raw[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns the index just after the value that starts at i.
func skipValue(raw []byte, i int) int {
	switch raw[i] {
	case '"':
		return skipString(raw, i)
	case '{', '[':
		return skipNested(raw, i)
	}
	for ; i < len(raw); i++ {
		switch raw[i] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return i
		}
	}
	return i
}

func skipString(raw []byte, i int) int {
	for i++; i < len(raw); i++ {
		quote := bytes.IndexByte(raw[i:], '"')
		if quote < 0 {
			break
		}
		escape := bytes.IndexByte(raw[i:i+quote], '\\')
		if escape < 0 {
			return i + quote + 1
		}
		i += escape + 1 // on the escaped character, which the loop steps over
	}
	return len(raw)
}

func skipNested(raw []byte, i int) int {
	for depth := 0; i < len(raw); {
		switch raw[i] {
		case '"':
			i = skipString(raw, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return len(raw)
}
