package ftpfetch

import (
	"errors"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftppulltest"
	"github.com/nightshift-hq/nightshift/pkg/sim/azurite"
	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
)

func TestWhatIsUnderWayMayEndWhenTheTimeIsUp(t *testing.T) {
	t.Parallel()
	emulator, err := azurite.Start(t.Context(), azurite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(emulator.Stop)
	w := ftppulltest.New(t, emulator.ConnectionString(), simftp.Options{})
	h := &Handler{Config: Config{Source: "/", Connections: 2, After: Keep}, FTP: w.Pool, Blobs: w.Files, State: w.State, Queue: w.Queue, Now: time.Now}
	batch := drop.Batch{Run: "run", Folder: "in/today"}
	for _, name := range []string{"/a", "/b", "/c"} {
		w.Put(t, name, "content")
		batch.Files = append(batch.Files, w.File(t, name))
	}
	late := job{Handler: h, batch: batch, softEnd: time.Now().Add(-time.Second)}
	if _, err := late.store(t.Context()); !errors.Is(err, errContinue) {
		t.Fatalf("error %v, want %v", err, errContinue)
	}
	if got := w.Names(t); len(got) != 1 {
		t.Fatalf("stored %v, want the one file that was begun", got)
	}
	inTime := job{Handler: h, batch: batch, again: true, softEnd: time.Now().Add(time.Hour)}
	if _, err := inTime.store(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.Names(t); len(got) != 3 {
		t.Errorf("stored: %v", got)
	}
}
