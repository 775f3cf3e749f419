package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	simftp "github.com/nightshift-hq/nightshift/pkg/sim/ftp"
	"github.com/nightshift-hq/nightshift/pkg/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// transcript is what a run prints.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

func testOptions(t *testing.T, environ ...string) (options, *transcript) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	out := &transcript{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the run printed:\n%s", out)
		}
	})
	return options{
		root: root, build: filepath.Join(t.TempDir(), "build"), dir: filepath.Join(t.TempDir(), "run"), address: "127.0.0.1:0",
		limit: 4 * time.Minute, biggest: 3_000_000, out: out, environ: append(environ, "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME")),
	}, out
}

func TestANightAtTheDesk(t *testing.T) {
	t.Parallel()
	o, out := testOptions(t)
	s, err := newSession(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.estate.close()
	err = s.serve(t.Context(), func(ctx context.Context) error {
		verdict, err := s.nights(ctx)
		if verdict != nil || err != nil {
			return errors.Join(verdict, err)
		}
		for _, want := range []string{"stored     47 files", "held       1", "hr/contractors_", "poisoned   0", "stored as", "proven by"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the summary has no %q", want)
			}
		}
		log, err := os.ReadFile(s.logFile())
		if version := fmt.Sprintf(`"version":%q`, s.packages[0].Version); err != nil || !bytes.Contains(log, []byte(version)) {
			t.Errorf("the handler does not know its %s (%v)", version, err)
		}
		t.Run("commands", func(t *testing.T) { tryCommands(ctx, t, s) })
		t.Run("verdict", func(t *testing.T) { spoil(ctx, t, s) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tryCommands pastes what the run proposes into a shell.
func tryCommands(ctx context.Context, t *testing.T, s *session) {
	if len(s.commands()) != 3 {
		t.Fatalf("%d commands, want 3", len(s.commands()))
	}
	for _, c := range s.commands() {
		answer, err := exec.CommandContext(ctx, "sh", "-c", c.line).CombinedOutput()
		t.Logf("%s\n%s", c.line, answer)
		if err != nil || bytes.Contains(answer, []byte(`"error"`)) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	// The last one dropped a file. The file that was still growing is complete by now, too.
	for wanted := range map[string]bool{"/hr/greeting.txt": true, "/timesheets/timesheets_": true} {
		await(ctx, t, wanted+" to arrive", func() bool {
			now, err := s.app.survey(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for name := range now.stored {
				if strings.Contains(name, wanted) {
					return true
				}
			}
			return false
		})
	}
}

// await polls: nothing signals what happens in the emulator.
func await(ctx context.Context, t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// spoil damages what has arrived, one way after the other: the verdict must notice each.
func spoil(ctx context.Context, t *testing.T, s *session) {
	now, err := s.app.survey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	blobOf := func(path string) string {
		for name := range now.stored {
			if strings.HasSuffix(name, path) {
				return name
			}
		}
		t.Fatalf("no blob for %s", path)
		return ""
	}
	write := func(name, content string) {
		if _, err := s.app.blobs.Write(ctx, name, []byte(content), storage.Cond{}, storage.Meta{}); err != nil {
			t.Fatal(err)
		}
	}
	write(blobOf("/directory/people.ldif"), "other bytes")
	if err := s.app.blobs.Delete(ctx, blobOf("/onboarding/joiner_001.json"), storage.Cond{}); err != nil {
		t.Fatal(err)
	}
	write(s.app.target+"/2026-11-21/hr/employees.csv.part", "not complete")
	write(s.app.target+"/2026-11-21/hr/surprise.csv", "from nobody")
	write(s.app.target+"/2026-11-20/onboarding/joiner_002.json", "a second time")
	if now, err = s.app.survey(ctx); err != nil {
		t.Fatal(err)
	}
	now.held = nil
	verdict, err := s.judge(ctx, now)
	if verdict == nil || err != nil {
		t.Fatalf("verdict %v, error %v", verdict, err)
	}
	for _, want := range []string{
		"directory/people.ldif: the stored bytes are not the ones that were sent",
		"onboarding/joiner_001.json: stored 0 times",
		"onboarding/joiner_002.json: stored 2 times",
		"hr/employees.csv.part: stored, although it was not complete",
		"hr/surprise.csv: stored, but nobody sent it",
		".csv: not held by the guard",
	} {
		if !strings.Contains(verdict.Error(), want) {
			t.Errorf("the verdict has no %q: %v", want, verdict)
		}
	}
}

// ownFTP is a server as a user may bring it.
func ownFTP(t *testing.T, o simftp.Options) (*simftp.Server, []string) {
	t.Helper()
	o.Username, o.Password = "hr", "correct horse"
	server, err := simftp.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	certificate := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(certificate, server.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return server, []string{"FTPServer=" + server.Addr(), "FTPUsername=hr", "FTPPassword=correct horse", "FTPSourceDirectory=/out",
		"FTPTargetDirectory=feeds", "FTPCAFile=" + certificate, "FTPSettle=1s", "FTPAfter=delete"}
}

func TestOwnServer(t *testing.T) {
	t.Parallel()
	server, environ := ownFTP(t, simftp.Options{})
	for i := range 20 {
		if err := server.WriteFile(fmt.Sprintf("/out/file %d.csv", i), []byte("a;b\n1;2\n"), time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	o, out := testOptions(t, environ...)
	o.once = true
	if err := run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "20 files") {
		t.Error("the summary does not count 20 files")
	}
	if _, err := server.FS().Stat("/out/file 19.csv"); err != nil {
		t.Errorf("a source was touched for a copy in an emulator: %v", err)
	}
}

func TestOwnServerThatRefusesTheLogin(t *testing.T) {
	t.Parallel()
	_, environ := ownFTP(t, simftp.Options{RefuseLogins: -1})
	o, _ := testOptions(t, environ...)
	o.once = true
	err := run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "ftpscan failed") || !strings.Contains(err.Error(), "log in") {
		t.Errorf("error %v, want one that says that the login was refused", err)
	}
	if err != nil && strings.Contains(err.Error(), "correct horse") {
		t.Error("the error tells the password")
	}
}

func TestTwoRunsHaveTwoFolders(t *testing.T) {
	t.Parallel()
	if one, two := ownDir("127.0.0.1:7071"), ownDir("127.0.0.1:7171"); one == two {
		t.Errorf("both empty %s", one)
	}
}

func TestEmulatorThatIsKilledEndsTheRun(t *testing.T) {
	t.Parallel()
	o, _ := testOptions(t)
	s, err := newSession(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.estate.close()
	err = s.serve(t.Context(), func(ctx context.Context) error {
		emulator, err := os.FindProcess(s.estate.emulator.Pid())
		if err != nil {
			return err
		}
		if err := emulator.Kill(); err != nil {
			return err
		}
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if !errors.Is(err, errEmulatorEnded) {
		t.Errorf("the run ended with %v, want %v", err, errEmulatorEnded)
	}
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	o, _ := testOptions(t)
	server, err := simftp.Start(simftp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	o.address = server.Addr()
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), o); err == nil || !strings.Contains(err.Error(), o.address) {
		t.Errorf("error %v, want one that names %s", err, o.address)
	}
	if _, err := os.Stat(o.dir); err != nil {
		t.Errorf("the folder of the other run was touched: %v", err)
	}
}
