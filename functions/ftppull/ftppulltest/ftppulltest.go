// Package ftppulltest gives the tests of ftppull's rooms a world of their own: an FTP server, and containers and a queue in a
// shared storage emulator.
package ftppulltest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/pkg/ftp"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

// World is one test's outside world.
type World struct {
	FTP   *simftp.Server
	Pool  *ftp.Pool
	Files *storage.Container
	State *storage.Container
	Queue *storage.Queue

	account *storage.Account
}

// New makes a world whose storage is reached by the connection string.
func New(tb testing.TB, connection string, options simftp.Options) *World {
	tb.Helper()
	server, err := simftp.Start(options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(server.Stop)
	account, err := storage.Open(storage.Config{ConnectionString: settings.NewSecret(connection)}, storage.WithRetries(2, time.Millisecond))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(account.Close)
	w := &World{FTP: server, account: account}
	w.Pool = w.Client(tb, "password")
	suffix := strings.ToLower(rand.Text())[:12]
	w.Files = account.Container("files-" + suffix)
	w.State = account.Container("state-" + suffix)
	w.Queue = account.Queue("queue-" + suffix)
	for _, create := range []func(context.Context) error{w.Files.Create, w.State.Create, w.Queue.Create} {
		if err := create(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
	return w
}

// Account is the storage account of the world.
func (w *World) Account() *storage.Account { return w.account }

// Client is a pool of four connections that logs in with the password.
func (w *World) Client(tb testing.TB, password string) *ftp.Pool {
	pool := ftp.NewPool(ftp.Config{
		Server: w.FTP.Addr(), Username: "user", Password: settings.NewSecret(password), Pin: w.FTP.Pin(),
		IdleTimeout: 5 * time.Second,
	}, 4)
	tb.Cleanup(pool.Close)
	return pool
}

// Put writes a file on the FTP server, as of an hour ago.
func (w *World) Put(tb testing.TB, name, content string) {
	tb.Helper()
	if err := w.FTP.WriteFile(name, []byte(content), time.Now().Add(-time.Hour)); err != nil {
		tb.Fatal(err)
	}
}

// File is how a scan would see a file on the server.
func (w *World) File(tb testing.TB, name string) drop.File {
	tb.Helper()
	info, err := w.FTP.FS().Stat(name)
	if err != nil {
		tb.Fatal(err)
	}
	return drop.File{Path: strings.TrimPrefix(name, "/"), Size: info.Size(), ModTime: info.ModTime().UTC().Truncate(time.Second), Precise: true}
}

// Read is the content of a blob; false when there is none.
func (w *World) Read(tb testing.TB, name string) (string, bool) {
	tb.Helper()
	r, _, err := w.Files.Open(tb.Context(), name)
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

// Names lists the blobs in the container, without manifests.
func (w *World) Names(tb testing.TB) []string {
	tb.Helper()
	var names []string
	for p, err := range w.Files.List(tb.Context(), "") {
		if err != nil {
			tb.Fatal(err)
		}
		if !strings.Contains(p.Name, "/_manifests/") {
			names = append(names, p.Name)
		}
	}
	return names
}

// Batches takes the messages that are visible in the queue.
func (w *World) Batches(tb testing.TB) []drop.Batch {
	tb.Helper()
	var batches []drop.Batch
	for {
		messages, err := w.Queue.Receive(tb.Context(), 32, time.Minute)
		if err != nil {
			tb.Fatal(err)
		}
		if len(messages) == 0 {
			return batches
		}
		for _, m := range messages {
			var b drop.Batch
			if err := json.Unmarshal(m.Body, &b); err != nil {
				tb.Fatal(err)
			}
			batches = append(batches, b)
			if err := w.Queue.Delete(tb.Context(), m); err != nil {
				tb.Fatal(err)
			}
		}
	}
}

// ExpectEmpty fails the test unless the queue is empty or does not exist.
func (w *World) ExpectEmpty(tb testing.TB, queue string) {
	tb.Helper()
	n, err := w.account.Queue(queue).Len(tb.Context())
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		tb.Fatal(err)
	}
	if n > 0 {
		messages, _ := w.account.Queue(queue).Peek(tb.Context(), 32)
		for _, m := range messages {
			tb.Errorf("in %s: %s", queue, m.Body)
		}
	}
}
