package winrm

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/nightshift-hq/nightshift/pkg/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// exchange is one request and reply of a recording made between another client and a real Windows server.
type exchange struct {
	request, response string
	status            int
}

// readRecording reads the part of YAML that the recordings use.
func readRecording(t testing.TB, path string) []exchange {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []exchange
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		if request, ok := strings.CutPrefix(line, "- request: "); ok {
			all = append(all, exchange{request: unquote(request), status: http.StatusOK})
		} else if response, ok := strings.CutPrefix(line, "  response: "); ok && len(all) > 0 {
			all[len(all)-1].response = unquote(response)
		} else if _, err := fmt.Sscanf(line, "    code: %d", new(int)); err == nil && len(all) > 0 {
			fmt.Sscanf(line, "    code: %d", &all[len(all)-1].status)
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no exchanges", path)
	}
	return all
}

func unquote(text string) string {
	if len(text) > 1 && text[0] == '\'' && text[len(text)-1] == '\'' {
		return strings.ReplaceAll(text[1:len(text)-1], "''", "'")
	}
	return text
}

// recordings finds the recordings in testdata, or all of those kept elsewhere.
func recordings(t testing.TB) []string {
	folder := "testdata/recordings"
	if root := os.Getenv("NIGHTSHIFT_CONTRACTS"); root != "" {
		folder = filepath.Join(root, "winrm")
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings in %s: %v", folder, err)
	}
	return files
}

// request is what matters in a request of any client.
type request struct {
	Action   string   `xml:"Header>Action"`
	Resource string   `xml:"Header>ResourceURI"`
	Shell    selector `xml:"Header>SelectorSet>Selector"`
	Envelope int      `xml:"Header>MaxEnvelopeSize"`
	ID       string   `xml:"Header>MessageID"`
	Timeout  string   `xml:"Header>OperationTimeout"`
	Body     struct {
		Shell struct{ InputStreams, OutputStreams string }
		Send  struct {
			Stream struct {
				Name      string `xml:",attr"`
				CommandId string `xml:",attr"`
				End       string `xml:",attr"`
				Text      string `xml:",chardata"`
			}
		}
		Receive struct {
			DesiredStream struct {
				CommandId string `xml:",attr"`
				Text      string `xml:",chardata"`
			}
		}
		Signal struct {
			CommandId string `xml:",attr"`
			Code      string
		}
	}
}

func readRequest(t testing.TB, text string) request {
	t.Helper()
	var r request
	if err := xml.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if r.ID == "" || r.Timeout == "" || r.Envelope == 0 {
		t.Errorf("a header is missing in %s", text)
	}
	r.ID, r.Timeout, r.Envelope = "", "", 0
	// Clients end a command as they like, and write booleans as they like.
	r.Body.Signal.Code = r.Body.Signal.Code[:strings.LastIndex(r.Body.Signal.Code, "/")+1]
	r.Body.Send.Stream.End = strings.ToLower(strings.ReplaceAll(r.Body.Send.Stream.End, "False", ""))
	r.Body.Send.Stream.Text = strings.TrimSpace(r.Body.Send.Stream.Text)
	return r
}

// replay is a server that answers with a recording, in order, and compares what it is asked.
type replay struct {
	t         *testing.T
	exchanges []exchange
	next      int
}

func (p *replay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || p.next == len(p.exchanges) {
		p.t.Errorf("request %d is not in the recording: %s (%v)", p.next+1, body, err)
		w.WriteHeader(http.StatusTeapot)
		return
	}
	e := p.exchanges[p.next]
	p.next++
	if got, want := readRequest(p.t, string(body)), readRequest(p.t, e.request); !reflect.DeepEqual(got, want) {
		p.t.Errorf("request %d is\n%+v, recorded was\n%+v", p.next, got, want)
	}
	w.Header().Set("Content-Type", soapType)
	w.WriteHeader(e.status)
	io.WriteString(w, e.response)
}

// TestReplay makes the client do what another client did, with the answers that a real server gave: it must ask for the
// same things, and understand every answer.
func TestReplay(t *testing.T) {
	t.Parallel()
	var told strings.Builder
	for _, file := range recordings(t) {
		fmt.Fprintf(&told, "=== %s\n%s", filepath.Base(file), replayRecording(t, readRecording(t, file)))
	}
	if os.Getenv("NIGHTSHIFT_CONTRACTS") == "" {
		golden(t, "testdata/recordings.golden", told.String())
	}
}

func replayRecording(t *testing.T, exchanges []exchange) string {
	server := httptest.NewServer(&replay{t: t, exchanges: exchanges})
	defer server.Close()
	l := testLink(t, server.URL)
	defer l.close()
	m := newMessages(server.URL+"/wsman", defaultOperationTimeout)
	var told strings.Builder
	var s *shell
	var stdout, stderr bytes.Buffer
	exit := 0
	for _, e := range exchanges {
		asked := readRequest(t, e.request)
		var err error
		switch action := asked.Action[strings.LastIndex(asked.Action, "/")+1:]; action {
		case "Create":
			s, err = openShell(t.Context(), l, m)
		case "Command":
			_, err = s.start(t.Context(), "hostname")
		case "Send":
			err = resend(t.Context(), s, asked)
		case "Receive":
			var answer *reply
			answer, err = l.post(t.Context(), "receive output", m.receiveOutput(s.id, asked.Body.Receive.DesiredStream.CommandId))
			if err == nil {
				_, exit, err = answer.Body.Output.read(&stdout, &stderr)
			}
		case "Signal":
			err = s.end(t.Context(), asked.Body.Signal.CommandId)
		case "Delete":
			err = s.delete(t.Context())
		default:
			t.Fatalf("the recording asks for %s", action)
		}
		var f *Fault
		if errors.As(err, &f) {
			fmt.Fprintf(&told, "%s: fault %d %s, %v: %s\n", f.Op, f.Code, f.Subcode, f.class, f.Reason)
		} else if err != nil {
			t.Errorf("%s: %v", asked.Action, err)
		}
	}
	fmt.Fprintf(&told, "stdout %q\nstderr %q\nexit code %d\n", stdout.String(), stderr.String(), exit)
	return told.String()
}

func resend(ctx context.Context, s *shell, asked request) error {
	stream := asked.Body.Send.Stream
	input, err := base64.StdEncoding.DecodeString(stream.Text)
	if err != nil {
		return err
	}
	return s.sendChunk(ctx, stream.CommandId, input, stream.End == "true")
}

func testLink(t *testing.T, server string) *link {
	t.Helper()
	cfg, endpoint, err := Config{Server: server, Username: "user", Password: settings.NewSecret("password"), Auth: Basic,
		Security: Cleartext}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return &link{cfg: cfg, endpoint: endpoint}
}

// FuzzReply feeds anything to the parser of replies.
func FuzzReply(f *testing.F) {
	for _, file := range recordings(f) {
		for _, e := range readRecording(f, file) {
			f.Add([]byte(e.response))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseReply(data)
		if err != nil {
			return
		}
		if fault := r.fault(); fault != nil && fault.Error() == "" {
			t.Error("a fault without a text")
		}
		if id, err := r.shellID(); err == nil && strings.ContainsAny(id, "<>&\"'") {
			t.Errorf("shell id %q", id)
		}
		if o := r.Body.Output; o != nil {
			o.read(io.Discard, io.Discard)
		}
	})
}

func TestFaults(t *testing.T) {
	t.Parallel()
	const wmi = `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><s:Fault><s:Code><s:Value>s:Receiver</s:Value>` +
		`<s:Subcode><s:Value>w:InternalError</s:Value></s:Subcode></s:Code><s:Reason><s:Text>short</s:Text></s:Reason><s:Detail>` +
		`<p:MSFT_WmiError xmlns:p="x"><p:Message>long</p:Message>%s</p:MSFT_WmiError></s:Detail></s:Fault></s:Body></s:Envelope>`
	const wsman = `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body><s:Fault><s:Code><s:Value>s:Sender</s:Value>` +
		`<s:Subcode><s:Value>%s</s:Value></s:Subcode></s:Code><s:Reason><s:Text>short</s:Text></s:Reason><s:Detail>` +
		`<f:WSManFault xmlns:f="x" Code="%s"><f:Message>  a <f:ProviderFault>b</f:ProviderFault> c</f:Message></f:WSManFault>` +
		`</s:Detail></s:Fault></s:Body></s:Envelope>`
	for name, test := range map[string]struct {
		text   string
		code   int64
		reason string
		class  error
	}{
		"access denied":                     {fmt.Sprintf(wsman, "w:AccessDenied", "5"), 5, "a b c", ErrForbidden},
		"operation timeout":                 {fmt.Sprintf(wsman, "w:TimedOut", "2150858793"), codeTimedOut, "a b c", ErrTimeout},
		"unknown shell":                     {fmt.Sprintf(wsman, "w:InvalidSelectors", "2150858843"), 2150858843, "a b c", ErrUnknownShell},
		"shells used up":                    {fmt.Sprintf(wmi, "<p:error_Code>2150859173</p:error_Code>"), 2150859173, "long", ErrQuota},
		"operations used up, as an HRESULT": {fmt.Sprintf(wmi, "<p:MessageID>HRESULT 0x803381a6</p:MessageID>"), 2150859174, "long", ErrQuota},
		"a negative code":                   {fmt.Sprintf(wsman, "w:InternalError", "-2147024690"), 2147942606, "a b c", ErrTooLong},
		"schema":                            {fmt.Sprintf(wsman, "w:SchemaValidationError", "2150858817"), 2150858817, "a b c", nil},
		"aborted":                           {fmt.Sprintf(wsman, "w:InternalError", "995"), 995, "a b c", ErrUnreachable},
		"busy":                              {fmt.Sprintf(wsman, "w:InternalError", "170"), 170, "a b c", ErrBusy},
		"an unknown code with a known subcode, in another prefix": {fmt.Sprintf(wsman, "wsman:QuotaLimit", "4711"), 4711, "a b c", ErrQuota},
		"the command has ended":                                   {fmt.Sprintf(wsman, "w:InternalError", "232"), 232, "a b c", ErrUnknownShell},
		"nothing known":                                           {fmt.Sprintf(wsman, "w:Other", "4711"), 4711, "a b c", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := parseReply([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			f := r.fault()
			if f == nil || f.Code != test.code || f.Reason != test.reason || test.class != nil && !errors.Is(f, test.class) {
				t.Errorf("fault %+v, want code %d, reason %q, class %v", f, test.code, test.reason, test.class)
			}
			if test.class == nil && len(f.Unwrap()) > 0 {
				t.Errorf("classes %v, want none", f.Unwrap())
			}
		})
	}
}

func TestIdentifiersAreChecked(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "a b", "<x/>", "a&b", `"`, strings.Repeat("a", 129)} {
		if checkID(id) == nil {
			t.Errorf("%q passes", id)
		}
	}
	for _, id := range []string{"11111111-2222-3333-4444-555555555555", "{A_b}"} {
		if err := checkID(id); err != nil {
			t.Error(err)
		}
	}
}
