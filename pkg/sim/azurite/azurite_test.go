package azurite_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/nightshift-hq/nightshift/pkg/sim/azurite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStartAnswersAndStopEnds(t *testing.T) {
	t.Parallel()
	s, err := azurite.Start(t.Context(), azurite.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	pid := s.Pid()
	s.Stop()
	s.Stop()
	if _, err := os.Stat("/proc/self"); err == nil {
		if _, err := os.Stat(procPath(pid)); err == nil {
			t.Errorf("process %d still there after Stop", pid)
		}
	}
}

func TestStartGivesUpWhenCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := azurite.Start(ctx, azurite.Options{}); err == nil {
		s.Stop()
		t.Fatal("started although the context had ended")
	}
}
func procPath(pid int) string { return fmt.Sprintf("/proc/%d", pid) }
