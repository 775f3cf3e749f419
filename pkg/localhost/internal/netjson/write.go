package netjson

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Quote writes s as a JSON string with Newtonsoft's escapes: only what JSON requires, and the line separators.
func Quote(s string) string { return string(AppendQuoted(nil, s)) }

// AppendQuoted appends Quote(s) to b.
func AppendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r < 0x20 || r == 0x85 || r == 0x2028 || r == 0x2029:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// Compact writes v on one line. With a location, ISO times with an offset are turned to it, as the host does with what it
// reads; nil leaves every string alone.
func Compact(v Value, local *time.Location) string {
	return string(writer{local: local}.append(nil, v, 0))
}

// Indented writes v with two blanks a level and line feeds.
func Indented(v Value, local *time.Location) string {
	return string(writer{local: local, indent: true}.append(nil, v, 0))
}

type writer struct {
	local  *time.Location
	indent bool
}

func (w writer) append(b []byte, v Value, level int) []byte {
	switch v.Kind {
	case Null:
		return append(b, "null"...)
	case Bool:
		return strconv.AppendBool(b, v.Bool)
	case Integer, Raw:
		return append(b, v.Text...)
	case Float:
		text := formatFloat(v.Float)
		if !strings.ContainsAny(text, ".E") {
			text += ".0"
		}
		return append(b, text...)
	case String:
		if d, ok := parseDate(v.Text, w.local); ok {
			return AppendQuoted(b, d.iso())
		}
		return AppendQuoted(b, v.Text)
	case Array:
		return w.list(b, '[', ']', len(v.Items), level, func(b []byte, i int) []byte {
			return w.append(b, v.Items[i], level+1)
		})
	default:
		return w.list(b, '{', '}', len(v.Members), level, func(b []byte, i int) []byte {
			b = append(AppendQuoted(b, v.Members[i].Name), ':')
			if w.indent {
				b = append(b, ' ')
			}
			return w.append(b, v.Members[i].Value, level+1)
		})
	}
}

func (w writer) list(b []byte, left, right byte, n, level int, item func([]byte, int) []byte) []byte {
	b = append(b, left)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = item(w.line(b, level+1), i)
	}
	if n > 0 {
		b = w.line(b, level)
	}
	return append(b, right)
}

func (w writer) line(b []byte, level int) []byte {
	if !w.indent {
		return b
	}
	b = append(b, '\n')
	for range level {
		b = append(b, "  "...)
	}
	return b
}

// Text is what .NET makes of a value when it needs a string, in the invariant culture: True, 1.5, 09/01/2026 02:00:00.
// Objects and arrays become indented JSON, null the empty string. Without a location ISO times stay as they are.
func Text(v Value, local *time.Location) string {
	switch v.Kind {
	case Null:
		return ""
	case Bool:
		if v.Bool {
			return "True"
		}
		return "False"
	case Integer:
		return v.Text
	case Float:
		return formatFloat(v.Float)
	case String:
		if d, ok := parseDate(v.Text, local); ok {
			return d.time.Format("01/02/2006 15:04:05")
		}
		return v.Text
	}
	return Indented(v, local)
}

// formatFloat is .NET's shortest round-trip form: 1, 1.5, 1E+15, 1E-05.
func formatFloat(f float64) string {
	text := strconv.FormatFloat(f, 'E', -1, 64)
	exponent, err := strconv.Atoi(text[strings.IndexByte(text, 'E')+1:])
	if err != nil || math.IsInf(f, 0) || exponent >= 15 || exponent <= -5 {
		return text
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

type date struct {
	time   time.Time
	suffix string // Z, an offset, or nothing
}

// parseDate knows the strings that Newtonsoft takes for times: 2026-09-01T02:00:00, a fraction, and Z or an offset.
func parseDate(s string, local *time.Location) (date, bool) {
	if local == nil || len(s) < 19 || len(s) > 40 || s[10] != 'T' {
		return date{}, false
	}
	if t, err := time.Parse("2006-01-02T15:04:05.999999999", s); err == nil {
		return date{t.Truncate(100), ""}, !strings.Contains(s, ",")
	}
	t, err := time.Parse("2006-01-02T15:04:05.999999999Z07:00", s)
	if err != nil || strings.Contains(s, ",") {
		return date{}, false
	}
	if strings.HasSuffix(s, "Z") {
		return date{t.Truncate(100), "Z"}, true
	}
	t = t.In(local).Truncate(100)
	return date{t, t.Format("-07:00")}, true
}

func (d date) iso() string { return d.time.Format("2006-01-02T15:04:05.9999999") + d.suffix }
