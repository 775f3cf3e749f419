package ftpfetch_test

import (
	"strings"
	"testing"

	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
)

func TestStoredFilesAreHandedOn(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	r.h.Deliver = r.Account().Queue(r.Queue.Name() + "-deliver")
	r.Put(t, "/a.csv", "1\n")
	r.Put(t, "/empty.csv", "")
	stored, held := r.batch(t, "/a.csv"), r.batch(t, "/empty.csv")
	if err := r.deliver(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	if err := r.deliver(t.Context(), held); err == nil {
		t.Fatal("the empty file was not held")
	}
	messages, err := r.h.Deliver.Peek(t.Context(), 32)
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, want the one of what is stored; %v", len(messages), err)
	}
	if got, want := string(messages[0].Body), `{"version":1,"manifest":"`+stored.ManifestName()+`"}`; got != want {
		t.Errorf("message %s, want %s", got, want)
	}
}

func TestNobodyIsToldWhereNothingIsDelivered(t *testing.T) {
	t.Parallel()
	r := setup(t, simftp.Options{})
	r.Put(t, "/a.csv", strings.Repeat("1\n", 10))
	if err := r.deliver(t.Context(), r.batch(t, "/a.csv")); err != nil {
		t.Fatal(err)
	}
	r.ExpectEmpty(t, "ftpdeliver")
}
