package simwinrm_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t testing.TB, o simwinrm.Options) *simwinrm.Server {
	t.Helper()
	s, err := simwinrm.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// client speaks WS-Management by hand, so that the server is judged by what is on the wire.
type client struct {
	t              testing.TB
	s              *simwinrm.Server
	http           *http.Client
	user, password string
	timeout        string // OperationTimeout
	maxEnvelope    int
	options        string
}

func connect(t testing.TB, s *simwinrm.Server) *client {
	t.Helper()
	transport := &http.Transport{}
	if pem := s.CertPEM(); pem != nil {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{t: t, s: s, http: &http.Client{Transport: transport, Timeout: time.Minute}, user: "user", password: "password",
		timeout: "PT60S", maxEnvelope: 153600}
}

// reply is an answer of the server.
type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) code() string {
	_, detail, _ := strings.Cut(r.body, "<s:Detail>") // replies with output are long, and searching them by pattern is slow
	return submatch(detail, `Code="(\d+)"|error_Code[^>]*>(\d+)<`)
}

func (r reply) subcode() string { return between(r.body, "<s:Subcode><s:Value>", "<") }
func (r reply) exit() string    { return between(r.body, "<rsp:ExitCode>", "<") }

func (r reply) stream(t testing.TB, name string) string {
	t.Helper()
	var out strings.Builder
	for _, element := range strings.Split(r.body, `<rsp:Stream Name="`+name+`" `)[1:] {
		data, err := base64.StdEncoding.DecodeString(between(element, ">", "<"))
		if err != nil {
			t.Fatal(err)
		}
		out.Write(data)
	}
	return out.String()
}

func between(s, before, after string) string {
	_, s, _ = strings.Cut(s, before)
	s, _, _ = strings.Cut(s, after)
	return s
}

func submatch(s, pattern string) string {
	m := regexp.MustCompile(pattern).FindStringSubmatch(s)
	if m == nil {
		return ""
	}
	return strings.Join(m[1:], "")
}

const (
	transfer = "http://schemas.xmlsoap.org/ws/2004/09/transfer/"
	shellURI = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
	relates  = "uuid:11111111-2222-3333-4444-555555555555"
)

func (c *client) envelope(action, shell, body string) string {
	selectors := ""
	if shell != "" {
		selectors = `<w:SelectorSet><w:Selector Name="ShellId">` + shell + `</w:Selector></w:SelectorSet>`
	}
	return fmt.Sprintf(`<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"`+
		` xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="%s"><s:Header><a:To>%s</a:To><a:Action>%s</a:Action>`+
		`<a:MessageID>%s</a:MessageID><w:ResourceURI>%s/cmd</w:ResourceURI><w:MaxEnvelopeSize>%d</w:MaxEnvelopeSize>`+
		`<w:OperationTimeout>%s</w:OperationTimeout><w:OptionSet>%s</w:OptionSet>%s</s:Header><s:Body>%s</s:Body></s:Envelope>`,
		shellURI, c.s.URL(), action, relates, shellURI, c.maxEnvelope, c.timeout, c.options, selectors, body)
}

// try posts an envelope; an error means that there was no whole answer.
func (c *client) try(envelope string) (reply, error) {
	req, err := http.NewRequest("POST", c.s.URL(), strings.NewReader(envelope))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/soap+xml;charset=UTF-8")
	req.SetBasicAuth(c.user, c.password)
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(data)}, err
}

func (c *client) ask(action, shell, body string) reply {
	c.t.Helper()
	r, err := c.try(c.envelope(action, shell, body))
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// want checks the outcome of a request: "" is success, else the code of a fault.
func (r reply) want(t testing.TB, code string) reply {
	t.Helper()
	if got := r.code(); got != code || (r.status == http.StatusOK) != (code == "") {
		t.Fatalf("got fault %q with HTTP %d, want %q: %s", got, r.status, code, r.body)
	}
	return r
}

const createBody = `<rsp:Shell><rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>`

func (c *client) create() reply { return c.ask(transfer+"Create", "", createBody) }

func (c *client) shell() string {
	c.t.Helper()
	return submatch(c.create().want(c.t, "").body, `<rsp:ShellId>([^<]*)`)
}

func (c *client) command(shell, line string) reply {
	c.t.Helper()
	return c.ask(shellURI+"/Command", shell, "<rsp:CommandLine><rsp:Command>"+line+"</rsp:Command></rsp:CommandLine>")
}

func (c *client) begin(shell, line string) string {
	c.t.Helper()
	return submatch(c.command(shell, line).want(c.t, "").body, `<rsp:CommandId>([^<]*)`)
}

func receiveBody(command string) string {
	return `<rsp:Receive><rsp:DesiredStream CommandId="` + command + `">stdout stderr</rsp:DesiredStream></rsp:Receive>`
}

func (c *client) receive(shell, command string) reply {
	c.t.Helper()
	return c.ask(shellURI+"/Receive", shell, receiveBody(command))
}

func (c *client) send(shell, command, data, end string) reply {
	c.t.Helper()
	return c.ask(shellURI+"/Send", shell, fmt.Sprintf(`<rsp:Send><rsp:Stream Name="stdin" CommandId="%s" End="%s">%s</rsp:Stream></rsp:Send>`,
		command, end, base64.StdEncoding.EncodeToString([]byte(data))))
}

func (c *client) signal(shell, command, code string) reply {
	c.t.Helper()
	return c.ask(shellURI+"/Signal", shell, `<rsp:Signal CommandId="`+command+`"><rsp:Code>`+shellURI+"/signal/"+code+`</rsp:Code></rsp:Signal>`)
}

func (c *client) delete(shell string) reply {
	c.t.Helper()
	return c.ask(transfer+"Delete", shell, "")
}

// finish receives until the command is done.
func (c *client) finish(shell, command string) (stdout, stderr, exit string) {
	c.t.Helper()
	for exit == "" {
		r := c.receive(shell, command).want(c.t, "")
		stdout += r.stream(c.t, "stdout")
		stderr += r.stream(c.t, "stderr")
		exit = r.exit()
	}
	return stdout, stderr, exit
}
