package simwinrm_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
)

// pywinrm runs testdata/pywinrm.py. Where python3-winrm is missing the test is skipped and says so, except when CI=true.
func pywinrm(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	unpacked, err := filepath.Abs("../../../build/pywinrm/usr/lib/python3/dist-packages")
	if err != nil {
		t.Fatal(err)
	}
	python := func(args ...string) ([]byte, error) {
		c := exec.CommandContext(t.Context(), "/usr/bin/python3", args...)
		c.Env = append(os.Environ(), "PYTHONPATH="+unpacked, "PYTHONDONTWRITEBYTECODE=1", "PYTHONWARNINGS=ignore",
			"OPENSSL_CONF=testdata/openssl.cnf")
		return c.CombinedOutput()
	}
	if out, err := python("-c", "import winrm"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("python3-winrm is missing: run deploy/local/pywinrm/install.sh: %v: %s", err, out)
		}
		t.Skipf("not tested against python3-winrm (deploy/local/pywinrm/install.sh): %v", err)
	}
	out, err := python(append([]string{"testdata/pywinrm.py"}, args...)...)
	return string(out), err
}

// A client that others wrote, with its own Basic, NTLM and message encryption, finds a Windows server.
func TestPywinrm(t *testing.T) {
	t.Parallel()
	accounts := map[string]string{`CONTOSO\Svc-MIM`: "password 1"}
	for name, tc := range map[string]struct {
		options   simwinrm.Options
		transport string
		encrypted bool
	}{
		"Basic over HTTPS":               {simwinrm.Options{}, "basic", false},
		"Basic in clear, where allowed":  {simwinrm.Options{HTTP: true, AllowUnencrypted: true, NoNTLM: true}, "basic", false},
		"NTLM over HTTPS":                {simwinrm.Options{NoBasic: true, StrictBinding: true}, "ntlm", false},
		"NTLM with message encryption":   {simwinrm.Options{HTTP: true}, "ntlm", true},
		"encrypted, in many small reads": {simwinrm.Options{HTTP: true, ChunkSize: 1, ChunksPerReply: 2}, "ntlm", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.options.Accounts = accounts
			s := start(t, tc.options)
			ca := "-"
			if pem := s.CertPEM(); pem != nil {
				ca = filepath.Join(t.TempDir(), "ca.pem")
				if err := os.WriteFile(ca, pem, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := pywinrm(t, s.URL(), tc.transport, `contoso\svc-mim`, "password 1", ca, "echo", "hello", "you")
			if err != nil || out != "0\nhello you\r\n\n" {
				t.Fatalf("%v: %q", err, out)
			}
			var actions []string
			for _, r := range s.Requests() {
				if actions = append(actions, r.Action); r.Encrypted != tc.encrypted || r.User != `CONTOSO\Svc-MIM` {
					t.Errorf("%s: user %q, encrypted %v", r.Action, r.User, r.Encrypted)
				}
			}
			if got := strings.Join(actions, " "); !strings.HasPrefix(got, "Create Command Receive") || !strings.HasSuffix(got, "Signal Delete") {
				t.Errorf("requests %s", got)
			}
			if s.Shells() != 0 {
				t.Errorf("%d shells are left", s.Shells())
			}
			out, err = pywinrm(t, s.URL(), tc.transport, `contoso\svc-mim`, "wrong", ca, "echo")
			if err == nil || !strings.Contains(out, "credentials were rejected") {
				t.Errorf("wrong password: %v: %s", err, out)
			}
		})
	}
}
