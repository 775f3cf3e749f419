package customhandler

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// shape is what the JSON of a message type may look like. encoding/json takes names in any case and keeps the last of
// duplicates; a queue message must not, because a half-understood message is work lost in silence.
type shape struct {
	fields map[string]*shape // an object with exactly these names; nil for any other value
	elem   *shape            // of an array, or of a map, which takes any name
}

// shapeOf derives the shape of T once, when the function is registered.
func shapeOf[T any]() *shape {
	return (&shapes{}).of(reflect.TypeFor[T]())
}

type shapes struct{ seen map[reflect.Type]*shape }

func (s *shapes) of(t reflect.Type) *shape {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if known, ok := s.seen[t]; ok {
		return known
	}
	result := &shape{}
	if decodesItself(t) {
		return result
	}
	switch t.Kind() {
	case reflect.Struct:
		if s.seen == nil {
			s.seen = map[reflect.Type]*shape{}
		}
		s.seen[t] = result
		result.fields = map[string]*shape{}
		s.addFields(t, result.fields)
	case reflect.Map:
		result.elem = s.of(t.Elem())
	case reflect.Slice, reflect.Array:
		result.elem = s.of(t.Elem())
	}
	return result
}

func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func (s *shapes) addFields(t reflect.Type, into map[string]*shape) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		inner := field.Type
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case field.Tag.Get("json") == "-", !field.IsExported() && !field.Anonymous:
		case field.Anonymous && name == "" && inner.Kind() == reflect.Struct && !decodesItself(inner):
			s.addFields(inner, into)
		case name == "":
			into[field.Name] = s.of(field.Type)
		default:
			into[name] = s.of(field.Type)
		}
	}
}

// check walks valid JSON and reports the first name that does not belong, with its path.
func (s *shape) check(raw []byte, path string) error {
	switch kindOf(raw) {
	case '{':
		return s.checkObject(raw, path)
	case '[':
		i := 0
		for value := range elements(raw) {
			if err := s.elemShape().check(value, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
			i++
		}
	}
	return nil
}

func (s *shape) checkObject(raw []byte, path string) error {
	seen := map[string]bool{}
	for n, value := range members(raw) {
		name := string(n)
		full := strings.TrimPrefix(path+"."+name, ".")
		if seen[name] {
			return fmt.Errorf("field %q appears twice", full)
		}
		seen[name] = true
		next := s.elemShape()
		if s.fields != nil {
			var known bool
			if next, known = s.fields[name]; !known {
				return fmt.Errorf("field %q is unknown%s", full, s.suggest(name))
			}
		}
		if err := next.check(value, full); err != nil {
			return err
		}
	}
	return nil
}

func (s *shape) elemShape() *shape {
	if s.elem != nil {
		return s.elem
	}
	return &shape{}
}

func (s *shape) suggest(name string) string {
	for known := range s.fields {
		if strings.EqualFold(known, name) {
			return fmt.Sprintf(" (it is spelled %q)", known)
		}
	}
	return ""
}
