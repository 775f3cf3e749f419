package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		source string // of a test file, run by the real `go test -json`
		strict bool
		want   []string
		err    string
	}{
		"all pass": {
			source: `func TestA(t *testing.T) { t.Run("row", func(t *testing.T) {}) }`,
			want:   []string{"ok    example.com/m", "1 packages: 2 tests passed, 0 failed, 0 skipped"},
		},
		"a failure shows its output": {
			source: `func TestA(t *testing.T) { t.Error("the reason") }; func TestB(t *testing.T) { t.Log("chatter") }`,
			want:   []string{"the reason", "failed: example.com/m TestA", "1 tests passed, 1 failed"}, err: "not everything passed",
		},
		"a skip is told": {
			source: `func TestA(t *testing.T) {}; func TestB(t *testing.T) { t.Skip("needs root") }`,
			want:   []string{"skipped: example.com/m TestB: m_test.go:3: needs root"},
		},
		"a skip in CI fails": {
			source: `func TestA(t *testing.T) {}; func TestB(t *testing.T) { t.Skip("needs root") }`,
			strict: true, err: "tests were skipped",
		},
		"a skip that is excused is told": {
			source: `func TestA(t *testing.T) {}; func TestExcused(t *testing.T) { t.Skip("no such thing here") }`,
			strict: true, want: []string{"not run here: example.com/m TestExcused: m_test.go:3: no such thing here", "1 tests passed, 0 failed, 1 skipped"},
		},
		"a package that does not build": {
			source: `func TestA(t *testing.T) { undefined() }`,
			want:   []string{"undefined: undefined", "does not build"}, err: "not everything passed",
		},
		"a panic outside of tests": {
			source: `func TestA(t *testing.T) {}; func TestMain(m *testing.M) { m.Run(); panic("leaked") }`,
			want:   []string{"panic: leaked", "failed: example.com/m"}, err: "not everything passed",
		},
		"no tests": {source: ``, err: "nothing was tested"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			err := report(strings.NewReader(goTest(t, c.source)), &out, c.strict, "TestExcused")
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			for _, want := range c.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output has no %q:\n%s", want, out.String())
				}
			}
			if strings.Contains(out.String(), "chatter") {
				t.Errorf("output of a test that passed is shown:\n%s", out.String())
			}
		})
	}
}

func goTest(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":    "module example.com/m\n\ngo 1.26\n",
		"m.go":      "package m\n",
		"m_test.go": "package m\nimport \"testing\"\n" + source + "\nvar _ testing.TB\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-json", "./...")
	cmd.Dir = dir
	out, _ := cmd.Output() // a failing test is what some rows are about
	return string(out)
}
