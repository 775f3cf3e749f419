package netjson

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const maxDepth = 64

type parser struct {
	text  string
	pos   int
	line  int
	start int // offset of the line's first byte
}

// Parse reads one document. Its error is a *SyntaxError.
func Parse(text string) (Value, error) {
	p := &parser{text: strings.TrimPrefix(text, "\ufeff"), line: 1}
	v, err := p.value(0)
	if err != nil {
		return Value{}, err
	}
	if err := p.space(); err != nil {
		return Value{}, err
	}
	if p.pos < len(p.text) {
		return Value{}, p.fail("more text after the end of the document")
	}
	return v, nil
}

func (p *parser) fail(problem string) error {
	return &SyntaxError{Line: p.line, Column: p.pos - p.start + 1, Problem: problem}
}

func (p *parser) peek() byte {
	if p.pos < len(p.text) {
		return p.text[p.pos]
	}
	return 0
}

func (p *parser) newline() { p.line, p.start = p.line+1, p.pos }

// space skips white space and comments.
func (p *parser) space() error {
	for p.pos < len(p.text) {
		switch c := p.text[p.pos]; {
		case c == '\n':
			p.pos++
			p.newline()
		case c == ' ' || c == '\t' || c == '\r':
			p.pos++
		case strings.HasPrefix(p.text[p.pos:], "//"):
			for p.pos < len(p.text) && p.text[p.pos] != '\n' {
				p.pos++
			}
		case strings.HasPrefix(p.text[p.pos:], "/*"):
			if err := p.blockComment(); err != nil {
				return err
			}
		default:
			return nil
		}
	}
	return nil
}

func (p *parser) blockComment() error {
	for p.pos += 2; p.pos < len(p.text); p.pos++ {
		if strings.HasPrefix(p.text[p.pos:], "*/") {
			p.pos += 2
			return nil
		}
		if p.text[p.pos] == '\n' {
			p.line, p.start = p.line+1, p.pos+1
		}
	}
	return p.fail("a comment that does not end")
}

func (p *parser) value(depth int) (Value, error) {
	if depth > maxDepth {
		return Value{}, p.fail("nested more than 64 levels deep")
	}
	if err := p.space(); err != nil {
		return Value{}, err
	}
	line := p.line
	v, err := p.bare(depth)
	v.Line = line
	return v, err
}

func (p *parser) bare(depth int) (Value, error) {
	switch c := p.peek(); {
	case p.pos >= len(p.text):
		return Value{}, p.fail("the text ends where a value is expected")
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"' || c == '\'':
		s, err := p.quoted(c)
		return Value{Kind: String, Text: s}, err
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	switch word := p.word(); word {
	case "null":
		return Value{}, nil
	case "true", "false":
		return Value{Kind: Bool, Bool: word == "true"}, nil
	}
	return Value{}, p.fail("a value is expected here")
}

// word reads an unquoted name or literal; it moves on only when there is one.
func (p *parser) word() string {
	from := p.pos
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		if c != '_' && c != '$' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			break
		}
		p.pos++
	}
	return p.text[from:p.pos]
}

func (p *parser) object(depth int) (Value, error) {
	v := Value{Kind: Object, Members: []Member{}}
	at := map[string]int{}
	for p.pos++; ; p.pos++ {
		if err := p.space(); err != nil {
			return v, err
		}
		if p.peek() == '}' {
			p.pos++
			return v, nil
		}
		name, err := p.name()
		if err != nil {
			return v, err
		}
		if err := p.space(); err != nil {
			return v, err
		}
		if p.peek() != ':' {
			return v, p.fail("a colon is expected after the name " + strconv.Quote(name))
		}
		p.pos++
		member, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		if i, seen := at[name]; seen {
			v.Members[i].Value = member
		} else {
			at[name] = len(v.Members)
			v.Members = append(v.Members, Member{name, member})
		}
		if err := p.space(); err != nil {
			return v, err
		}
		switch p.peek() {
		case ',':
		case '}':
			p.pos++
			return v, nil
		default:
			return v, p.fail("a comma or } is expected here")
		}
	}
}

func (p *parser) name() (string, error) {
	if c := p.peek(); c == '"' || c == '\'' {
		return p.quoted(c)
	}
	if name := p.word(); name != "" {
		return name, nil
	}
	return "", p.fail("a property name is expected here")
}

func (p *parser) array(depth int) (Value, error) {
	v := Value{Kind: Array, Items: []Value{}}
	for p.pos++; ; p.pos++ {
		if err := p.space(); err != nil {
			return v, err
		}
		if p.peek() == ']' {
			p.pos++
			return v, nil
		}
		item, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.Items = append(v.Items, item)
		if err := p.space(); err != nil {
			return v, err
		}
		switch p.peek() {
		case ',':
		case ']':
			p.pos++
			return v, nil
		default:
			return v, p.fail("a comma or ] is expected here")
		}
	}
}

func (p *parser) number() (Value, error) {
	from, whole := p.pos, true
	if p.peek() == '-' {
		p.pos++
	}
	digits := p.digits()
	if digits == 0 || digits > 1 && p.text[p.pos-digits] == '0' {
		return Value{}, p.fail("a number like this is not understood")
	}
	if p.peek() == '.' {
		p.pos++
		whole = false
		if p.digits() == 0 {
			return Value{}, p.fail("a digit is expected after the point")
		}
	}
	if c := p.peek(); c == 'e' || c == 'E' {
		p.pos++
		whole = false
		if c := p.peek(); c == '+' || c == '-' {
			p.pos++
		}
		if p.digits() == 0 {
			return Value{}, p.fail("a digit is expected in the exponent")
		}
	}
	text := p.text[from:p.pos]
	if whole {
		if text == "-0" {
			text = "0"
		}
		return Value{Kind: Integer, Text: text}, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return Value{}, p.fail("the number is out of range")
	}
	return Value{Kind: Float, Float: f}, nil
}

func (p *parser) digits() (n int) {
	for p.peek() >= '0' && p.peek() <= '9' {
		p.pos++
		n++
	}
	return n
}

func (p *parser) quoted(quote byte) (string, error) {
	var b strings.Builder
	p.pos++
	for {
		from := p.pos
		for p.pos < len(p.text) && p.text[p.pos] != quote && p.text[p.pos] != '\\' && p.text[p.pos] != '\n' {
			p.pos++
		}
		b.WriteString(p.text[from:p.pos])
		if p.pos >= len(p.text) {
			return "", p.fail("a string that does not end")
		}
		c := p.text[p.pos]
		p.pos++
		switch c {
		case quote:
			return b.String(), nil
		case '\n':
			b.WriteByte(c)
			p.newline()
		default:
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
		}
	}
}

func (p *parser) escape() (rune, error) {
	c := p.peek()
	p.pos++
	switch c {
	case '"', '\'', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return p.unicode()
	}
	p.pos--
	return 0, p.fail("an escape that JSON does not know")
}

// unicode reads the digits of \uXXXX and joins surrogate pairs; half a pair becomes U+FFFD, as in .NET's UTF-8.
func (p *parser) unicode() (rune, error) {
	high, err := p.hex4()
	if err != nil || !utf16.IsSurrogate(high) {
		return high, err
	}
	before := p.pos
	if strings.HasPrefix(p.text[p.pos:], `\u`) {
		p.pos += 2
		low, err := p.hex4()
		if err != nil {
			return 0, err
		}
		if r := utf16.DecodeRune(high, low); r != utf8.RuneError {
			return r, nil
		}
		p.pos = before
	}
	return utf8.RuneError, nil
}

func (p *parser) hex4() (rune, error) {
	if len(p.text)-p.pos < 4 {
		return 0, p.fail(`\u needs four hexadecimal digits`)
	}
	n, err := strconv.ParseUint(p.text[p.pos:p.pos+4], 16, 16)
	if err != nil {
		return 0, p.fail(`\u needs four hexadecimal digits`)
	}
	p.pos += 4
	return rune(n), nil
}
