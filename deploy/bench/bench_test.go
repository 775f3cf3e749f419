package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
)

func TestTableSaysWhatMissesItsLimit(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := printTable(&out, []row{
		{what: "at the limit", measured: 1.3, limit: 1.3, unit: "x", detail: "a, b"},
		{what: "above it", measured: 1.31, limit: 1.3, unit: "x"},
	})
	lines := strings.Split(out.String(), "\n")
	if err != nil || !strings.Contains(lines[1], "pass  a, b") || !strings.Contains(lines[2], "FAIL") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestOneSlowRunDoesNotMoveTheMedian(t *testing.T) {
	t.Parallel()
	if got := median([]time.Duration{time.Hour, 2, 1}); got != 2 {
		t.Errorf("median %d, want 2", got)
	}
}

func TestQueuePayloadHasTheHostsForm(t *testing.T) {
	t.Parallel()
	payload, err := queuePayload(drop.Batch{Run: "r", Folder: "f", Files: []drop.File{{Path: "a", Size: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	var invocation struct {
		Data     struct{ Batch []byte }
		Metadata struct{ DequeueCount, ID string }
	}
	if err := json.Unmarshal(payload, &invocation); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(invocation.Data.Batch), "{") || invocation.Metadata.DequeueCount != "1" || !strings.HasPrefix(invocation.Metadata.ID, `"`) {
		t.Errorf("payload %s", payload)
	}
}

func TestConnectionPart(t *testing.T) {
	t.Parallel()
	const connection = "AccountName=dev;AccountKey=a+b/c==;BlobEndpoint=http://127.0.0.1:1/dev;"
	for name, want := range map[string]string{"AccountName": "dev", "AccountKey": "a+b/c==", "BlobEndpoint": "http://127.0.0.1:1/dev", "None": ""} {
		if got := connectionPart(connection, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
