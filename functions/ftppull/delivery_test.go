package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/config"
	"github.com/nightshift-hq/nightshift/functions/ftppull/delivertest"
	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpdeliver"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpfetch"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
	"github.com/nightshift-hq/nightshift/pkg/storage"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

// windows is a simulated MIM server and a client for it.
func windows(t *testing.T) (*simwinrm.Server, *winrm.Client) {
	t.Helper()
	server, err := simwinrm.Start(simwinrm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	delivertest.Emulate(server)
	client, err := winrm.New(winrm.Config{Server: server.Addr(), Username: "user", Password: settings.NewSecret("password"), Pin: server.Pin()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(context.Background()) })
	return server, client
}

// TestFromFTPToTheServer: a night's files, one of them held until it is released, end in the dated folder.
func TestFromFTPToTheServer(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	server, client := windows(t)
	n.Put(t, "/empty.csv", "")
	n.fetch.Config.After = ftpfetch.Keep
	n.fetch.Config.Guard.HoldEmpty = true
	n.fetch.Deliver = n.Account().Queue(n.Queue.Name() + "-deliver")
	deliver := &ftpdeliver.Handler{Config: ftpdeliver.Config{Target: `C:\in`, Via: ftpdeliver.Link}, Server: client, Blobs: n.Files, State: n.State, Now: time.Now}

	if err := n.scan.Handle(t.Context(), customhandler.Timer{Manual: true, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	var held []drop.Batch
	for batches := n.Batches(t); len(batches) > 0; batches = n.Batches(t) {
		for _, b := range batches {
			if err := n.fetch.Handle(t.Context(), customhandler.Message[drop.Batch]{Data: b}); customhandler.Outcome(err) == "hold" {
				held = append(held, b)
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(held) != 1 {
		t.Fatalf("held: %+v", held)
	}
	deliverAll(t, n.fetch.Deliver, deliver)
	dated := `C:\in\` + time.Now().UTC().Format("2006-01-02")
	for name, content := range n.want {
		if got, err := server.Drive().ReadFile(dated + `\` + name); err != nil || string(got) != content {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(content), err)
		}
	}
	if _, err := server.Drive().Stat(dated + `\empty.csv`); err == nil {
		t.Error("what is held was delivered")
	}
	if err := n.fetch.Handle(t.Context(), customhandler.Message[drop.Batch]{Data: held[0], Again: true, Released: &customhandler.Release{}}); err != nil {
		t.Fatal(err)
	}
	deliverAll(t, n.fetch.Deliver, deliver)
	if _, err := server.Drive().Stat(dated + `\empty.csv`); err != nil {
		t.Errorf("what was released was not delivered: %v", err)
	}
}

func deliverAll(t *testing.T, queue *storage.Queue, h *ftpdeliver.Handler) {
	t.Helper()
	messages, err := queue.Receive(t.Context(), 32, time.Minute)
	if err != nil || len(messages) == 0 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	for _, m := range messages {
		var d struct {
			Version int
			drop.Delivery
		}
		if err := json.Unmarshal(m.Body, &d); err != nil || d.Version != d.MessageVersion() {
			t.Fatalf("%s: %v", m.Body, err)
		}
		if err := h.Handle(t.Context(), customhandler.Message[drop.Delivery]{Data: d.Delivery}); err != nil {
			t.Fatal(err)
		}
		if err := queue.Delete(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

func TestChecksOfTheServer(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	server, client := windows(t)
	try := func(s config.Settings) (said string) {
		for _, c := range deliveryChecks(&s, client, n.Files) {
			detail, err := c.Try(t.Context())
			if err != nil {
				detail += "FAILS: " + err.Error()
			}
			said += c.Name + ": " + detail + "\n"
		}
		return said
	}
	expect := func(said string, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(said, text) {
				t.Errorf("want %q in:\n%s", text, said)
			}
		}
	}
	expect(try(config.Settings{TargetDirectory: `C:\in`, Via: ftpdeliver.Link}), "logged in as user", "can be written", "the server read a blob")
	expect(try(config.Settings{TargetDirectory: `X:\in`, Via: ftpdeliver.Stdin}), "FAILS: there is no drive for X:")
	server.Egress(false)
	expect(try(config.Settings{TargetDirectory: `C:\in`, Via: ftpdeliver.Link}), "way to storage: FAILS: Unable to connect")
	server.Script(simwinrm.Fault{Action: "Create", Kind: simwinrm.SOAP, Code: 5})
	server.Restart()
	expect(try(config.Settings{TargetDirectory: `C:\in`, Via: ftpdeliver.Stdin}), "FAILS: ", "may not open a remote shell")
	if _, err := n.Files.Stat(t.Context(), checkBlob); err == nil {
		t.Error("the blob of the check stays")
	}
}

func TestMessagesWaitForAServer(t *testing.T) {
	t.Parallel()
	n := newNight(t)
	h, err := delivery(&config.Settings{}, n.Files, n.State)
	if err != nil {
		t.Fatal(err)
	}
	m := drop.NewManifest(drop.Batch{Folder: "in/today"}, "", nil, time.Now())
	if _, err := n.Files.Write(t.Context(), m.Name(), m.Bytes(), storage.Cond{}, storage.Meta{}); err != nil {
		t.Fatal(err)
	}
	err = h.Handle(t.Context(), customhandler.Message[drop.Delivery]{Data: drop.Delivery{Manifest: m.Name()}})
	if customhandler.Outcome(err) != "retry" || !strings.Contains(err.Error(), "MIMSyncServer") {
		t.Errorf("%v", err)
	}
}
