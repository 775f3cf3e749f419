//go:build linux

package ftpfetch_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpfetch"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftppulltest"
	"github.com/nightshift-hq/nightshift/pkg/sim/azurite"
	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
)

// TestAFullDiskLosesNothing runs the storage emulator on a disk that is too small, and then gives it room.
func TestAFullDiskLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("a small disk needs root: %v", err)
		}
		t.Skipf("a full disk is not tested: it needs root: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	emulator, err := azurite.Start(t.Context(), azurite.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(emulator.Stop)
	w := ftppulltest.New(t, emulator.ConnectionString(), simftp.Options{})
	r := room{w, &ftpfetch.Handler{
		Config: ftpfetch.Config{Source: "/", Server: "ftp://test", Connections: 2, After: ftpfetch.Delete},
		FTP:    w.Pool, Blobs: w.Files, State: w.State, Queue: w.Queue, Now: time.Now,
	}}
	var names []string
	for i := range 8 {
		names = append(names, fmt.Sprintf("/f%d", i))
		r.Put(t, names[i], strings.Repeat(fmt.Sprint(i), 4<<20))
	}
	b := r.batch(t, names...)
	if err := r.deliver(t.Context(), b); err == nil {
		t.Fatal("no error although the disk is full")
	}
	for _, name := range names {
		if _, err := r.FTP.FS().Stat(name); err != nil {
			t.Fatalf("a source was deleted: %v", err)
		}
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=200m"); err != nil {
		t.Fatal(err)
	}
	if err := r.redeliver(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got := r.manifest(t, b).Count(drop.Stored); got != len(names) {
		t.Errorf("%d files stored", got)
	}
	for i, name := range names {
		if got, _ := r.Read(t, "in/today"+name); got != strings.Repeat(fmt.Sprint(i), 4<<20) {
			t.Errorf("%s: %d bytes", name, len(got))
		}
	}
}
