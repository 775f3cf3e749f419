package winrm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightshift-hq/nightshift/pkg/settings"
	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
)

// Canaries: none of them may be seen anywhere but in the input of a script.
const (
	password  = "canary-password-1"
	signature = "canary%2Fsignature"
	token     = "canary-token-2"
	inScript  = "canary-script-3"
)

var script = winrm.Script{Name: "copy.ps1", Text: "[CmdletBinding()]\nparam([string]$Url, [string]$Token)\n'" + inScript + "'\n"}

var params = map[string]any{"Url": "https://store/x?sig=" + signature, "Token": token}

// generous is longer than anything here takes on a busy machine; what must end by itself ends long before.
const generous = 60 * time.Second

type work func(ctx context.Context, c *simwinrm.Call) error

// start starts a server on which script does what work does.
func start(t *testing.T, o simwinrm.Options, do work) (*simwinrm.Server, winrm.Config) {
	t.Helper()
	o.Accounts = map[string]string{"operator": password, `CONTOSO\svc`: password}
	s, err := simwinrm.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	s.Emulate(script.Name, simwinrm.Hash(script.Text), do)
	cfg := winrm.Config{Server: s.URL(), Username: "operator", Password: settings.NewSecret(password), Pin: s.Pin(),
		OperationTimeout: 2 * time.Second}
	if o.HTTP {
		cfg.Pin, cfg.Security = "", winrm.Encrypted
	}
	return s, cfg
}

// connect makes a client. When the test ends, no shell and no process may be left.
func connect(t *testing.T, s *simwinrm.Server, cfg winrm.Config) *winrm.Client {
	t.Helper()
	c, err := winrm.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), generous)
		defer cancel()
		s.Script()
		if err := c.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := s.Wait(ctx); err != nil || s.Shells() != 0 {
			t.Errorf("%d shells and %d processes are left (%v)", s.Shells(), s.Processes(), err)
		}
	})
	return c
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), generous)
	t.Cleanup(cancel)
	return ctx
}

// copies is a script that works.
func copies(_ context.Context, c *simwinrm.Call) error {
	if err := c.Progress("copy", "a.csv", 1, 2); err != nil {
		return err
	}
	c.Noise("1 file(s) copied.\r\nno line end")
	return c.Result(map[string]any{"files": 2})
}

const copied = `{"files":2}`

func TestRun(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options simwinrm.Options
		change  func(*winrm.Config)
	}{
		"HTTPS with NTLM":                         {simwinrm.Options{NoBasic: true}, func(*winrm.Config) {}},
		"HTTPS with NTLM, domain account":         {simwinrm.Options{NoBasic: true}, func(c *winrm.Config) { c.Username = `CONTOSO\svc` }},
		"HTTPS with NTLM, user@domain":            {simwinrm.Options{NoBasic: true}, func(c *winrm.Config) { c.Username = `svc@CONTOSO` }},
		"HTTPS with Basic":                        {simwinrm.Options{NoNTLM: true}, func(c *winrm.Config) { c.Auth = winrm.Basic }},
		"HTTP with message encryption":            {simwinrm.Options{HTTP: true}, func(*winrm.Config) {}},
		"HTTP in clear text, by name":             {simwinrm.Options{HTTP: true, AllowUnencrypted: true}, func(c *winrm.Config) { c.Security = winrm.Cleartext }},
		"HTTP in clear text with Basic":           {simwinrm.Options{HTTP: true, AllowUnencrypted: true, NoNTLM: true}, func(c *winrm.Config) { c.Security, c.Auth = winrm.Cleartext, winrm.Basic }},
		"output in pieces of seven bytes":         {simwinrm.Options{ChunkSize: 7}, func(*winrm.Config) {}},
		"output in pieces, one a reply":           {simwinrm.Options{ChunkSize: 20, ChunksPerReply: 1}, func(*winrm.Config) {}},
		"encrypted output in pieces, one a reply": {simwinrm.Options{HTTP: true, ChunkSize: 20, ChunksPerReply: 1}, func(*winrm.Config) {}},
		"the address is a host and a port": {simwinrm.Options{}, func(c *winrm.Config) {
			c.Server = strings.TrimSuffix(strings.TrimPrefix(c.Server, "https://"), "/wsman")
		}},
		"the certificate's authority in a CA file": {simwinrm.Options{}, func(c *winrm.Config) { c.Pin = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, cfg := start(t, test.options, copies)
			test.change(&cfg)
			if cfg.Pin == "" && cfg.Security == "" {
				cfg.CAFile = filepath.Join(t.TempDir(), "ca.pem")
				if err := os.WriteFile(cfg.CAFile, s.CertPEM(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := connect(t, s, cfg)
			for range 2 {
				var events []winrm.Event
				result, err := c.Run(within(t), script, params, func(e winrm.Event) { events = append(events, e) })
				if err != nil || string(result) != copied {
					t.Fatalf("result %s, error %v", result, err)
				}
				want := []winrm.Event{{Type: "progress", Step: "copy", Message: "a.csv", Done: 1, Total: 2},
					{Type: "log", Level: "output", Message: "1 file(s) copied."}, {Type: "log", Level: "output", Message: "no line end"}}
				if !slices.Equal(events, want) {
					t.Errorf("events %v", events)
				}
			}
			for _, r := range s.Requests() {
				if r.Encrypted != (cfg.Security == winrm.Encrypted) {
					t.Errorf("%s was encrypted: %t", r.Action, r.Encrypted)
				}
			}
		})
	}
}

// TestRoundTrips states what a run costs: four requests in a shell that is there, and one more for the first.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	s, cfg := start(t, simwinrm.Options{}, copies)
	c := connect(t, s, cfg)
	for range 3 {
		if _, err := c.Run(within(t), script, params, nil); err != nil {
			t.Fatal(err)
		}
	}
	// Receive may come twice where the script is slower than the request; that is not what is tested here.
	got := slices.CompactFunc(actions(s), func(a, b string) bool { return a == "Receive" && b == "Receive" })
	want := []string{"Create", "Command", "Send", "Receive", "Signal", "Command", "Send", "Receive", "Signal", "Command", "Send", "Receive", "Signal"}
	if !slices.Equal(got, want) {
		t.Errorf("requests %v", got)
	}
}

func actions(s *simwinrm.Server) []string {
	var all []string
	for _, r := range s.Requests() {
		all = append(all, r.Action)
	}
	return all
}

func TestRunAs(t *testing.T) {
	t.Parallel()
	s, cfg := start(t, simwinrm.Options{}, copies)
	c := connect(t, s, cfg)
	type result struct{ Files int }
	if got, err := winrm.RunAs[result](within(t), c, script, params, nil); err != nil || got.Files != 2 {
		t.Errorf("result %+v, error %v", got, err)
	}
	if _, err := winrm.RunAs[[]string](within(t), c, script, params, nil); err == nil || !strings.Contains(err.Error(), "decode its result") {
		t.Errorf("error %v", err)
	}
}

func TestLargeInputAndOutput(t *testing.T) {
	t.Parallel()
	for _, http := range []bool{false, true} {
		s, cfg := start(t, simwinrm.Options{HTTP: http}, func(_ context.Context, c *simwinrm.Call) error {
			var p struct{ Data string }
			if err := json.Unmarshal(c.Params, &p); err != nil {
				return err
			}
			return c.Result(map[string]any{"data": p.Data})
		})
		c := connect(t, s, cfg)
		data := noise(2 << 20)
		got, err := winrm.RunAs[struct{ Data string }](within(t), c, script, map[string]string{"Data": data}, nil)
		if err != nil || got.Data != data {
			t.Errorf("%d of %d bytes, error %v", len(got.Data), len(data), err)
		}
	}
}

// noise is text that does not compress well.
func noise(n int) string {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = ' ' + byte(x>>24)%90
	}
	return string(b)
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	s, cfg := start(t, simwinrm.Options{}, copies)
	c := connect(t, s, cfg)
	errs := make(chan error)
	for range 8 {
		go func() {
			_, err := c.Run(within(t), script, params, nil)
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if s.Shells() > 4 {
		t.Errorf("%d idle shells are kept", s.Shells())
	}
}

// TestRefused: what a server, or what stands for one, can answer to who asks.
func TestRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options simwinrm.Options
		change  func(*winrm.Config)
		class   error
		says    string
	}{
		"wrong password":       {simwinrm.Options{}, func(c *winrm.Config) { c.Password = settings.NewSecret("wrong") }, winrm.ErrDenied, "refuses the login"},
		"wrong password, HTTP": {simwinrm.Options{HTTP: true}, func(c *winrm.Config) { c.Password = settings.NewSecret("wrong") }, winrm.ErrDenied, "refuses the login"},
		"unknown user":         {simwinrm.Options{}, func(c *winrm.Config) { c.Username = "nobody" }, winrm.ErrDenied, "refuses the login"},
		"Basic, wrong password": {simwinrm.Options{}, func(c *winrm.Config) { c.Auth, c.Password = winrm.Basic, settings.NewSecret("wrong") },
			winrm.ErrDenied, "refuses the login"},
		"Basic is not offered":        {simwinrm.Options{NoBasic: true}, func(c *winrm.Config) { c.Auth = winrm.Basic }, winrm.ErrDenied, "does not offer Basic authentication, only Negotiate"},
		"NTLM is not offered":         {simwinrm.Options{NoNTLM: true}, func(*winrm.Config) {}, winrm.ErrDenied, "does not offer Negotiate authentication, only Basic"},
		"no administrator":            {simwinrm.Options{Denied: []string{"operator"}}, func(*winrm.Config) {}, winrm.ErrForbidden, "may not open a remote shell"},
		"no administrator, encrypted": {simwinrm.Options{HTTP: true, Denied: []string{"operator"}}, func(*winrm.Config) {}, winrm.ErrForbidden, "fault 5"},
		"certificate of nobody":       {simwinrm.Options{}, func(c *winrm.Config) { c.Pin = "" }, winrm.ErrCert, "set the pin"},
		"another key":                 {simwinrm.Options{}, func(c *winrm.Config) { c.Pin = strings.Repeat("ab", 32) }, winrm.ErrCert, "not the pinned one"},
		"another name in the certificate": {simwinrm.Options{}, func(c *winrm.Config) { c.Pin, c.TLSServerName = "", "mim.contoso.com" },
			winrm.ErrCert, "name the server as its certificate does"},
		"HTTP where TLS is": {simwinrm.Options{}, func(c *winrm.Config) {
			c.Server, c.Security, c.Pin = "http"+strings.TrimPrefix(c.Server, "https"), winrm.Encrypted, ""
		}, nil, "400"},
		"TLS where HTTP is": {simwinrm.Options{HTTP: true}, func(c *winrm.Config) {
			c.Server, c.Security = "https"+strings.TrimPrefix(c.Server, "http"), winrm.HTTPS
		}, winrm.ErrUnreachable, "does not speak TLS"},
		"another path":    {simwinrm.Options{}, func(c *winrm.Config) { c.Server += "/other" }, winrm.ErrUnreachable, "no WinRM service"},
		"nobody listens":  {simwinrm.Options{}, func(c *winrm.Config) { c.Server = "https://127.0.0.1:1" }, winrm.ErrUnreachable, "firewalls"},
		"no such name":    {simwinrm.Options{}, func(c *winrm.Config) { c.Server = "https://mim.invalid" }, nil, "winrm connect"},
		"too many shells": {simwinrm.Options{Limits: simwinrm.Limits{ShellsPerUser: -1}}, func(*winrm.Config) {}, winrm.ErrQuota, "too many shells"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, cfg := start(t, test.options, copies)
			test.change(&cfg)
			c := connect(t, s, cfg)
			_, err := c.Run(within(t), script, params, nil)
			var f *winrm.Fault
			if !errors.As(err, &f) || test.class != nil && !errors.Is(err, test.class) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want %v with %q", err, test.class, test.says)
			}
			if len(s.Runs()) > 0 {
				t.Error("a command was run")
			}
			silent(t, "error", fmt.Sprint(err))
		})
	}
}

// silent fails where text holds a canary.
func silent(t *testing.T, what, text string) {
	t.Helper()
	for _, canary := range []string{password, signature, token, inScript} {
		if strings.Contains(text, canary) {
			t.Errorf("the %s holds %s: %s", what, canary, text)
		}
	}
}

func TestConfigsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	good := winrm.Config{Server: "mim", Username: "u"}
	for want, change := range map[string]func(*winrm.Config){
		"no server named":                            func(c *winrm.Config) { c.Server = "" },
		"want a host name":                           func(c *winrm.Config) { c.Server = "ftp://mim" },
		"want a host name, host:port":                func(c *winrm.Config) { c.Server = "https://u:secret@mim" },
		"no user named":                              func(c *winrm.Config) { c.Username = "" },
		`unknown authentication "digest"`:            func(c *winrm.Config) { c.Auth = "digest" },
		`unknown security "tls"`:                     func(c *winrm.Config) { c.Security = "tls" },
		"HTTP is used only with security encrypted":  func(c *winrm.Config) { c.Server = "http://mim:5985" },
		"security encrypted needs ntlm":              func(c *winrm.Config) { c.Security, c.Auth = winrm.Encrypted, winrm.Basic },
		"kerberos authentication needs":              func(c *winrm.Config) { c.Security, c.Auth = winrm.Cleartext, winrm.Kerberos },
		"is not the SHA-256 of a public key":         func(c *winrm.Config) { c.Pin = "abc" },
		"read the CA file":                           func(c *winrm.Config) { c.CAFile = "/does/not/exist" },
		"want a second or more":                      func(c *winrm.Config) { c.OperationTimeout = time.Millisecond },
		"the address says https and security says e": func(c *winrm.Config) { c.Server, c.Security = "https://mim", winrm.Encrypted },
	} {
		cfg := good
		change(&cfg)
		if _, err := winrm.New(cfg); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if _, err := winrm.New(good); err != nil {
		t.Error(err)
	}
}
