package mim

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

// headSize is how far decode looks for the encoding: a byte order mark, or the XML declaration.
const headSize = 256

// decode gives a file's text as UTF-8 without byte order mark: MIM writes UTF-8 with and without one, Windows PowerShell UTF-16.
func decode(r io.Reader) (io.Reader, error) {
	br := bufio.NewReaderSize(r, headSize)
	head, err := br.Peek(headSize)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, err := br.Discard(3)
		return br, err
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("<\x00")):
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder().Reader(br), nil
	case bytes.HasPrefix(head, []byte("\xfe\xff")), bytes.HasPrefix(head, []byte("\x00<")):
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder().Reader(br), nil
	}
	switch name := declaredEncoding(head); strings.ToLower(name) {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return br, nil
	case "windows-1252":
		return reader(charmap.Windows1252, br), nil
	case "iso-8859-1", "latin1":
		return reader(charmap.ISO8859_1, br), nil
	default:
		return nil, fmt.Errorf("encoding %q is not supported: expected UTF-8, UTF-16, windows-1252 or iso-8859-1", name)
	}
}

func reader(e encoding.Encoding, r io.Reader) io.Reader { return e.NewDecoder().Reader(r) }

// declaredEncoding is the encoding of an XML declaration at the start of head, empty without one.
func declaredEncoding(head []byte) string {
	if !bytes.HasPrefix(head, []byte("<?xml")) {
		return ""
	}
	declaration, _, _ := bytes.Cut(head, []byte("?>"))
	_, value, found := bytes.Cut(declaration, []byte("encoding="))
	if !found || len(value) < 2 {
		return ""
	}
	value, _, _ = bytes.Cut(value[1:], value[:1])
	return string(value)
}
