package winrm_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

// TestFaultAtEachRequest breaks each request of a run in each way. The run must end with a typed error or, where that is
// possible, with the result; nothing may be left on the server; and the client must work afterwards.
func TestFaultAtEachRequest(t *testing.T) {
	t.Parallel()
	kinds := map[string]simwinrm.Fault{
		"the connection is dropped before":    {Kind: simwinrm.Drop},
		"the connection is dropped after":     {Kind: simwinrm.DropAfter},
		"the reply breaks off":                {Kind: simwinrm.Reset},
		"the server is silent":                {Kind: simwinrm.Stall},
		"the service restarts":                {Kind: simwinrm.Restart},
		"HTTP 401":                            {Kind: simwinrm.Status, Code: 401},
		"HTTP 413":                            {Kind: simwinrm.Status, Code: 413},
		"HTTP 503":                            {Kind: simwinrm.Status, Code: 503},
		"fault: access denied":                {Kind: simwinrm.SOAP, Code: 5},
		"fault: aborted":                      {Kind: simwinrm.SOAP, Code: 995},
		"fault: operation timeout":            {Kind: simwinrm.SOAP, Code: 2150858793},
		"fault: unknown shell or command":     {Kind: simwinrm.SOAP, Code: 2150858843},
		"fault: operations used up":           {Kind: simwinrm.SOAP, Code: 2150859174},
		"fault: a command line that is long":  {Kind: simwinrm.SOAP, Code: 2147942606},
		"fault: not the form that was wanted": {Kind: simwinrm.SOAP, Code: 2150858817},
	}
	for _, encrypted := range []bool{false, true} {
		for _, action := range []string{"Create", "Command", "Send", "Receive", "Signal", "Delete"} {
			for name, fault := range kinds {
				if encrypted && fault.Kind == simwinrm.Stall {
					continue // costs two seconds, and is no different
				}
				t.Run(fmt.Sprintf("%s, %s, encrypted %t", action, name, encrypted), func(t *testing.T) {
					t.Parallel()
					s, cfg := start(t, simwinrm.Options{HTTP: encrypted}, copies)
					cfg.OperationTimeout = time.Second
					c := connect(t, s, cfg)
					fault.Action, fault.Times = action, 1
					s.Script(fault)
					result, err := c.Run(within(t), script, params, nil)
					var f *winrm.Fault
					if err == nil && string(result) != copied || err != nil && !errors.As(err, &f) && !errors.Is(err, winrm.ErrNoResult) {
						t.Errorf("result %s, error %v", result, err)
					}
					silent(t, "error", fmt.Sprint(err))
					s.Script()
					if fault.Action == "Create" && err != nil && s.Shells() > 0 {
						// The one thing that nobody can clean up: a shell whose id was lost on the way. It ends when idle.
						s.Restart()
					}
					if result, err := c.Run(within(t), script, params, nil); err != nil || string(result) != copied {
						t.Errorf("afterwards: result %s, error %v", result, err)
					}
				})
			}
		}
	}
}

// TestWhatEachFaultMeans: what a run makes of the faults that tell it something.
func TestWhatEachFaultMeans(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault simwinrm.Fault
		class error // nil: the run succeeds
		says  string
	}{
		"the server is silent":             {simwinrm.Fault{Action: "Receive", Kind: simwinrm.Stall}, winrm.ErrTimeout, "the server was silent for 2s"},
		"the connection is lost":           {simwinrm.Fault{Action: "Receive", Kind: simwinrm.Drop}, winrm.ErrUnreachable, "receive output"},
		"the reply breaks off":             {simwinrm.Fault{Action: "Receive", Kind: simwinrm.Reset}, winrm.ErrUnreachable, "receive output"},
		"the service restarts":             {simwinrm.Fault{Action: "Receive", Kind: simwinrm.Restart}, nil, ""},
		"nothing to say for a while":       {simwinrm.Fault{Action: "Receive", Kind: simwinrm.SOAP, Code: 2150858793, Times: 3}, nil, ""},
		"busy with the last input":         {simwinrm.Fault{Action: "Send", Kind: simwinrm.SOAP, Code: 170, Times: 1}, nil, ""},
		"no shell to be had":               {simwinrm.Fault{Action: "Create", Kind: simwinrm.SOAP, Code: 2150859173}, winrm.ErrQuota, "MaxShellsPerUser"},
		"the envelope is too large":        {simwinrm.Fault{Action: "Send", Kind: simwinrm.Status, Code: 413}, winrm.ErrTooLong, "MaxEnvelopeSizekb"},
		"the login is forgotten, once":     {simwinrm.Fault{Action: "Send", Kind: simwinrm.Status, Code: 401, Times: 1}, nil, ""},
		"the login is forgotten each time": {simwinrm.Fault{Action: "Send", Kind: simwinrm.Status, Code: 401}, winrm.ErrDenied, "refuses the login"},
		"the process dies before a result": {simwinrm.Fault{Action: "Command", Kind: simwinrm.Exit, Code: 3}, winrm.ErrNoResult, "exit code 3"},
		"the process dies with exit code 0, in the middle of a message": {simwinrm.Fault{Action: "Command", Kind: simwinrm.Exit, After: 50},
			nil, "damaged"},
		"output comes late":               {simwinrm.Fault{Action: "Receive", Kind: simwinrm.Late, Times: 1}, nil, ""},
		"the end of a command is refused": {simwinrm.Fault{Action: "Signal", Kind: simwinrm.SOAP, Code: 2150858843}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, cfg := start(t, simwinrm.Options{}, copies)
			cfg.OperationTimeout = time.Second
			c := connect(t, s, cfg)
			s.Script(test.fault)
			result, err := c.Run(within(t), script, params, nil)
			if name == "the service restarts" {
				return // whether the reply got through before is a matter of luck
			}
			if test.class == nil && test.says == "" && (err != nil || string(result) != copied) {
				t.Errorf("result %s, error %v", result, err)
			}
			if test.class != nil && !errors.Is(err, test.class) || !strings.Contains(fmt.Sprint(err), test.says) {
				t.Errorf("result %s, error %v; want %v with %q", result, err, test.class, test.says)
			}
		})
	}
}

// TestCancel ends a run whose script would go on for ever: the call returns, and the script is terminated.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, encrypted := range []bool{false, true} {
		running := make(chan struct{})
		s, cfg := start(t, simwinrm.Options{HTTP: encrypted}, func(ctx context.Context, c *simwinrm.Call) error {
			close(running)
			<-ctx.Done()
			return ctx.Err()
		})
		cfg.OperationTimeout = time.Hour // the reply that is waited for does not come
		c := connect(t, s, cfg)
		ctx, cancel := context.WithCancelCause(within(t))
		enough := errors.New("enough")
		go func() {
			<-running
			cancel(enough)
		}()
		if _, err := c.Run(ctx, script, params, nil); !errors.Is(err, enough) {
			t.Errorf("error %v", err)
		}
		if err := s.Wait(within(t)); err != nil {
			t.Errorf("the script still runs: %v", err)
		}
		if _, err := c.Run(ctx, script, params, nil); !errors.Is(err, enough) {
			t.Errorf("with a context that has ended: error %v", err)
		}
	}
}

// TestSilentListener: something accepts connections and never answers.
func TestSilentListener(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for scheme, security := range map[string]winrm.Security{"https": winrm.HTTPS, "http": winrm.Encrypted} {
		c, err := winrm.New(winrm.Config{Server: scheme + "://" + listener.Addr().String(), Username: "u", Security: security,
			ConnectTimeout: 100 * time.Millisecond, OperationTimeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Run(within(t), script, nil, nil); !errors.Is(err, winrm.ErrTimeout) {
			t.Errorf("%s: error %v", scheme, err)
		}
		if err := c.Close(within(t)); err != nil {
			t.Error(err)
		}
	}
}

// TestShellsAreReplaced: an idle shell that is gone, used up or cut off costs a new one, not a failure.
func TestShellsAreReplaced(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options simwinrm.Options
		between func(*simwinrm.Server)
	}{
		"the shell has run all the commands it may": {simwinrm.Options{Limits: simwinrm.Limits{CommandsPerShell: 1}}, func(*simwinrm.Server) {}},
		"the service was restarted":                 {simwinrm.Options{}, (*simwinrm.Server).Restart},
		"operations are used up": {simwinrm.Options{}, func(s *simwinrm.Server) {
			s.Script(simwinrm.Fault{Action: "Command", Kind: simwinrm.SOAP, Code: 2150859174, Times: 1})
		}},
		"the connection is cut": {simwinrm.Options{}, func(s *simwinrm.Server) {
			s.Script(simwinrm.Fault{Action: "Command", Kind: simwinrm.DropAfter, Times: 1})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, cfg := start(t, test.options, copies)
			c := connect(t, s, cfg)
			for range 3 {
				if result, err := c.Run(within(t), script, params, nil); err != nil || string(result) != copied {
					t.Fatalf("result %s, error %v", result, err)
				}
				test.between(s)
			}
		})
	}
}

func TestScriptErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do    work
		want  winrm.ScriptError
		error string
	}{
		"thrown by the script": {
			func(context.Context, *simwinrm.Call) error {
				return &simwinrm.ScriptError{Message: "The disk is full.", ID: "disk-full", Line: 7, Type: "System.IO.IOException",
					Stack: "at Copy-It, copy.ps1: line 7\nat <ScriptBlock>, copy.ps1: line 12\nat <ScriptBlock>, <No file>: line 40"}
			},
			winrm.ScriptError{Script: "copy.ps1", Message: "The disk is full.", Type: "System.IO.IOException", Line: 7, ID: "disk-full",
				Stack: "at Copy-It, copy.ps1: line 7\nat <ScriptBlock>, copy.ps1: line 12"},
			"run script \"copy.ps1\": copy.ps1 line 7: The disk is full. (disk-full)",
		},
		"thrown by Stop-Script, on a German server": {
			func(context.Context, *simwinrm.Call) error {
				return &simwinrm.ScriptError{Message: "Voll.", ID: "disk-full", Line: 14,
					Stack: "bei Stop-Script, <No file>: Zeile 14\r\nbei Copy-It, copy.ps1: Zeile 9\r\n"}
			},
			winrm.ScriptError{Script: "copy.ps1", Message: "Voll.", Type: "System.Management.Automation.RuntimeException", Line: 9,
				ID: "disk-full", Stack: "bei Copy-It, copy.ps1: Zeile 9"},
			"run script \"copy.ps1\": copy.ps1 line 9: Voll. (disk-full)",
		},
		"with what must not be seen": {
			func(_ context.Context, c *simwinrm.Call) error {
				return &simwinrm.ScriptError{Message: "403 for https://store/x?sig=" + signature + " with " + token, ID: token}
			},
			winrm.ScriptError{Script: "copy.ps1", Message: "403 for [redacted] with [redacted]", ID: "[redacted]",
				Type: "System.Management.Automation.RuntimeException"},
			"run script \"copy.ps1\": copy.ps1: 403 for [redacted] with [redacted] ([redacted])",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, cfg := start(t, simwinrm.Options{}, test.do)
			c := connect(t, s, cfg)
			_, err := c.Run(within(t), script, params, nil)
			var got *winrm.ScriptError
			if !errors.As(err, &got) || *got != test.want || err.Error() != test.error {
				t.Errorf("error %v\n%+v", err, got)
			}
		})
	}
}

// TestCanaries runs a script that shows all that it knows, and looks where that has got to.
func TestCanaries(t *testing.T) {
	t.Parallel()
	s, cfg := start(t, simwinrm.Options{}, func(_ context.Context, c *simwinrm.Call) error {
		all := "https://store/x?sig=" + signature + " " + token + " " + password
		c.Noise(all + "\r\n")
		if err := errors.Join(c.Log("warning", all), c.Progress(all, all, 0, 0)); err != nil {
			return err
		}
		return c.Result(map[string]any{"files": 2})
	})
	c := connect(t, s, cfg)
	var lock sync.Mutex
	told := 0
	if _, err := c.Run(within(t), script, params, func(e winrm.Event) {
		lock.Lock()
		defer lock.Unlock()
		told++
		silent(t, "event", fmt.Sprintf("%+v", e))
	}); err != nil {
		t.Fatal(err)
	}
	if told != 3 {
		t.Errorf("%d events", told)
	}
	for _, r := range s.Runs() {
		silent(t, "command line", r.CommandLine)
		if r.Script != script.Text || !strings.Contains(string(r.Params), token) {
			t.Errorf("the server ran %q with %s", r.Script, r.Params)
		}
	}
	silent(t, "configuration", fmt.Sprintf("%+v %v", cfg, c))
}
