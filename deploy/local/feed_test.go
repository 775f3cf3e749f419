package main

import (
	"bytes"
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheSameDropEachTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	first, err := sow(dir, tonight(now, 1_000_000))
	if err != nil {
		t.Fatal(err)
	}
	second, err := sow(t.TempDir(), tonight(now, 1_000_000))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(first, second) {
		t.Error("two drops of one night differ")
	}
	for _, s := range first {
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(s.path)))
		if err != nil || info.Size() != s.size {
			t.Errorf("%s: %v, recorded as %d bytes", s.path, err, s.size)
		}
	}
}

// The guard is to hold tonight's contractors because they are a broken upload of what arrived whole the night before.
func TestTheCutFileIsTheBeginningOfAGoodOne(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)
	before, after := written(t, yesterday(now)[0]), []byte(nil)
	for _, f := range tonight(now, 0) {
		if f.fate == held {
			after = written(t, f)
		}
	}
	if len(after) == 0 || len(after) > len(before)/2 || !bytes.HasPrefix(before, after) || bytes.HasSuffix(after, []byte("\n")) {
		t.Errorf("%d bytes of %d: want less than half, cut within a line", len(after), len(before))
	}
}

func TestFeedsAreWhatTheySay(t *testing.T) {
	t.Parallel()
	records := csv.NewReader(bytes.NewReader(written(t, feed{write: employees(100, 1)})))
	records.Comma = ';'
	if rows, err := records.ReadAll(); err != nil || len(rows) != 101 {
		t.Errorf("employees: %d rows, %v", len(rows), err)
	}
	for line := range bytes.Lines(written(t, feed{write: payroll(100)})) {
		if len(line) != 62 || !strings.ContainsRune("HDT", rune(line[0])) {
			t.Errorf("payroll: record of %d bytes: %q", len(line), line)
		}
	}
	if n := len(written(t, feed{write: history(12_345)})); n != 12_345 {
		t.Errorf("history: %d bytes, want 12345", n)
	}
	for line := range strings.Lines(string(written(t, feed{write: ldif(50)}))) {
		if strings.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
			t.Errorf("ldif: not plain ASCII: %q", line)
		}
	}
}

func written(t *testing.T, f feed) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := f.write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
