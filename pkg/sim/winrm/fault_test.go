package simwinrm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
)

func TestScriptedFaults(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault  simwinrm.Fault
		code   string // of a SOAP fault
		status int
		shells int // after a Create with this fault
	}{
		"password no longer right": {fault: simwinrm.Fault{Kind: simwinrm.Status, Code: 401}, status: 401},
		"request too large":        {fault: simwinrm.Fault{Kind: simwinrm.Status, Code: 413}, status: 413},
		"quota":                    {fault: simwinrm.Fault{Kind: simwinrm.SOAP, Code: simwinrm.CodeMaxShells}, status: 500, code: "2150859173"},
		"busy":                     {fault: simwinrm.Fault{Kind: simwinrm.SOAP, Code: simwinrm.CodeBusy}, status: 500, code: "170"},
		"a code nobody knows":      {fault: simwinrm.Fault{Kind: simwinrm.SOAP, Code: 2150858999}, status: 500, code: "2150858999"},
		"dropped":                  {fault: simwinrm.Fault{Kind: simwinrm.Drop}},
		"obeyed, then dropped":     {fault: simwinrm.Fault{Kind: simwinrm.DropAfter}, shells: 1},
		"reset within the answer":  {fault: simwinrm.Fault{Kind: simwinrm.Reset}, shells: 1},
		"service restarts":         {fault: simwinrm.Fault{Kind: simwinrm.Restart}},
	} {
		for _, plain := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, plain HTTP %v", name, plain), func(t *testing.T) {
				t.Parallel()
				s := start(t, simwinrm.Options{HTTP: plain, AllowUnencrypted: plain})
				fault := tc.fault
				fault.Action, fault.Times = "Create", 1
				s.Script(fault)
				c := connect(t, s)
				r, err := c.try(c.envelope(transfer+"Create", "", createBody))
				if r.status = status(r, err); r.status != tc.status || r.code() != tc.code {
					t.Errorf("HTTP %d, fault %q, %v; want %d, %q", r.status, r.code(), err, tc.status, tc.code)
				}
				if n := s.Shells(); n != tc.shells {
					t.Errorf("%d shells, want %d", n, tc.shells)
				}
				c.create().want(t, "")
			})
		}
	}
}

// status is 0 when there was no whole answer.
func status(r reply, err error) int {
	if err != nil {
		return 0
	}
	return r.status
}

func TestResetIsAReset(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{HTTP: true, AllowUnencrypted: true})
	s.Script(simwinrm.Fault{Kind: simwinrm.Reset})
	c := connect(t, s)
	r, err := c.try(c.envelope(transfer+"Create", "", createBody))
	if r.status != 200 || !strings.Contains(r.body, "CreateResponse") || strings.Contains(r.body, "</s:Envelope>") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the answer ended with %v", err)
	}
}

func TestStallLastsUntilTheClientGivesUp(t *testing.T) {
	t.Parallel()
	arrived := make(chan simwinrm.Request, 1)
	s := start(t, simwinrm.Options{OnRequest: func(r simwinrm.Request) { arrived <- r }})
	s.Script(simwinrm.Fault{Kind: simwinrm.Stall})
	c := connect(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", s.URL(), strings.NewReader(c.envelope(transfer+"Create", "", createBody)))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("user", "password")
	failed := make(chan error)
	go func() {
		_, err := c.http.Do(req)
		failed <- err
	}()
	if r := <-arrived; r.Action != "Create" {
		t.Errorf("%+v", r)
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if s.Shells() != 0 {
		t.Error("a stalled request was obeyed")
	}
}

func TestFaultAtARequest(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{})
	s.Script(
		simwinrm.Fault{Request: 2, Kind: simwinrm.SOAP, Code: simwinrm.CodeBusy},
		simwinrm.Fault{Action: "Command", Request: 1, Kind: simwinrm.SOAP, Code: simwinrm.CodeMaxOperations},
	)
	c := connect(t, s)
	shell := c.shell()
	c.create().want(t, "170") // the second request of all
	c.create().want(t, "")
	c.command(shell, "echo x").want(t, "2150859174")
	c.command(shell, "echo x").want(t, "")
	if got := s.Requests()[3]; got.Action != "Command" || got.Command != "echo x" || got.Status != 500 {
		t.Errorf("%+v", got)
	}
	s.Script()
	c.create().want(t, "")
}

func TestACommandThatDies(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{})
	s.Program("talk", func(ctx context.Context, p *simwinrm.Process) uint32 {
		for ctx.Err() == nil {
			if _, err := io.WriteString(p.Stdout, "0123456789"); err != nil {
				return 0
			}
		}
		return 0
	})
	for _, after := range []int64{0, 5, 10, 25} {
		s.Script(simwinrm.Fault{Action: "Command", Kind: simwinrm.Exit, After: after, Code: 0})
		c := connect(t, s)
		shell := c.shell()
		command := c.begin(shell, "talk")
		stdout, _, exit := c.finish(shell, command)
		if exit != "0" || stdout != strings.Repeat("0123456789", 3)[:after] {
			t.Errorf("after %d bytes: %q, exit %s", after, stdout, exit)
		}
		c.delete(shell).want(t, "")
	}
}

// A process that dies while it waits for input does not wait any more.
func TestACommandThatDiesBeforeItHasReadItsInput(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{})
	s.Program("cat", cat)
	s.Script(simwinrm.Fault{Action: "Command", Kind: simwinrm.Exit, Code: 3221225477})
	c := connect(t, s)
	shell := c.shell()
	command := c.begin(shell, "cat")
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.send(shell, command, "x", "true").want(t, codeSelectors)
	if stdout, _, exit := c.finish(shell, command); stdout != "" || exit != "3221225477" {
		t.Errorf("%q exit %s", stdout, exit)
	}
}

func TestOutputThatIsLateOrComesTwice(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{})
	for kind, want := range map[simwinrm.Kind]string{simwinrm.Late: "|x\r\n", simwinrm.Twice: "x\r\n|x\r\n"} {
		s.Script()
		c := connect(t, s)
		shell := c.shell()
		command := c.begin(shell, "echo x")
		if err := s.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Script(simwinrm.Fault{Action: "Receive", Times: 1, Kind: kind})
		first, second := c.receive(shell, command).want(t, ""), c.receive(shell, command).want(t, "")
		if got := first.stream(t, "stdout") + "|" + second.stream(t, "stdout"); got != want || second.exit() != "0" {
			t.Errorf("kind %d: %q, exit %q; want %q", kind, got, second.exit(), want)
		}
	}
}

func TestRestartForgetsShellsAndConnections(t *testing.T) {
	t.Parallel()
	s := start(t, simwinrm.Options{})
	s.Program("sleep", untilKilled)
	c := connect(t, s)
	shell := c.shell()
	command := c.begin(shell, "sleep")
	s.Restart()
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := c.try(c.envelope(shellURI+"/Receive", shell, receiveBody(command)))
	if err == nil {
		r.want(t, codeSelectors)
	}
	connect(t, s).receive(shell, command).want(t, codeSelectors)
}
