package simwinrm_test

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
)

type exchange struct{ request, response string }

// recordings finds those of this package and, when NIGHTSHIFT_CONTRACTS names a folder with a folder winrm, those there.
func recordings(t *testing.T) []string {
	t.Helper()
	folders := []string{"testdata/recordings"}
	if contracts := os.Getenv("NIGHTSHIFT_CONTRACTS"); contracts != "" {
		folders = append(folders, filepath.Join(contracts, "winrm"))
	}
	var files []string
	for _, folder := range folders {
		found, err := filepath.Glob(filepath.Join(folder, "*.yml"))
		if err != nil || len(found) == 0 {
			t.Fatalf("no recordings in %s (%v)", folder, err)
		}
		files = append(files, found...)
	}
	return files
}

func readRecording(t *testing.T, file string) []exchange {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []exchange
	for _, line := range strings.Split(strings.ReplaceAll(string(data), "\r", ""), "\n") {
		if request, ok := strings.CutPrefix(line, "- request: "); ok {
			all = append(all, exchange{request: request})
		}
		if response, ok := strings.CutPrefix(line, "  response: "); ok && len(all) > 0 {
			all[len(all)-1].response = response
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s holds no exchange", file)
	}
	return all
}

// step is what the recorded command did before one Receive was answered.
type step struct {
	streams, data []string
	exit          string
	written       chan struct{}
}

func stepsOf(t *testing.T, response string) step {
	t.Helper()
	st := step{exit: submatch(response, `<rsp:ExitCode>(\d+)`), written: make(chan struct{})}
	for _, m := range regexp.MustCompile(`<rsp:Stream Name="(\w+)" CommandId="[^"]*">([^<]*)<`).FindAllStringSubmatch(response, -1) {
		data, err := base64.StdEncoding.DecodeString(m[2])
		if err != nil {
			t.Fatal(err)
		}
		st.streams, st.data = append(st.streams, m[1]), append(st.data, string(data))
	}
	return st
}

// recordedProgram writes what the recorded command wrote, at the same moments.
func recordedProgram(steps <-chan step) simwinrm.Program {
	return func(ctx context.Context, p *simwinrm.Process) uint32 {
		for {
			select {
			case <-ctx.Done():
				return 1
			case st := <-steps:
				for i, name := range st.streams {
					out := p.Stdout
					if name == "stderr" {
						out = p.Stderr
					}
					io.WriteString(out, st.data[i])
				}
				close(st.written)
				if st.exit != "" {
					code, _ := strconv.ParseUint(st.exit, 10, 32)
					return uint32(code)
				}
			}
		}
	}
}

var (
	anyID     = regexp.MustCompile(`[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}`)
	chosenIDs = regexp.MustCompile(`<a:MessageID>[^<]*|<p:ActivityId>[^<]*`)
)

// The replies to the requests of real recordings are those of the recordings, but for ids and addresses.
func TestRecordings(t *testing.T) {
	t.Parallel()
	for _, file := range recordings(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			replay(t, readRecording(t, file))
		})
	}
}

func replay(t *testing.T, exchanges []exchange) {
	s := start(t, simwinrm.Options{HTTP: true, AllowUnencrypted: true, Accounts: map[string]string{"vagrant": "vagrant"},
		ActivityIDs: strings.Contains(exchanges[0].response, "ActivityId"),
		Limits:      simwinrm.Limits{OperationTimeout: time.Millisecond}})
	steps := make(chan step)
	s.Program("cmd", recordedProgram(steps))
	s.Program("powershell", recordedProgram(steps))
	c := connect(t, s)
	ids := map[string]string{} // recorded to ours
	for i, x := range exchanges {
		host := submatch(x.request, `<wsa:To>http://([^/]*)/`)
		if action := submatch(x.request, `/([A-Za-z]+)</wsa:Action>`); action == "Receive" && strings.Contains(x.response, "CommandState") {
			st := stepsOf(t, x.response)
			steps <- st
			<-st.written
			if st.exit != "" {
				if err := s.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		request := anyID.ReplaceAllStringFunc(x.request, func(id string) string {
			if ours, known := ids[id]; known {
				return ours
			}
			return id
		})
		got := post(t, c, host, request)
		for recorded, ours := range newIDs(x.response, got.body) {
			ids[recorded] = ours
		}
		if got, want := canonical(got.body, ids), canonical(x.response, nil); got != want {
			t.Fatalf("exchange %d:\ngot  %s\nwant %s", i, got, want)
		}
		if status := map[bool]int{false: 200, true: 500}[strings.Contains(x.response, "<s:Fault>")]; got.status != status {
			t.Errorf("exchange %d: HTTP %d, want %d", i, got.status, status)
		}
	}
}

// post sends a request to the host that it was recorded from, and checks its headers.
func post(t *testing.T, c *client, host, request string) reply {
	t.Helper()
	req, err := http.NewRequest("POST", c.s.URL(), strings.NewReader(request))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	req.SetBasicAuth("vagrant", "vagrant")
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/soap+xml;charset=UTF-8" {
		t.Errorf("content type %q", got)
	}
	return reply{resp.StatusCode, resp.Header, string(data)}
}

// newIDs pairs the shell or command id that a reply introduces.
func newIDs(recorded, ours string) map[string]string {
	ids := map[string]string{}
	for _, element := range []string{`<rsp:ShellId>([^<]*)`, `<rsp:CommandId>([^<]*)`} {
		if id := submatch(recorded, element); id != "" {
			ids[id] = submatch(ours, element)
		}
	}
	return ids
}

// canonical takes out what no two servers have in common, and turns our ids into the recorded ones.
func canonical(text string, ids map[string]string) string {
	for recorded, ours := range ids {
		text = strings.ReplaceAll(text, ours, recorded)
	}
	text = chosenIDs.ReplaceAllStringFunc(text, func(s string) string { return anyID.ReplaceAllString(s, "ID") })
	return regexp.MustCompile(`<rsp:ClientIP>[^<]*`).ReplaceAllString(text, "<rsp:ClientIP>")
}
