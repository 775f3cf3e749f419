package ftpfetch

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"

	"golang.org/x/text/encoding/unicode"
)

// How much of a file's two ends is kept for the guard's rules.
const ends = 4 << 10

// tally takes in a file's bytes in order and knows their sums, their lines and their two ends. It can be saved between
// invocations and taken up again.
type tally struct {
	total       int64
	lines       int64 // line feeds
	text        bool  // no NUL among the first bytes, or a UTF-16 byte order mark
	head, tail  []byte
	sha256, md5 hash.Hash
}

func newTally() *tally { return &tally{text: true, sha256: sha256.New(), md5: md5.New()} }

// add takes in the next bytes.
func (t *tally) add(p []byte) {
	t.sha256.Write(p)
	t.md5.Write(p)
	t.total += int64(len(p))
	t.lines += int64(bytes.Count(p, []byte{'\n'}))
	if room := ends - len(t.head); room > 0 {
		t.head = append(t.head, p[:min(room, len(p))]...)
		t.text = t.utf16() || bytes.IndexByte(t.head, 0) < 0
	}
	t.tail = append(t.tail, p[max(0, len(p)-ends):]...)
	t.tail = t.tail[max(0, len(t.tail)-ends):]
}

func (t *tally) utf16() bool {
	return bytes.HasPrefix(t.head, []byte{0xff, 0xfe}) || bytes.HasPrefix(t.head, []byte{0xfe, 0xff})
}

func (t *tally) sumSHA256() string { return hex.EncodeToString(t.sha256.Sum(nil)) }

func (t *tally) sumMD5() []byte { return t.md5.Sum(nil) }

func (t *tally) firstLine() string {
	line, _, _ := strings.Cut(t.decode(t.head), "\n")
	return strings.TrimSuffix(line, "\r")
}

func (t *tally) lastLine() string {
	text := strings.TrimRight(t.decode(t.tail), " \t\r\n")
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// decode turns one end of the file into UTF-8. Other encodings than UTF-16 are taken as they are: rules match on bytes.
func (t *tally) decode(end []byte) string {
	if !t.utf16() {
		return string(bytes.TrimPrefix(end, []byte{0xef, 0xbb, 0xbf}))
	}
	order := unicode.LittleEndian
	if t.head[0] == 0xfe {
		order = unicode.BigEndian
	}
	end = bytes.TrimPrefix(end, t.head[:2])
	if len(end)%2 == 1 {
		end = end[1:]
	}
	text, err := unicode.UTF16(order, unicode.IgnoreBOM).NewDecoder().Bytes(end)
	if err != nil {
		return string(end)
	}
	return string(text)
}

// tallyState is a tally at rest, with the inner state of its sums.
type tallyState struct {
	Total  int64  `json:"total"`
	Lines  int64  `json:"lines"`
	Text   bool   `json:"text"`
	Head   []byte `json:"head"`
	Tail   []byte `json:"tail"`
	SHA256 []byte `json:"sha256"`
	MD5    []byte `json:"md5"`
}

func (t *tally) save() (tallyState, error) {
	s := tallyState{Total: t.total, Lines: t.lines, Text: t.text, Head: t.head, Tail: t.tail}
	var err error
	if s.SHA256, err = t.sha256.(encoding.BinaryMarshaler).MarshalBinary(); err != nil {
		return s, fmt.Errorf("save SHA-256: %w", err)
	}
	if s.MD5, err = t.md5.(encoding.BinaryMarshaler).MarshalBinary(); err != nil {
		return s, fmt.Errorf("save MD5: %w", err)
	}
	return s, nil
}

func (s tallyState) restore() (*tally, error) {
	t := newTally()
	t.total, t.lines, t.text, t.head, t.tail = s.Total, s.Lines, s.Text, s.Head, s.Tail
	if err := t.sha256.(encoding.BinaryUnmarshaler).UnmarshalBinary(s.SHA256); err != nil {
		return nil, fmt.Errorf("restore SHA-256: %w", err)
	}
	if err := t.md5.(encoding.BinaryUnmarshaler).UnmarshalBinary(s.MD5); err != nil {
		return nil, fmt.Errorf("restore MD5: %w", err)
	}
	return t, nil
}
