package simwinrm_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
)

const (
	codeTimedOut    = "2150858793"
	codeSelectors   = "2150858843"
	codeUnsupported = "2150858754"
	codeSchema      = "2150858817"
)

// untilKilled runs until it is ended from outside.
func untilKilled(ctx context.Context, _ *simwinrm.Process) uint32 {
	<-ctx.Done()
	return 0
}

// cat copies stdin to stdout.
func cat(_ context.Context, p *simwinrm.Process) uint32 {
	if _, err := io.Copy(p.Stdout, p.Stdin); err != nil {
		return 1
	}
	return 0
}

func TestLogOn(t *testing.T) {
	t.Parallel()
	accounts := map[string]string{"user": "password", `CONTOSO\ada`: "secret"}
	for name, tc := range map[string]struct {
		options        simwinrm.Options
		user, password string
		offers         string // "" means that the log-on works
	}{
		"right password":                    {user: "user", password: "password"},
		"names have no case":                {user: "USER", password: "password"},
		"account of a domain":               {user: `contoso\ada`, password: "secret"},
		"account of a domain, as UPN":       {user: "ada@contoso", password: "secret"},
		"account of another domain":         {user: `other\ada`, password: "secret", offers: `Negotiate|Basic realm="WSMAN"`},
		"wrong password":                    {user: "user", password: "Password", offers: `Negotiate|Basic realm="WSMAN"`},
		"unknown account":                   {user: "nobody", password: "", offers: `Negotiate|Basic realm="WSMAN"`},
		"Basic switched off":                {options: simwinrm.Options{NoBasic: true}, user: "user", password: "password", offers: "Negotiate"},
		"NTLM switched off":                 {options: simwinrm.Options{NoNTLM: true}, user: "user", password: "no", offers: `Basic realm="WSMAN"`},
		"Basic in clear is not offered":     {options: simwinrm.Options{HTTP: true}, user: "user", password: "password", offers: "Negotiate"},
		"Basic in clear where it is wanted": {options: simwinrm.Options{HTTP: true, AllowUnencrypted: true}, user: "user", password: "password"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.options.Accounts = accounts
			c := connect(t, start(t, tc.options))
			c.user, c.password = tc.user, tc.password
			r := c.create()
			if tc.offers == "" {
				r.want(t, "")
				return
			}
			if got := strings.Join(r.header["Www-Authenticate"], "|"); r.status != 401 || got != tc.offers || r.body != "" {
				t.Errorf("HTTP %d, offers %s, body %q; want 401 and %s", r.status, got, r.body, tc.offers)
			}
		})
	}
}

func TestAccountsThatAreNoAdministrators(t *testing.T) {
	t.Parallel()
	c := connect(t, start(t, simwinrm.Options{Denied: []string{"User"}}))
	if r := c.create().want(t, "5"); r.subcode() != "w:AccessDenied" || !strings.Contains(r.body, "Access is denied.") {
		t.Error(r.body)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{})
	s.Program("cat", cat)
	s.Program("sleep", untilKilled)
	c := connect(t, s)
	shell := c.shell()
	command := c.begin(shell, "cat")
	closed := c.begin(shell, "sleep")
	c.send(shell, closed, "x", "true").want(t, "")
	ended := c.begin(shell, "echo done")
	c.finish(shell, ended)
	none := "00000000-0000-0000-0000-000000000000"
	for name, tc := range map[string]struct {
		reply   reply
		code    string
		subcode string
		text    string
	}{
		"unknown shell": {c.receive(none, command), codeSelectors, "w:InvalidSelectors", "ShellId " + none + " failed because the shell was not found"},
		"shell of another request without selector": {c.receive("", command), codeSelectors, "w:InvalidSelectors", "was not found"},
		"unknown command":                  {c.receive(shell, none), codeSelectors, "w:InvalidSelectors", "a command identifier that does not exist"},
		"input for an unknown command":     {c.send(shell, none, "x", "false"), codeSelectors, "w:InvalidSelectors", "a command identifier that does not exist"},
		"input for a command that ended":   {c.send(shell, ended, "x", "false"), codeSelectors, "w:InvalidSelectors", "Either the command has completed execution"},
		"input after its end":              {c.send(shell, closed, "x", "false"), "232", "w:InternalError", "The pipe is being closed."},
		"signal for an unknown command":    {c.signal(shell, none, "terminate"), codeSelectors, "w:InvalidSelectors", "a command identifier that does not exist"},
		"unknown signal":                   {c.signal(shell, command, "hangup"), codeSchema, "w:SchemaValidationError", "schema"},
		"unknown action":                   {c.ask(transfer+"Get", shell, ""), codeUnsupported, "w:ActionNotSupported", "not supported"},
		"input that is not base64":         {c.ask(shellURI+"/Send", shell, `<rsp:Send><rsp:Stream Name="stdin" CommandId="`+command+`">%%</rsp:Stream></rsp:Send>`), codeSchema, "w:SchemaValidationError", "schema"},
		"a body without what is asked for": {c.ask(shellURI+"/Command", shell, ""), codeSchema, "w:SchemaValidationError", "schema"},
		"delete of an unknown shell":       {c.delete(none), codeSelectors, "w:InvalidSelectors", "was not found"},
	} {
		t.Run(name, func(t *testing.T) {
			r := tc.reply.want(t, tc.code)
			if r.status != http.StatusInternalServerError || r.subcode() != tc.subcode || !strings.Contains(r.body, tc.text) {
				t.Errorf("HTTP %d %s: %s", r.status, r.subcode(), r.body)
			}
		})
	}
	if r, err := c.try("<no"); err != nil || r.code() != codeSchema {
		t.Errorf("no XML: %v %s", err, r.body)
	}
}

func TestStreamsArriveWholeHoweverTheyAreCut(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("Zoë wrote this. ", 1000)
	for name, o := range map[string]simwinrm.Options{
		"as written":              {},
		"in pieces of seven":      {ChunkSize: 7, ChunksPerReply: 100},
		"one piece a reply":       {ChunkSize: 1007, ChunksPerReply: 1},
		"in the smallest replies": {Limits: simwinrm.Limits{EnvelopeSize: 120_000}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, o)
			s.Program("cat", cat)
			c := connect(t, s)
			c.maxEnvelope = 8192
			shell := c.shell()
			command := c.begin(shell, "cat")
			c.send(shell, command, text[:3333], "false").want(t, "")
			c.send(shell, command, text[3333:], "True").want(t, "")
			stdout, stderr, exit := c.finish(shell, command)
			if stdout != text || stderr != "" || exit != "0" {
				t.Errorf("%d bytes of %d, stderr %q, exit %s", len(stdout), len(text), stderr, exit)
			}
		})
	}
}

// A reply is never longer than the client can take, and a command that nobody reads waits.
func TestRepliesFitAndCommandsWaitForTheirReader(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{})
	const total = 4 << 20
	wrote := make(chan int, 64)
	s.Program("gush", func(_ context.Context, p *simwinrm.Process) uint32 {
		for range total / (64 << 10) {
			n, _ := p.Stdout.Write(make([]byte, 64<<10))
			wrote <- n
		}
		return 0
	})
	c := connect(t, s)
	shell := c.shell()
	command := c.begin(shell, "gush")
	got, exit := 0, ""
	for exit == "" {
		r := c.receive(shell, command).want(t, "")
		if len(r.body) > c.maxEnvelope {
			t.Fatalf("a reply of %d bytes", len(r.body))
		}
		got += len(r.stream(t, "stdout"))
		exit = r.exit()
		if ahead := len(wrote)*64<<10 - got; ahead > 2<<20 {
			t.Fatalf("the command is %d bytes ahead", ahead)
		}
	}
	if got != total {
		t.Errorf("%d bytes of %d", got, total)
	}
}

func TestReceiveWaitsForOutput(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{})
	more := make(chan string)
	s.Program("slow", func(_ context.Context, p *simwinrm.Process) uint32 {
		for text := range more {
			io.WriteString(p.Stdout, text)
		}
		return 3
	})
	c := connect(t, s)
	shell := c.shell()
	command := c.begin(shell, "slow")
	c.timeout = "PT0.02S"
	if r := c.receive(shell, command).want(t, codeTimedOut); r.subcode() != "w:TimedOut" || !strings.Contains(r.body, "OperationTimeout") {
		t.Error(r.body)
	}
	c.timeout = "PT60S"
	go func() { more <- "one" }()
	if r := c.receive(shell, command).want(t, ""); r.stream(t, "stdout") != "one" || r.exit() != "" || !strings.Contains(r.body, "CommandState/Running") {
		t.Error(r.body)
	}
	close(more)
	if r := c.receive(shell, command).want(t, ""); r.exit() != "3" || !strings.Contains(r.body, "CommandState/Done") {
		t.Error(r.body)
	}
}

func TestOneReaderPerCommand(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{})
	s.Program("sleep", untilKilled)
	c := connect(t, s)
	shell := c.shell()
	command := c.begin(shell, "sleep")
	codes := make(chan string, 2)
	for range 2 {
		go func() {
			r, err := c.try(c.envelope(shellURI+"/Receive", shell, receiveBody(command)))
			codes <- fmt.Sprint(r.code(), err)
		}()
	}
	if first := <-codes; first != "170<nil>" {
		t.Errorf("the second reader got %s, want ERROR_BUSY", first)
	}
	c.signal(shell, command, "terminate").want(t, "")
	if second := <-codes; second != "995<nil>" {
		t.Errorf("the reader of a terminated command got %s, want 995", second)
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{})
	s.Program("sleep", untilKilled)
	c := connect(t, s)
	shell := c.shell()

	interrupted := c.begin(shell, "sleep")
	c.signal(shell, interrupted, "ctrl_c").want(t, "")
	if _, _, exit := c.finish(shell, interrupted); exit != "3221225786" {
		t.Errorf("ctrl_c: exit code %s, want STATUS_CONTROL_C_EXIT", exit)
	}
	terminated := c.begin(shell, "sleep")
	c.signal(shell, terminated, "terminate").want(t, "")
	c.receive(shell, terminated).want(t, codeSelectors)

	done := c.begin(shell, "echo x")
	c.finish(shell, done)
	c.signal(shell, done, "terminate").want(t, "")
	c.receive(shell, done).want(t, codeSelectors)

	c.begin(shell, "sleep")
	c.delete(shell).want(t, "")
	if err := s.Wait(t.Context()); err != nil || s.Shells() != 0 || s.Processes() != 0 {
		t.Errorf("%v: %d shells, %d processes after Delete", err, s.Shells(), s.Processes())
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	t.Run("shells per user", func(t *testing.T) {
		t.Parallel()
		s := start(t, simwinrm.Options{Accounts: map[string]string{"user": "password", "other": "password"}})
		c := connect(t, s)
		var last string
		for range 30 {
			last = c.shell()
		}
		if r := c.create().want(t, "2150859173"); r.subcode() != "w:QuotaLimit" || !strings.Contains(r.body, "maximum number of 30 concurrent shells") {
			t.Error(r.body)
		}
		other := connect(t, s)
		other.user = "other"
		other.shell()
		other.receive(last, "x").want(t, codeSelectors) // shells of others are unknown
		c.delete(last).want(t, "")
		c.shell()
	})
	t.Run("operations per user", func(t *testing.T) {
		t.Parallel()
		c := connect(t, start(t, simwinrm.Options{Limits: simwinrm.Limits{OperationsPerUser: 2}}))
		shell := c.shell()
		first := c.begin(shell, "echo 1")
		c.finish(shell, first)
		c.begin(shell, "echo 2")
		c.command(shell, "echo 3").want(t, "2150859174")
		c.signal(shell, first, "terminate").want(t, "")
		c.begin(shell, "echo 3")
	})
	t.Run("commands per shell", func(t *testing.T) {
		t.Parallel()
		c := connect(t, start(t, simwinrm.Options{}))
		shell := c.shell()
		for range 25 {
			command := c.begin(shell, "echo x")
			c.finish(shell, command)
			c.signal(shell, command, "terminate").want(t, "")
		}
		c.command(shell, "echo x").want(t, "2150859241")
		c.begin(c.shell(), "echo x")
	})
	t.Run("envelope size", func(t *testing.T) {
		t.Parallel()
		s := start(t, simwinrm.Options{})
		s.Program("cat", cat)
		c := connect(t, s)
		shell := c.shell()
		command := c.begin(shell, "cat")
		if r := c.send(shell, command, strings.Repeat("x", 512_000*3/4), "false"); r.status != http.StatusRequestEntityTooLarge || r.body != "" {
			t.Errorf("HTTP %d %q", r.status, r.body)
		}
		c.send(shell, command, strings.Repeat("x", 500_000*3/4), "false").want(t, "")
	})
}

// A shell that nobody asks anything ends with its command; a Receive that waits keeps it.
func TestIdleShells(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{})
	ended := make(chan struct{}, 1)
	s.Program("sleep", func(ctx context.Context, p *simwinrm.Process) uint32 {
		defer func() { ended <- struct{}{} }()
		return untilKilled(ctx, p)
	})
	c := connect(t, s)
	// On a busy machine the shell may end before it is asked; then the next one lives longer.
	for idle := 50 * time.Millisecond; ; idle *= 2 {
		body := fmt.Sprintf("<rsp:Shell><rsp:IdleTimeOut>PT%.3fS</rsp:IdleTimeOut>", idle.Seconds()) + strings.TrimPrefix(createBody, "<rsp:Shell>")
		r := c.ask(transfer+"Create", "", body).want(t, "")
		if got, want := between(r.body, "<rsp:IdleTimeOut>", "<"), fmt.Sprintf("PT%.3fS", idle.Seconds()); got != want {
			t.Fatalf("idle timeout %s, want %s", got, want)
		}
		shell := between(r.body, "<rsp:ShellId>", "<")
		r = c.command(shell, "sleep")
		if r.code() == codeSelectors {
			continue
		}
		command := between(r.want(t, "").body, "<rsp:CommandId>", "<")
		c.timeout = fmt.Sprintf("PT%.3fS", 2*idle.Seconds())
		code := c.receive(shell, command).code()
		<-ended
		if code == codeSelectors || code == "995" {
			continue
		}
		if code != codeTimedOut || s.Shells() != 0 {
			t.Errorf("a Receive longer than the idle timeout: %s; %d shells", code, s.Shells())
		}
		c.receive(shell, command).want(t, codeSelectors)
		return
	}
}

func TestCommandLineLength(t *testing.T) {
	t.Parallel()
	line := func(n int) string { return "echo " + strings.Repeat("x", n-len("echo ")) }
	for name, tc := range map[string]struct {
		options string
		silent  bool
		length  int
		code    string // of a fault
		stderr  string
		exit    string
		output  int
	}{
		"the longest for cmd.exe":    {length: 8191, exit: "0", output: 8191 - len("echo ") + 2},
		"too long for cmd.exe":       {length: 8192, exit: "1", stderr: "The command line is too long.\r\n"},
		"too long, in silence":       {length: 8192, silent: true, exit: "0"},
		"too long for CreateProcess": {length: 32768, code: "2147942606"},
		"without cmd.exe":            {length: 32767, options: `<w:Option Name="WINRS_SKIP_CMD_SHELL">TRUE</w:Option>`, exit: "0", output: 32767},
		"without cmd.exe, too long":  {length: 32768, options: `<w:Option Name="WINRS_SKIP_CMD_SHELL">TRUE</w:Option>`, code: "2147942606"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, simwinrm.Options{SilentTooLong: tc.silent})
			if tc.options != "" {
				s.Program("echo", func(_ context.Context, p *simwinrm.Process) uint32 {
					io.WriteString(p.Stdout, p.CommandLine)
					return 0
				})
			}
			c := connect(t, s)
			c.options = tc.options
			shell := c.shell()
			r := c.command(shell, line(tc.length)).want(t, tc.code)
			if tc.code != "" {
				return
			}
			stdout, stderr, exit := c.finish(shell, submatch(r.body, `<rsp:CommandId>([^<]*)`))
			if len(stdout) != tc.output || stderr != tc.stderr || exit != tc.exit {
				t.Errorf("%d bytes, stderr %q, exit %s", len(stdout), stderr, exit)
			}
		})
	}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{})
	c := connect(t, s)
	const body = `<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Header/><s:Body>` +
		`<wsmid:Identify xmlns:wsmid="http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"/></s:Body></s:Envelope>`
	post := func(header string) (int, string) {
		req, err := http.NewRequest("POST", s.URL(), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			req.Header.Set("WSMANIDENTIFY", header)
		}
		resp, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(data)
	}
	if status, text := post("unauthenticated"); status != 200 || !strings.Contains(text, "<wsmid:ProductVersion>OS: 0.0.0 SP: 0.0 Stack: 3.0<") {
		t.Errorf("probe: %d %s", status, text)
	}
	if status, _ := post(""); status != 401 {
		t.Errorf("without the header of probes: %d, want 401", status)
	}
	if r, err := c.try(body); err != nil || r.status != 200 || !strings.Contains(r.body, "OS: 10.0.17763") {
		t.Errorf("logged on: %v %s", err, r.body)
	}
}

func TestEndingTheServerEndsEverything(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{})
	running := make(chan struct{})
	s.Program("sleep", func(ctx context.Context, p *simwinrm.Process) uint32 {
		close(running)
		return untilKilled(ctx, p)
	})
	c := connect(t, s)
	shell := c.shell()
	command := c.begin(shell, "sleep")
	<-running
	failed := make(chan error, 1)
	go func() {
		_, err := c.try(c.envelope(shellURI+"/Receive", shell, receiveBody(command)))
		failed <- err
	}()
	s.Stop()
	if err := <-failed; err == nil {
		t.Error("a Receive outlived the server")
	}
	s.Stop()
	if s.Processes() != 0 {
		t.Error("processes are left")
	}
}
