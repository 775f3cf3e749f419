package mim

import (
	"bytes"
	"fmt"
	"io"
	"unicode/utf8"
)

// Limits of what is read as XML. Real files nest about 15 deep; an Active Directory schema is one line of 64 kB after another.
const (
	maxDepth  = 256
	maxRecord = 256 << 20 // bytes of one tree: a management agent, or one object of the portal
	chunkSize = 64 << 10
)

// span is a range of a scanner's buffer.
type span struct{ from, to uint32 }

type attr struct{ name, value span }

type tokenKind uint8

const (
	startTag tokenKind = iota + 1
	endTag
	text
	cdata
)

// token is one piece of markup or text. Comments, declarations and processing instructions are checked and passed over.
type token struct {
	kind  tokenKind
	name  span   // of a tag, with its prefix
	body  span   // of text, undecoded
	whole span   // with its markup
	empty bool   // a start tag that is its own end: <a/>
	attrs []attr // valid until the next token
}

// scanner reads XML in one pass over a growing buffer, and hands out ranges of it instead of copies: that is what makes comparing
// hundreds of megabytes cheap. It is as strict as XML 1.0 about what ends up in a tree, and accepts references to control
// characters, which .NET writes and reads. Document types are refused: MIM writes none, and they are what XML attacks use.
type scanner struct {
	r     io.Reader
	buf   []byte
	pos   int
	eof   bool
	line  int // of buf[0], from 1
	attrs []attr
}

func (s *scanner) reset(r io.Reader) {
	*s = scanner{r: r, buf: s.buf[:0], line: 1, attrs: s.attrs[:0]}
}

// release forgets everything before the current position. All spans become invalid.
func (s *scanner) release() {
	s.line += bytes.Count(s.buf[:s.pos], []byte{'\n'})
	s.buf = append(s.buf[:0], s.buf[s.pos:]...)
	s.pos = 0
}

func (s *scanner) bytes(p span) []byte { return s.buf[p.from:p.to] }

var errTooLarge = fmt.Errorf("an element is larger than %d MiB", maxRecord>>20)

// fill reads more. It returns io.EOF when there is no more.
func (s *scanner) fill() error {
	if s.eof {
		return io.EOF
	}
	if len(s.buf) > maxRecord {
		return errTooLarge
	}
	if cap(s.buf)-len(s.buf) < chunkSize {
		grown := make([]byte, len(s.buf), max(4*chunkSize, 2*cap(s.buf)))
		copy(grown, s.buf)
		s.buf = grown
	}
	for range 100 {
		n, err := s.r.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf = s.buf[:len(s.buf)+n]
		if err == io.EOF {
			s.eof = true
		} else if err != nil {
			return err
		}
		if n > 0 {
			return nil
		}
		if s.eof {
			return io.EOF
		}
	}
	return io.ErrNoProgress
}

// reserve makes room for a file of that size, so that the buffer need not grow. It does not trust sizes that are claimed.
func (s *scanner) reserve(size int64) {
	const most = 16 << 20
	if size = min(size, most) + chunkSize + 1; int64(cap(s.buf)) < size {
		s.buf = make([]byte, 0, size)
	}
}

// peek is the byte i behind the current position.
func (s *scanner) peek(i int) (byte, error) {
	for s.pos+i >= len(s.buf) {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	return s.buf[s.pos+i], nil
}

// find returns how far behind the current position, from offset on, sep begins.
func (s *scanner) find(offset int, sep string) (int, error) {
	from := s.pos + offset
	for {
		if from < len(s.buf) {
			if len(sep) == 1 {
				if i := bytes.IndexByte(s.buf[from:], sep[0]); i >= 0 {
					return from + i - s.pos, nil
				}
			} else if i := bytes.Index(s.buf[from:], []byte(sep)); i >= 0 {
				return from + i - s.pos, nil
			}
			from = max(from, len(s.buf)-len(sep)+1)
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
}

// has reports whether the text at the current position starts with prefix.
func (s *scanner) has(prefix string) (bool, error) {
	_, err := s.peek(len(prefix) - 1)
	if err != nil && err != io.EOF {
		return false, err
	}
	return bytes.HasPrefix(s.buf[s.pos:], []byte(prefix)), nil
}

func (s *scanner) fail(format string, args ...any) error {
	at := min(s.pos, len(s.buf))
	return fmt.Errorf("line %d: %s", s.line+bytes.Count(s.buf[:at], []byte{'\n'}), fmt.Sprintf(format, args...))
}

// cut turns an end of file in the middle of something into an error that says so, and leaves errors of the reader alone.
func (s *scanner) cut(err error, what string) error {
	if err == io.EOF {
		return fmt.Errorf("%w: %w", s.fail("the file ends inside %s", what), io.ErrUnexpectedEOF)
	}
	return err
}

// next returns the next token, or io.EOF behind the last.
func (s *scanner) next() (token, error) {
	for {
		c, err := s.peek(0)
		if err != nil {
			return token{}, err
		}
		if c != '<' {
			return s.text()
		}
		c, err = s.peek(1)
		if err != nil {
			return token{}, s.cut(err, "a tag")
		}
		switch c {
		case '/':
			return s.endTag()
		case '?':
			err = s.skip(2, "?>", "a processing instruction")
		case '!':
			var t token
			if t, err = s.declaration(); t.kind != 0 {
				return t, err
			}
		default:
			return s.startTag()
		}
		if err != nil {
			return token{}, err
		}
	}
}

// skip moves behind the next end, searched from offset on.
func (s *scanner) skip(offset int, end, what string) error {
	n, err := s.find(offset, end)
	if err != nil {
		return s.cut(err, what)
	}
	if bad := badText(s.buf[s.pos : s.pos+n]); bad != "" {
		return s.fail("%s in %s", bad, what)
	}
	s.pos += n + len(end)
	return nil
}

// declaration passes over a comment, or returns a CDATA section.
func (s *scanner) declaration() (token, error) {
	if is, err := s.has("<!--"); err != nil {
		return token{}, err
	} else if is {
		return token{}, s.skip(len("<!--"), "-->", "a comment")
	}
	const open = "<![CDATA["
	if is, err := s.has(open); err != nil {
		return token{}, err
	} else if !is {
		return token{}, s.fail("found a <!…> that is neither a comment nor CDATA: no document type is expected")
	}
	n, err := s.find(len(open), "]]>")
	if err != nil {
		return token{}, s.cut(err, "a CDATA section")
	}
	t := token{kind: cdata, body: s.span(len(open), n), whole: s.span(0, n+3)}
	if bad := badText(s.bytes(t.body)); bad != "" {
		return token{}, s.fail("%s in a CDATA section", bad)
	}
	s.pos += n + 3
	return t, nil
}

func (s *scanner) span(from, to int) span { return span{uint32(s.pos + from), uint32(s.pos + to)} }

func (s *scanner) text() (token, error) {
	n, err := s.find(0, "<")
	if err == io.EOF {
		n, err = len(s.buf)-s.pos, nil
	}
	if err != nil {
		return token{}, err
	}
	t := token{kind: text, body: s.span(0, n), whole: s.span(0, n)}
	body := s.bytes(t.body)
	if bad := badText(body); bad != "" {
		return token{}, s.fail("%s", bad)
	}
	if bytes.Contains(body, []byte("]]>")) {
		return token{}, s.fail("]]> in text")
	}
	if err := checkReferences(body); err != nil {
		return token{}, s.fail("%v", err)
	}
	s.pos += n
	return t, nil
}

func (s *scanner) endTag() (token, error) {
	n, err := s.find(2, ">")
	if err != nil {
		return token{}, s.cut(err, "an end tag")
	}
	t := token{kind: endTag, name: s.span(2, n), whole: s.span(0, n+1)}
	for t.name.to > t.name.from && isSpace(s.buf[t.name.to-1]) {
		t.name.to--
	}
	s.pos += n + 1
	return t, nil
}

func (s *scanner) startTag() (token, error) {
	n, err := s.name(1)
	if err != nil {
		return token{}, s.cut(err, "a tag")
	}
	t := token{kind: startTag, name: s.span(1, n)}
	s.attrs = s.attrs[:0]
	for {
		spaced := n
		n, err = s.space(n)
		if err != nil {
			return token{}, s.cut(err, "a tag")
		}
		switch c := s.buf[s.pos+n]; {
		case c == '/':
			next, err := s.peek(n + 1)
			if err != nil {
				return token{}, s.cut(err, "a tag")
			}
			if next != '>' {
				return token{}, s.fail("expected > behind / in <%s>", s.bytes(t.name))
			}
			t.empty = true
			n++
			fallthrough
		case c == '>':
			t.whole, t.attrs = s.span(0, n+1), s.attrs
			s.pos += n + 1
			return t, nil
		case spaced == n:
			return token{}, s.fail("expected a space before an attribute of <%s>", s.bytes(t.name))
		}
		if n, err = s.attribute(n); err != nil {
			return token{}, s.cut(err, "a tag")
		}
	}
}

// attribute reads one attribute at n and returns where it ends.
func (s *scanner) attribute(n int) (int, error) {
	from := n
	n, err := s.name(n)
	if err != nil {
		return 0, err
	}
	a := attr{name: s.span(from, n)}
	if n, err = s.space(n); err != nil {
		return 0, err
	}
	if s.buf[s.pos+n] != '=' {
		return 0, s.fail("expected = behind attribute %q", s.bytes(a.name))
	}
	if n, err = s.space(n + 1); err != nil {
		return 0, err
	}
	quote := s.buf[s.pos+n]
	if quote != '"' && quote != '\'' {
		return 0, s.fail("expected quotes around the value of attribute %q", s.bytes(a.name))
	}
	end, err := s.find(n+1, string(rune(quote)))
	if err != nil {
		return 0, err
	}
	a.value = s.span(n+1, end)
	value := s.bytes(a.value)
	if bytes.IndexByte(value, '<') >= 0 {
		return 0, s.fail("< in the value of attribute %q", s.bytes(a.name))
	}
	if bad := badText(value); bad != "" {
		return 0, s.fail("%s in the value of attribute %q", bad, s.bytes(a.name))
	}
	if err := checkReferences(value); err != nil {
		return 0, s.fail("attribute %q: %v", s.bytes(a.name), err)
	}
	for _, other := range s.attrs {
		if bytes.Equal(s.bytes(other.name), s.bytes(a.name)) {
			return 0, s.fail("attribute %q is there twice", s.bytes(a.name))
		}
	}
	s.attrs = append(s.attrs, a)
	return end + 1, nil
}

// space returns the offset of the first byte at or behind n that is no white space.
func (s *scanner) space(n int) (int, error) {
	for {
		for at := s.pos + n; at < len(s.buf); at++ {
			if !isSpace(s.buf[at]) {
				return at - s.pos, nil
			}
		}
		n = len(s.buf) - s.pos
		if err := s.fill(); err != nil {
			return n, err
		}
	}
}

// name returns the offset behind the name at n.
func (s *scanner) name(n int) (int, error) {
	from := n
	for {
		for s.pos+n < len(s.buf) && nameByte[s.buf[s.pos+n]] {
			n++
		}
		if s.pos+n < len(s.buf) {
			break
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	name := s.buf[s.pos+from : s.pos+n]
	if colon := bytes.IndexByte(name, ':'); colon == 0 || colon > 0 && (colon == len(name)-1 || bytes.LastIndexByte(name, ':') != colon) {
		return 0, s.fail("the name %q has a colon where no prefix ends", name)
	}
	if len(name) == 0 || name[0] == '-' || name[0] == '.' || name[0] >= '0' && name[0] <= '9' || !utf8.Valid(name) {
		return 0, s.fail("expected a name, found %.20q", s.buf[s.pos+from:min(len(s.buf), s.pos+from+20)])
	}
	return n, nil
}
