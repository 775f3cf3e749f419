package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestConsoleSeesHowRunsEnd(t *testing.T) {
	t.Parallel()
	var file bytes.Buffer
	c := newConsole(&file)
	print := func(text string) { fmt.Fprint(c, text) }
	print("[2026-11-21T02:00:00] Executing 'Functions.ftpscan' (Reason='', Id=1)\n")
	if n := c.runs("ftpscan"); n != 0 {
		t.Errorf("%d runs while the first one goes on", n)
	}
	print("Executed 'Functions.ftpscan' (Failed, Id=1, Dur") // the host may write a line in pieces
	print("ation=3ms)\nExecuted 'Functions.ftpfetch' (Succeeded, Id=2, Duration=3ms)\n")
	if succeeded, err := c.awaitRun(t.Context(), "ftpscan", 0); succeeded || err != nil {
		t.Errorf("first run: succeeded %v, %v", succeeded, err)
	}
	go print("Executed 'Functions.ftpscan' (Succeeded, Id=3, Duration=3ms)\n")
	if succeeded, err := c.awaitRun(t.Context(), "ftpscan", 1); !succeeded || err != nil {
		t.Errorf("second run: succeeded %v, %v", succeeded, err)
	}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := c.awaitRun(gone, "ftpscan", 2); err == nil || err.Error() != "enough" {
		t.Errorf("waiting for a run that does not come: %v", err)
	}
	if bytes.Count(file.Bytes(), []byte("\n")) != 4 {
		t.Errorf("the file holds %q", file.String())
	}
}
