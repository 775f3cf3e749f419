package trust

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Who is trusted, and what is said about those who are not, is tested on the wire, in packages ftp and winrm.

func TestAnchorsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		anchor Anchor
		want   string
	}{
		"a pin that is none":         {Anchor{Pin: "abc"}, "want 32 bytes as base64 or hex"},
		"a CA file that is missing":  {Anchor{CAFile: empty + "x"}, "read the CA file"},
		"a CA file without a single": {Anchor{CAFile: empty}, "BEGIN CERTIFICATE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := test.anchor.Apply(&tls.Config{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestExplainLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	if reason, do, ok := Explain(errors.New("connection refused")); ok || reason != "" || do != "" {
		t.Errorf("explained as %q, %q", reason, do)
	}
}

func FuzzPin(f *testing.F) {
	for _, pin := range []string{strings.Repeat("ab", 32), "sha256/" + strings.Repeat("A", 43) + "=", "sha256:", "", "zz"} {
		f.Add(pin)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if pin, err := parsePin(text); err == nil && len(pin) != 32 {
			t.Fatalf("%q gives %d bytes", text, len(pin))
		}
	})
}
