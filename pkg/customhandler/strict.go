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
	fields map[string]shapeField // an object with exactly these names; nil for any other value
	elem   *shape                // of an array, or of a map, which takes any name
}

type shapeField struct {
	*shape
	index int // a number of its own among the fields
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
		result.fields = map[string]shapeField{}
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

func (s *shapes) addFields(t reflect.Type, into map[string]shapeField) {
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
			into[field.Name] = shapeField{s.of(field.Type), len(into)}
		default:
			into[name] = shapeField{s.of(field.Type), len(into)}
		}
	}
}

// nameError is a name that does not belong where it is.
type nameError struct{ path, problem string }

func (e *nameError) Error() string {
	return fmt.Sprintf("field %q %s", strings.TrimPrefix(e.path, "."), e.problem)
}

// below adds the step that leads to the place of the error. Paths are only built when there is an error.
func (e *nameError) below(step string) *nameError {
	if e != nil {
		e.path = step + e.path
	}
	return e
}

// check walks valid JSON and reports the first name that does not belong, with its path.
func (s *shape) check(raw []byte) error {
	if err := s.checkValue(raw); err != nil {
		return err
	}
	return nil
}

func (s *shape) checkValue(raw []byte) *nameError {
	switch kindOf(raw) {
	case '{':
		if s.fields != nil {
			return s.checkFields(raw)
		}
		return s.checkNames(raw)
	case '[':
		i := 0
		for value := range elements(raw) {
			if err := s.ofElem().checkValue(value); err != nil {
				return err.below(fmt.Sprintf("[%d]", i))
			}
			i++
		}
	}
	return nil
}

// checkFields checks an object whose names are known.
func (s *shape) checkFields(raw []byte) *nameError {
	seen := make([]bool, len(s.fields))
	for name, value := range members(raw) {
		field, known := s.fields[string(name)]
		if !known {
			return &nameError{"." + string(name), "is unknown" + s.suggest(string(name))}
		}
		if seen[field.index] {
			return &nameError{"." + string(name), "appears twice"}
		}
		seen[field.index] = true
		if err := field.checkValue(value); err != nil {
			return err.below("." + string(name))
		}
	}
	return nil
}

// checkNames checks an object that may have any name, but each only once.
func (s *shape) checkNames(raw []byte) *nameError {
	seen := map[string]bool{}
	for name, value := range members(raw) {
		if seen[string(name)] {
			return &nameError{"." + string(name), "appears twice"}
		}
		seen[string(name)] = true
		if err := s.ofElem().checkValue(value); err != nil {
			return err.below("." + string(name))
		}
	}
	return nil
}

// ofElem is the shape of an element; nothing is known of the elements of a value of which nothing is known.
func (s *shape) ofElem() *shape {
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
