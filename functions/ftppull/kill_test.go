//go:build linux

package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/ftppulltest"
	"github.com/nightshift-hq/nightshift/pkg/sim/azurite"
	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
)

var kills = flag.Int("kills", 50, "how often TestKilledAtRandom kills the handler")

// killer ends the handler with SIGKILL at random commands of its FTP sessions, and a moment later at random, so that it dies
// while it lists, reads, stores and commits.
type killer struct {
	handler  string // path of the executable
	armed    atomic.Bool
	left     atomic.Int64
	commands atomic.Int64
	next     atomic.Int64
}

func (k *killer) onCommand(string, string) {
	if !k.armed.Load() || k.commands.Add(1) < k.next.Load() {
		return
	}
	k.next.Store(k.commands.Load() + 1 + rand.Int64N(24))
	time.AfterFunc(time.Duration(rand.Int64N(int64(15*time.Millisecond))), k.kill)
}

func (k *killer) kill() {
	for _, pid := range processesOf(k.handler) {
		if k.left.Add(-1) < 0 {
			k.armed.Store(false)
			return
		}
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// processesOf finds the processes that run an executable.
func processesOf(executable string) (pids []int) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == executable {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	const files = 300
	root := ftppulltest.AppRoot(t)
	k := &killer{handler: filepath.Join(root, "handler")}
	k.left.Store(int64(*kills))
	emulator, err := azurite.Start(t.Context(), azurite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(emulator.Stop)
	w := ftppulltest.New(t, emulator.ConnectionString(), simftp.Options{OnCommand: k.onCommand})
	want := map[string]string{}
	for i := range files {
		name := fmt.Sprintf("hr/%03d.csv", i)
		content := strings.Repeat(fmt.Sprintf("%d,", i), 1+rand.IntN(4000))
		if i%100 == 0 {
			content = strings.Repeat(content, 1+(5<<20)/len(content)) // over one block
		}
		w.Put(t, "/"+name, content)
		want[name] = content
	}
	host := ftppulltest.StartHost(t, root, []string{
		"AzureWebJobsStorage=" + emulator.ConnectionString(), "FTPContainer=" + w.Files.Name(), "FTPServer=" + w.FTP.Addr(),
		"FTPUsername=user", "FTPPassword=password", "FTPCertificatePin=" + w.FTP.Pin(), "FTPTargetDirectory=in", "FTPDepth=1",
		"FTPSettle=0s", "FTPIdleTimeout=10s", "AzureFunctionsJobHost__extensions__queues__visibilityTimeout=00:00:01",
	})
	k.armed.Store(true)
	for deadline := time.Now().Add(10 * time.Minute); len(w.Names(t)) < files && time.Now().Before(deadline); {
		host.Fire("ftpscan") // fails while the handler is dead, or another scan runs; a later one will not
		<-time.After(time.Second)
	}
	k.armed.Store(false)
	if got := k.left.Load(); got > 0 {
		t.Errorf("only %d of %d kills", int64(*kills)-got, *kills)
	}
	arrived := map[string]int{}
	for _, name := range w.Names(t) {
		_, path, _ := strings.Cut(strings.TrimPrefix(name, "in/"), "/")
		arrived[path]++
		if got, _ := w.Read(t, name); got != want[path] {
			t.Errorf("%s: %d bytes, or others than the %d of its source", name, len(got), len(want[path]))
		}
	}
	for path := range want {
		if arrived[path] != 1 {
			t.Errorf("%s arrived %d times", path, arrived[path])
		}
	}
	w.ExpectEmpty(t, "ftpfetch-poison")
	if t.Failed() {
		t.Logf("log:\n%s", tail(host.Log(), 20_000))
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }
