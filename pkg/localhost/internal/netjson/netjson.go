// Package netjson reads and writes JSON as Newtonsoft.Json does, the library that the Functions host uses for every payload.
//
// encoding/json cannot stand in for it: the order of properties must survive, the last of two equal names wins at the place
// of the first, numbers and ISO times are re-formatted when a document passes through, and the escapes differ. Every value
// also knows its line, for error messages about host.json and function.json.
//
// Parse accepts what Newtonsoft accepts and people write: comments, trailing commas, single quotes, unquoted names. It
// does not accept NaN, octal or hexadecimal numbers, or documents deeper than 64 levels.
package netjson

import (
	"fmt"
	"strings"
)

// Kind says what a Value is.
type Kind uint8

// The kinds of JSON values; Newtonsoft tells integers from floats.
const (
	Null Kind = iota
	Bool
	Integer
	Float
	String
	Array
	Object
	Raw // finished JSON, for writing
)

func (k Kind) String() string {
	return [...]string{"null", "true or false", "a whole number", "a number", "a string", "an array", "an object", "JSON"}[k]
}

// Value is one JSON value. Text holds a String's characters, an Integer's digits or Raw JSON.
type Value struct {
	Kind    Kind
	Bool    bool
	Float   float64
	Text    string
	Items   []Value
	Members []Member
	Line    int // 1-based
}

// Member is one property of an Object; names are unique.
type Member struct {
	Name  string
	Value Value
}

// Str makes a String.
func Str(s string) Value { return Value{Kind: String, Text: s} }

// Obj makes an Object.
func Obj(members ...Member) Value { return Value{Kind: Object, Members: members} }

// Get finds a property, ignoring case as the host's configuration and its replies do; an exact match wins.
func (v Value) Get(name string) (Value, bool) {
	found, ok := Value{}, false
	for _, m := range v.Members {
		if m.Name == name {
			return m.Value, true
		}
		if !ok && strings.EqualFold(m.Name, name) {
			found, ok = m.Value, true
		}
	}
	return found, ok
}

// SyntaxError says where a document stops being JSON.
type SyntaxError struct {
	Line, Column int // 1-based; the column counts bytes
	Problem      string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Problem)
}
