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
	byHand := func(id int) {
		print(fmt.Sprintf("02:00:00 INFO  Executing 'Functions.ftpscan' (This function was programmatically called via the host APIs.)  invocation=%d\n", id))
	}
	byHand(1)
	print("Executing 'Functions.ftpscan' (Timer fired)  invocation=7\n") // the schedule comes between
	print("Executed 'Functions.ftpscan' (Succeeded, Duration=1ms)  invocation=7\n")
	if n := c.runs("ftpscan"); n != 0 {
		t.Errorf("%d runs while the first one goes on", n)
	}
	print("Executed 'Functions.ftpscan' (Failed, Dur") // the host may write a line in pieces
	print("ation=3ms): a reason\nof two lines  invocation=1\nExecuted 'Functions.ftpfetch' (Succeeded, Duration=3ms)  invocation=2\n")
	byHand(3)
	if succeeded, err := c.awaitRun(t.Context(), "ftpscan", 0); succeeded || err != nil {
		t.Errorf("first run: succeeded %v, %v", succeeded, err)
	}
	go print("Executed 'Functions.ftpscan' (Succeeded, Duration=3ms)  invocation=3\n")
	if succeeded, err := c.awaitRun(t.Context(), "ftpscan", 1); !succeeded || err != nil {
		t.Errorf("second run: succeeded %v, %v", succeeded, err)
	}
	gone, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := c.awaitRun(gone, "ftpscan", 2); err == nil || err.Error() != "enough" {
		t.Errorf("waiting for a run that does not come: %v", err)
	}
	if bytes.Count(file.Bytes(), []byte("\n")) != 8 {
		t.Errorf("the file holds %q", file.String())
	}
}
