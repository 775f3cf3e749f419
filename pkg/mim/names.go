package mim

import "strings"

// named is what an identifier stands for.
type named struct{ kind, name string }

// names are what the identifiers in one backup stand for, by GUID in lower case without braces.
type names struct {
	byID  map[string]named
	times map[named]int // how many identifiers have that name
}

func newNames() *names { return &names{byID: map[string]named{}, times: map[named]int{}} }

func (n *names) add(id, kind, name string) {
	id = guid(id)
	if _, known := n.byID[id]; known || name == "" || len(id) != guidLength {
		return
	}
	n.byID[id] = named{kind, name}
	n.times[named{kind, name}]++
}

const guidLength = 36

// guid normalises {8CE95D04-…} and urn:uuid:8ce95d04-….
func guid(s string) string {
	s = strings.ToLower(strings.TrimSpace(s))
	return strings.TrimPrefix(strings.TrimSuffix(strings.TrimPrefix(s, "{"), "}"), "urn:uuid:")
}

// resolve puts names in place of the identifiers that are known. Where two objects share a name the identifier stays beside it.
func (n *names) resolve(s string) string {
	if len(s) < guidLength {
		return s
	}
	var b strings.Builder
	rest := 0
	for i := 0; i+guidLength <= len(s); i++ {
		if s[i+8] != '-' || !isGUID(s[i:i+guidLength]) {
			continue
		}
		from, to := widen(s, i, i+guidLength)
		if what, ok := n.byID[strings.ToLower(s[i:i+guidLength])]; ok {
			b.WriteString(s[rest:max(rest, from)])
			b.WriteString(what.name)
			if n.times[what] > 1 {
				b.WriteString(" (" + strings.ToLower(s[i:i+guidLength]) + ")")
			}
			rest = to
		}
		i += guidLength - 1
	}
	if rest == 0 {
		return s
	}
	b.WriteString(s[rest:])
	return b.String()
}

// widen takes in what belongs to a GUID in its two notations.
func widen(s string, from, to int) (int, int) {
	const urn = "urn:uuid:"
	switch {
	case from > 0 && s[from-1] == '{' && to < len(s) && s[to] == '}':
		return from - 1, to + 1
	case strings.HasSuffix(s[:from], urn):
		return from - len(urn), to
	}
	return from, to
}

func isGUID(s string) bool {
	for i := range guidLength {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}
