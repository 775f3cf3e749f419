package ftpdeliver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/nightshift-hq/nightshift/functions/ftppull/drop"
	"github.com/nightshift-hq/nightshift/functions/ftppull/ftpdeliver"
	"github.com/nightshift-hq/nightshift/pkg/customhandler"
	"github.com/nightshift-hq/nightshift/pkg/customhandler/customhandlertest"
	"github.com/nightshift-hq/nightshift/pkg/settings"
	"github.com/nightshift-hq/nightshift/pkg/sim/storagefault"
	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
	"github.com/nightshift-hq/nightshift/pkg/storage"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

func TestFullDisk(t *testing.T) {
	both(t, func(t *testing.T, via ftpdeliver.Via) {
		r := setup(t, via, simwinrm.Options{})
		m := r.manifest(noon, some())
		for _, free := range []int64{0, 2 << 20} {
			r.mim.Drive().SetFree(free)
			want(t, r.deliver(t.Context(), m), "retry", "disk-full")
			r.absent(dated + `\_manifests`)
		}
		r.mim.Drive().SetFree(-1)
		if err := r.deliver(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		r.verify(m, some())
	})
}

// TestDiskThatFillsMeanwhile: what the drive said to have is gone when it is needed.
func TestDiskThatFillsMeanwhile(t *testing.T) {
	t.Parallel()
	r := setup(t, ftpdeliver.Link, simwinrm.Options{})
	m := r.manifest(noon, some())
	fault := r.proxy.Inject(storagefault.Fault{Match: storagefault.On("Get Blob", r.Files.Name()+"/"+folder+"/big.bin"), Times: 1, Effect: func(_ *storagefault.Proxy, _ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		r.mim.Drive().SetFree(1 << 20)
		return forward()
	}})
	want(t, r.deliver(t.Context(), m), "retry", "disk-full")
	fault.Remove()
	r.mim.Drive().SetFree(-1)
	if err := r.deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	r.verify(m, some())
}

func TestFileInUse(t *testing.T) {
	both(t, func(t *testing.T, via ftpdeliver.Via) {
		r := setup(t, via, simwinrm.Options{})
		m := r.manifest(noon, some())
		release := r.mim.Drive().Hold(dated + `\a.csv.part`) // by another delivery that still runs
		want(t, r.deliver(t.Context(), m), "retry", "sharing-violation", "a.csv.part")
		release()
		if err := r.deliver(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		r.verify(m, some())
	})
}

func TestNoDrive(t *testing.T) {
	both(t, func(t *testing.T, via ftpdeliver.Via) {
		r := setup(t, via, simwinrm.Options{})
		r.h.Config.Target = `X:\Import`
		want(t, r.deliver(t.Context(), r.manifest(noon, some())), "failed", "no-drive", `X:\Import`)
	})
}

func TestServerWithoutAWayToStorage(t *testing.T) {
	t.Parallel()
	r := setup(t, ftpdeliver.Link, simwinrm.Options{})
	m := r.manifest(noon, some())
	r.mim.Egress(false)
	want(t, r.deliver(t.Context(), m), "retry", "storage-unreachable")
	r.h.Config.Via = ftpdeliver.Stdin
	if err := r.deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	r.verify(m, some())
}

func TestStorageThatRefusesOrFails(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		status        int
		code          string
		outcome, text string
	}{
		{403, "AuthenticationFailed", "failed", "sas-refused"},
		{404, "BlobNotFound", "failed", "blob-missing"},
		{400, "InvalidHeaderValue", "failed", "storage-refused"},
		{503, "ServerBusy", "retry", "storage-unreachable"},
	} {
		r := setup(t, ftpdeliver.Link, simwinrm.Options{})
		m := r.manifest(noon, some())
		fault := r.proxy.Inject(storagefault.Fault{Match: storagefault.On("Get Blob", r.Files.Name()+"/"+folder+"/a.csv"), Effect: storagefault.Status(row.status, row.code)})
		err := r.deliver(t.Context(), m)
		want(t, err, row.outcome, row.text, row.code)
		if strings.Contains(fmt.Sprint(err), "sig=") {
			t.Errorf("the link is in %v", err)
		}
		fault.Remove()
		if err := r.deliver(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		r.verify(m, some())
	}
}

func TestDownloadThatBreaksOffIsGoneOnWith(t *testing.T) {
	t.Parallel()
	r := setup(t, ftpdeliver.Link, simwinrm.Options{})
	m := r.manifest(noon, some())
	fault := r.proxy.Inject(storagefault.Fault{Match: storagefault.On("Get Blob", r.Files.Name()+"/"+folder+"/big.bin"), Times: 2, Effect: storagefault.Truncate(2 << 20)})
	if err := r.deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if fault.Hits() != 2 {
		t.Errorf("the fault struck %d times", fault.Hits())
	}
	r.verify(m, some())
}

func TestExpiredLink(t *testing.T) {
	t.Parallel()
	r := setup(t, ftpdeliver.Link, simwinrm.Options{})
	r.manifest(noon, some())
	link, err := r.Files.SAS(t.Context(), folder+"/a.csv", storage.SASRead, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(100 * time.Millisecond) {
		response, err := http.Get(link.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode == http.StatusForbidden {
			break
		}
	}
	http.DefaultClient.CloseIdleConnections()
	_, err = r.h.Server.Run(t.Context(), ftpdeliver.DeliverScript(), ftpdeliver.DeliverParams{Folder: dated, Seconds: 60,
		Files: []ftpdeliver.Fetch{{Path: dated + `\a.csv`, Link: link.Reveal(), Size: 12, SHA256: sum(some()["a.csv"])}}}, nil)
	var thrown *winrm.ScriptError
	if !errors.As(err, &thrown) || thrown.ID != "sas-refused" || strings.Contains(err.Error(), "sig=") {
		t.Errorf("%v", err)
	}
}

// TestRefusedLoginIsNotRepeated: every message of a queue would else count against the account.
func TestRefusedLoginIsNotRepeated(t *testing.T) {
	t.Parallel()
	r := setup(t, ftpdeliver.Link, simwinrm.Options{})
	m := r.manifest(noon, some())
	now := noon
	r.h.Now = func() time.Time { return now }
	r.h.Server = r.client("canary-wrong")
	first := r.deliver(t.Context(), m)
	want(t, first, "retry", "20m")
	right := r.client(password)
	r.h.Server = right
	want(t, r.deliver(t.Context(), m), "retry", "not tried again before 12:15:00")
	if got := len(r.mim.Runs()); got != 0 {
		t.Errorf("%d runs", got)
	}
	now = now.Add(16 * time.Minute)
	if err := r.deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	r.verify(m, some())
	if strings.Contains(first.Error(), "canary") {
		t.Errorf("the password is in %v", first)
	}
}

func TestServerThatCannotBeReached(t *testing.T) {
	t.Parallel()
	r := setup(t, ftpdeliver.Link, simwinrm.Options{})
	m := r.manifest(noon, some())
	for _, fault := range []simwinrm.Fault{
		{Action: "Create", Kind: simwinrm.Drop},
		{Action: "Create", Kind: simwinrm.Status, Code: 503},
		{Action: "Create", Kind: simwinrm.SOAP, Code: 2150859173},
	} {
		r.mim.Script(fault)
		want(t, r.deliver(t.Context(), m), "retry")
	}
	r.mim.Script(simwinrm.Fault{Action: "Create", Kind: simwinrm.SOAP, Code: 5})
	want(t, r.deliver(t.Context(), m), "retry", "20m")
	r.mim.Script()
	if err := r.deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	r.verify(m, some())
}

// TestConnectionLostAtEachRequest breaks every request of a delivery, one at a time: once before the server obeys, once after,
// and once with a restart of its service.
func TestConnectionLostAtEachRequest(t *testing.T) {
	both(t, func(t *testing.T, via ftpdeliver.Via) {
		files := map[string]string{"a.csv": "1", "b.csv": strings.Repeat("2", 5000)}
		calm := setup(t, via, simwinrm.Options{})
		if failures := calm.host(calm.manifest(noon, files)); failures != 0 {
			t.Fatalf("%d failures without a fault", failures)
		}
		requests := len(calm.mim.Requests())
		if requests < 7 {
			t.Fatalf("only %d requests", requests)
		}
		for _, kind := range []simwinrm.Kind{simwinrm.Drop, simwinrm.DropAfter, simwinrm.Restart} {
			for n := 1; n <= requests; n++ {
				t.Run(fmt.Sprintf("kind %d, request %d", kind, n), func(t *testing.T) {
					t.Parallel()
					r := setup(t, via, simwinrm.Options{})
					m := r.manifest(noon, files)
					r.mim.Script(simwinrm.Fault{Request: n, Times: 1, Kind: kind})
					r.host(m)
					r.verify(m, files)
				})
			}
		}
	})
}

// TestKilledMidWay: the context ends as with the process, at each script in turn, and another delivery finishes.
func TestKilledMidWay(t *testing.T) {
	both(t, func(t *testing.T, via ftpdeliver.Via) {
		for kill := 1; ; kill++ {
			ctx, cancel := context.WithCancel(t.Context())
			commands := 0
			r := setup(t, via, simwinrm.Options{OnRequest: func(q simwinrm.Request) {
				if q.Action == "Receive" {
					if commands++; commands == kill {
						cancel()
					}
				}
			}})
			m := r.manifest(noon, some())
			err := r.deliver(ctx, m)
			cancel()
			r.host(m)
			r.verify(m, some())
			if err == nil {
				if kill < 3 {
					t.Errorf("nothing was killed")
				}
				return
			}
		}
	})
}

func TestTwoDeliveriesAtOnce(t *testing.T) {
	both(t, func(t *testing.T, via ftpdeliver.Via) {
		r := setup(t, via, simwinrm.Options{})
		m := r.manifest(noon, some())
		done := make(chan error)
		for range 2 {
			go func() { done <- r.deliver(t.Context(), m) }()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Logf("one is put off: %v", err)
			}
		}
		r.host(m)
		r.verify(m, some())
	})
}

// TestNoSecretIsSeen plants canaries and looks for them wherever somebody could look.
func TestNoSecretIsSeen(t *testing.T) {
	both(t, func(t *testing.T, via ftpdeliver.Via) {
		r := setup(t, via, simwinrm.Options{})
		m := r.manifest(noon, some())
		host := customhandlertest.New(t, customhandler.App{
			Functions: []customhandler.Function{customhandler.QueueFunc("ftpdeliver", r.h.Handle)},
			Storage:   r.Account(), State: r.State, Secrets: []settings.Secret{settings.NewSecret(password)},
		}, appRoot(t))
		body, err := customhandler.Encode(drop.Delivery{Manifest: m})
		if err != nil {
			t.Fatal(err)
		}
		r.mim.Egress(via == ftpdeliver.Stdin)
		said := host.Queue("ftpdeliver", body).Body
		r.mim.Egress(true)
		fault := r.proxy.Inject(storagefault.Fault{Match: storagefault.Op("Get Blob"), Skip: 1, Times: 1, Effect: storagefault.Status(403, "AuthenticationFailed")})
		said += host.Queue("ftpdeliver", body).Body
		fault.Remove()
		last := host.Queue("ftpdeliver", body)
		if !last.OK() {
			t.Fatalf("not delivered in the end: %s\n%s%s", last.Body, host.Stdout(), host.Stderr())
		}
		said += last.Body
		host.Stop()
		said += host.Stdout() + host.Stderr()
		r.verify(m, some())
		signatures := signaturesIn(r.mim.Runs())
		if via == ftpdeliver.Link && len(signatures) == 0 {
			t.Fatal("no link was sent")
		}
		for _, run := range r.mim.Runs() {
			said += run.CommandLine + run.Script
		}
		for _, q := range r.mim.Requests() {
			said += q.Command
		}
		for _, canary := range append(signatures, "canary", "sig=") {
			if i := strings.Index(said, canary); i >= 0 {
				t.Errorf("%q is seen in %s", canary, said[max(0, i-200):i])
			}
		}
	})
}

// appRoot is the app as it is packaged, with this room alone.
func appRoot(t *testing.T) fs.FS {
	t.Helper()
	root := fstest.MapFS{}
	for name, file := range map[string]string{"host.json": "../../../host.json", "ftpdeliver/function.json": "function.json"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		root[name] = &fstest.MapFile{Data: bytes.ReplaceAll(data, []byte(`"delivery"`), []byte(`"message"`))} // what the test host calls it
	}
	return root
}

func signaturesIn(runs []simwinrm.Run) (all []string) {
	for _, run := range runs {
		var params struct{ Files []ftpdeliver.Fetch }
		if json.NewDecoder(bytes.NewReader(run.Params)).Decode(&params) != nil {
			continue
		}
		for _, f := range params.Files {
			if m := regexp.MustCompile(`sig=([^&]+)`).FindStringSubmatch(f.Link); m != nil {
				all = append(all, m[1])
			}
		}
	}
	return all
}
