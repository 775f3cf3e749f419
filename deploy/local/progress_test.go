package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestPlainLinesEndWithTheLastTally(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := newProgress(&out)
	for n := range int64(1000) {
		p.show(tally{files: n, bytes: n * 1e6, plannedFiles: 999, plannedBytes: 999e6})
	}
	p.end()
	if n := strings.Count(out.String(), "\n"); n > 10 {
		t.Errorf("%d lines for a moment of work", n)
	}
	if !strings.HasSuffix(out.String(), "  999 of 999 files, 999.0 MB of 999.0 MB\n") {
		t.Errorf("the end is missing: %q", out.String())
	}
}
