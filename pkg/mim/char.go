package mim

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// nameByte tells the bytes of names. Bytes of multi-byte characters all count as letters, which XML is a little stricter about.
var nameByte = func() (set [256]bool) {
	for c := range set {
		set[c] = c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
			c == '_' || c == ':' || c == '-' || c == '.'
	}
	return set
}()

// badText says what may not stand in an XML file, or nothing.
func badText(b []byte) string {
	ascii := true
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' {
			return fmt.Sprintf("control character 0x%02x", c)
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if !ascii && !utf8.Valid(b) {
		return "text that is not UTF-8"
	}
	return ""
}

// checkReferences looks for references that XML does not know, such as &nbsp; or a bare &.
func checkReferences(b []byte) error {
	for {
		i := bytes.IndexByte(b, '&')
		if i < 0 {
			return nil
		}
		b = b[i:]
		_, n := reference(b)
		if n == 0 {
			return fmt.Errorf("unknown reference %.12q", b)
		}
		b = b[n:]
	}
}

// reference decodes the reference at the start of b and says how long it is, 0 when it is none.
func reference(b []byte) (rune, int) {
	end := bytes.IndexByte(b[:min(len(b), 16)], ';')
	if end < 2 {
		return 0, 0
	}
	switch name := string(b[1:end]); name {
	case "lt":
		return '<', end + 1
	case "gt":
		return '>', end + 1
	case "amp":
		return '&', end + 1
	case "quot":
		return '"', end + 1
	case "apos":
		return '\'', end + 1
	default:
		return characterReference(name, end+1)
	}
}

func characterReference(name string, length int) (rune, int) {
	if name[0] != '#' || len(name) < 2 {
		return 0, 0
	}
	digits, base := name[1:], 10
	if digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	code, err := strconv.ParseUint(digits, base, 32)
	if err != nil || code > utf8.MaxRune || !utf8.ValidRune(rune(code)) {
		return 0, 0
	}
	return rune(code), length
}

// plain reports whether text stands for itself: no references, and no line ends to normalise.
func plain(b []byte) bool { return bytes.IndexByte(b, '&') < 0 && bytes.IndexByte(b, '\r') < 0 }

// decodeText appends text as XML means it: references resolved, line ends as \n.
func decodeText(dst, b []byte) []byte {
	for i := 0; i < len(b); {
		switch {
		case b[i] == '&':
			r, n := reference(b[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		case b[i] == '\r':
			dst = append(dst, '\n')
			i++
			if i < len(b) && b[i] == '\n' {
				i++
			}
		default:
			dst = append(dst, b[i])
			i++
		}
	}
	return dst
}
