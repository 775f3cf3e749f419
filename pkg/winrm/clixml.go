package winrm

import (
	"bytes"
	"encoding/xml"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Streams of a record besides PowerShell's own (Error, warning, verbose, debug, information, progress).
const native = "native" // what other programs wrote to standard error

// piece is one element of CLIXML, or a stretch of text between the documents. An error is several pieces, a line each.
type piece struct{ stream, text string }

// record is one readable message from standard error.
type record struct {
	stream string
	text   string
	line   int // of the script, for errors; 0 if not known
}

func (r record) level() string {
	switch r.stream {
	case "Error":
		return "error"
	case "warning":
		return "warning"
	case "information":
		return "info"
	case native:
		return "output"
	}
	return "debug"
}

// textOf joins what is worth showing in an error: errors, warnings, and what native programs wrote.
func textOf(records []record) string {
	var lines []string
	for _, r := range records {
		switch {
		case r.stream == "Error" && r.line > 0:
			lines = append(lines, r.text+" (line "+strconv.Itoa(r.line)+")")
		case r.stream == "Error" || r.stream == "warning" || r.stream == native:
			lines = append(lines, r.text)
		}
	}
	return strings.Join(lines, "\n")
}

// decodeCLIXML turns what a PowerShell wrote to standard error into messages, oldest first. It takes anything: several documents, text
// between them, documents cut short. Progress is dropped.
func decodeCLIXML(data []byte) []record {
	var records []record
	var errorText strings.Builder
	flush := func() {
		records = append(records, errorRecords(errorText.String())...)
		errorText.Reset()
	}
	for _, p := range pieces(data) {
		if p.stream == "Error" || p.stream == native && formatted.MatchString(p.text) {
			errorText.WriteString(p.text)
			if !strings.HasSuffix(p.text, "\n") {
				errorText.WriteByte('\n')
			}
			continue
		}
		flush()
		if text := tidy(p.text); text != "" && p.stream != "progress" {
			records = append(records, record{stream: p.stream, text: text})
		}
	}
	flush()
	return records
}

// formatted matches errors that a PowerShell wrote as plain text, as some do when told to.
var formatted = regexp.MustCompile(`(?m)^\s+\+ CategoryInfo |^Line \|`)

// tidy removes colours, other controls, and space around and at the ends of lines.
func tidy(text string) string {
	var lines []string
	for line := range strings.Lines(colours.ReplaceAllString(text, "")) {
		lines = append(lines, strings.TrimRight(strings.Map(visible, line), " "))
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

var colours = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")

func visible(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case r < ' ' || r == 0x7f:
		return -1
	}
	return r
}

const header = "#< CLIXML"

// pieces splits standard error into the elements of its documents and the text between them.
func pieces(data []byte) []piece {
	var all []piece
	for {
		start := bytes.Index(data, []byte("<Objs"))
		if start < 0 {
			return between(all, data)
		}
		all = between(all, data[:start])
		length, inside := document(data[start:])
		all = append(all, inside...)
		data = data[start+length:]
	}
}

// between adds text that stands outside of documents, without their headers.
func between(all []piece, text []byte) []piece {
	var kept []string
	for line := range strings.Lines(strings.ToValidUTF8(string(text), "\uFFFD")) {
		if bare := strings.TrimRight(line, "\r\n"); bare != header {
			kept = append(kept, bare)
		}
	}
	if joined := strings.Join(kept, "\n"); strings.TrimSpace(joined) != "" {
		all = append(all, piece{native, joined})
	}
	return all
}

// document reads one <Objs> element and says how long it is. Of a damaged one, what stands before the damage.
func document(data []byte) (length int, inside []piece) {
	if end := bytes.Index(data, []byte("</Objs>")); end >= 0 {
		data = data[:end+len("</Objs>")]
	} else if next := bytes.Index(data[1:], []byte(header)); next >= 0 {
		data = data[:1+next]
	}
	decoder := xml.NewDecoder(bytes.NewReader(legal(data)))
	decoder.Strict = false
	if _, err := decoder.Token(); err != nil {
		return len(data), nil
	}
	for {
		token, err := decoder.Token()
		if err != nil {
			return len(data), inside
		}
		switch token := token.(type) {
		case xml.StartElement:
			e, err := element(decoder, token)
			if e.text != "" {
				inside = append(inside, e)
			}
			if err != nil {
				return len(data), inside
			}
		case xml.CharData:
			if strings.TrimSpace(string(token)) != "" {
				inside = append(inside, piece{native, string(token)})
			}
		}
	}
}

// legal replaces what PowerShell writes although XML forbids it.
func legal(data []byte) []byte {
	data = bytes.ReplaceAll(data, []byte("&#xFFFE;"), []byte("_xFFFE_"))
	data = bytes.ReplaceAll(data, []byte("&#xFFFF;"), []byte("_xFFFF_"))
	return bytes.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return utf8.RuneError
		}
		return r
	}, bytes.ToValidUTF8(data, []byte("\uFFFD")))
}

// element reads a string, or of an object its ToString: of the object itself, or of the first one inside, which for
// information is the message.
func element(decoder *xml.Decoder, start xml.StartElement) (piece, error) {
	p := piece{stream: native}
	for _, a := range start.Attr {
		if a.Name.Local == "S" {
			p.stream = a.Value
		}
	}
	var text strings.Builder
	taking, taken := start.Name.Local == "S", start.Name.Local == "S"
	for depth := 1; depth > 0; {
		token, err := decoder.Token()
		if err != nil {
			p.text = unescape(text.String())
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return p, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			depth++
			if token.Name.Local == "ToString" && !taken {
				taking, taken = true, true
			}
		case xml.EndElement:
			depth--
			if token.Name.Local == "ToString" {
				taking = false
			}
		case xml.CharData:
			if taking {
				text.Write(token)
			}
		}
	}
	p.text = unescape(text.String())
	return p, nil
}

var escape = regexp.MustCompile(`(?:_x[0-9A-Fa-f]{4}_)+`)

// unescape decodes _xHHHH_, which are UTF-16 units: two of them may make one character.
func unescape(text string) string {
	return escape.ReplaceAllStringFunc(text, func(run string) string {
		var units []uint16
		for i := 0; i < len(run); i += len("_x0000_") {
			unit, _ := strconv.ParseUint(run[i+2:i+6], 16, 16)
			units = append(units, uint16(unit))
		}
		return string(utf16.Decode(units))
	})
}
