package settings

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with one setting.
type Problem struct {
	Setting string // the setting's name
	Got     string // its value; empty when it is not set, [redacted] for a secret
	Want    string // what it should be
	Example string // a value that would be accepted
	Hint    string // anything more that helps
}

// String is the problem as one line for an admin.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Setting)
	b.WriteString(": ")
	if p.Got == "" {
		b.WriteString("is not set")
	} else if p.Got == Redacted {
		b.WriteString("got " + Redacted)
	} else {
		fmt.Fprintf(&b, "got %q", p.Got)
	}
	if p.Want != "" {
		b.WriteString(", wants " + p.Want)
	}
	if p.Example != "" {
		fmt.Fprintf(&b, ", for example %q", p.Example)
	}
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Problems are all that is wrong with an app's settings.
type Problems []Problem

// Error is one line per problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}
