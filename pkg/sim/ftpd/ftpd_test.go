package ftpd_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/nightshift-hq/nightshift/pkg/sim/ftpd"
)

// childKind makes the test program a parent to be killed: it starts that daemon, says where, and waits.
const childKind = "NIGHTSHIFT_TEST_FTPD_CHILD"

func TestMain(m *testing.M) {
	if kind := os.Getenv(childKind); kind != "" {
		s, err := ftpd.Start(context.Background(), ftpd.Kind(kind))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(s.Addr)
		io.Copy(io.Discard, os.Stdin) // until killed, or until the test is gone
		return
	}
	goleak.VerifyTestMain(m)
}

// TestDaemonEndsWithItsParent kills a process that runs a daemon, the hard way.
func TestDaemonEndsWithItsParent(t *testing.T) {
	t.Parallel()
	for _, kind := range ftpd.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			ftpd.Require(t, kind)
			parent := exec.CommandContext(t.Context(), os.Args[0])
			parent.Env = append(os.Environ(), childKind+"="+string(kind), "TMPDIR="+t.TempDir())
			parent.Stderr = os.Stderr
			in, err := parent.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			out, err := parent.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			addr, err := bufio.NewReader(out).ReadString('\n')
			parent.Process.Kill()
			parent.Wait()
			if err != nil {
				t.Fatalf("the daemon did not start: %v", err)
			}
			if err := awaitSilence(strings.TrimSpace(addr)); err != nil {
				t.Error(err)
			}
		})
	}
}

// awaitSilence polls, since nothing tells when a process that is nobody's child any more has gone.
func awaitSilence(addr string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); <-tick.C {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return nil
		}
		conn.Close()
	}
	return fmt.Errorf("%s still listens long after its parent was killed", addr)
}

func TestStopLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, kind := range ftpd.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := ftpd.Require(t, kind)
			s.Stop()
			s.Stop()
			if conn, err := net.Dial("tcp", s.Addr); err == nil {
				conn.Close()
				t.Errorf("%s still listens after Stop", kind)
			}
			if _, err := os.Stat(s.Dir); !os.IsNotExist(err) {
				t.Errorf("%s: files still there after Stop: %v", kind, err)
			}
		})
	}
}
