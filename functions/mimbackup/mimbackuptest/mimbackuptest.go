// Package mimbackuptest gives the tests of mimbackup's rooms, and `make run`, a world of their own: a Windows server with a MIM
// installation, emulations of the scripts that mimbackup sends there, and containers and a queue in a storage emulator.
//
// The emulations keep the scripts' contract in JSON, write real files to the simulated drive and send real requests to storage.
// Each is bound to the text that it stands for: a script that has changed since is refused until its emulation was looked at.
package mimbackuptest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nightshift-hq/nightshift/functions/mimbackup/backup"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/sim/azurite"
	simmim "github.com/nightshift-hq/nightshift/pkg/sim/mim"
	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
	"github.com/nightshift-hq/nightshift/pkg/storage"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

// Canary is the password of the simulated server: no log, record or request may show it.
const Canary = "canary-Passw0rd!"

// Main runs a package's tests with a storage emulator and then looks for goroutines left behind. Its result is for os.Exit.
func Main(m *testing.M, emulator **azurite.Server) int {
	started, err := azurite.Start(context.Background(), azurite.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	*emulator = started
	code := m.Run()
	started.Stop()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// World is one test's outside world.
type World struct {
	Windows *simwinrm.Server
	MIM     *MIM
	Client  *winrm.Client
	Backups *storage.Container
	State   *storage.Container
	Queue   *storage.Queue

	account *storage.Account
}

// New makes a world whose storage is reached by the connection string. Its MIM is small, so that tests are quick.
func New(tb testing.TB, connection string) *World {
	tb.Helper()
	w := &World{MIM: NewMIM(simmim.New(simmim.Options{Seed: 1, Server: "MIM01", Agents: 4, AgentBytes: 20 << 10, PortalSize: 20}))}
	var err error
	if w.Windows, err = simwinrm.Start(simwinrm.Options{Accounts: map[string]string{"svc": Canary}}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(w.Windows.Stop)
	w.MIM.Install(w.Windows)
	w.Client = w.NewClient(tb, Canary)
	if w.account, err = storage.Open(storage.Config{ConnectionString: settings.NewSecret(connection)}, storage.WithRetries(2, time.Millisecond)); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(w.account.Close)
	suffix := strings.ToLower(rand.Text())[:12]
	w.Backups = w.account.Container("backups-" + suffix)
	w.State = w.account.Container("state-" + suffix)
	w.Queue = w.account.Queue("queue-" + suffix)
	for _, create := range []func(context.Context) error{w.Backups.Create, w.State.Create, w.Queue.Create} {
		if err := create(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
	return w
}

// NewClient logs in to the server with the password.
func (w *World) NewClient(tb testing.TB, password string) *winrm.Client {
	tb.Helper()
	client, err := winrm.New(winrm.Config{Server: w.Windows.URL(), Username: "svc", Password: settings.NewSecret(password), Pin: w.Windows.Pin(),
		ConnectTimeout: 10 * time.Second, OperationTimeout: 5 * time.Second})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { client.Close(context.Background()) })
	return client
}

// Messages takes the messages that are visible in the queue.
func (w *World) Messages(tb testing.TB) []backup.Shipped {
	tb.Helper()
	var all []backup.Shipped
	for {
		messages, err := w.Queue.Receive(tb.Context(), 32, time.Minute)
		if err != nil {
			tb.Fatal(err)
		}
		if len(messages) == 0 {
			return all
		}
		for _, m := range messages {
			var s backup.Shipped
			if err := json.Unmarshal(m.Body, &s); err != nil {
				tb.Fatal(err)
			}
			all = append(all, s)
			if err := w.Queue.Delete(tb.Context(), m); err != nil {
				tb.Fatal(err)
			}
		}
	}
}

// Read is the content of a blob among the backups; false when there is none.
func (w *World) Read(tb testing.TB, name string) (string, bool) {
	tb.Helper()
	r, _, err := w.Backups.Open(tb.Context(), name)
	if errors.Is(err, storage.ErrNotFound) {
		return "", false
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data), true
}

// Names lists the blobs among the backups.
func (w *World) Names(tb testing.TB) []string {
	tb.Helper()
	var names []string
	for p, err := range w.Backups.List(tb.Context(), "") {
		if err != nil {
			tb.Fatal(err)
		}
		names = append(names, p.Name)
	}
	return names
}

// Folders lists what lies in the backup folder of the server.
func (w *World) Folders(tb testing.TB) []string {
	tb.Helper()
	entries, err := w.Windows.Drive().ReadDir(`C:\Backup`)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		tb.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
