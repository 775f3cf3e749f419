package winrm_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"

	simwinrm "github.com/nightshift-hq/nightshift/pkg/sim/winrm"
	"github.com/nightshift-hq/nightshift/pkg/winrm"
	"github.com/nightshift-hq/nightshift/pkg/winrm/winrmtest"
)

const key = "export-2026-11-20"

func TestRunDetached(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	s, cfg := start(t, simwinrm.Options{}, func(ctx context.Context, c *simwinrm.Call) error {
		runs.Add(1)
		return copies(ctx, c)
	})
	winrmtest.Emulate(s)
	c := connect(t, s, cfg)
	for range 2 { // the second call gets the same run told again
		var events []winrm.Event
		result, err := c.RunDetached(within(t), key, script, params, func(e winrm.Event) { events = append(events, e) })
		if err != nil || string(result) != copied || len(events) != 3 || events[0].Step != "copy" {
			t.Fatalf("result %s, events %v, error %v", result, events, err)
		}
	}
	if runs.Load() != 1 {
		t.Errorf("the script ran %d times", runs.Load())
	}
	if _, err := s.Drive().Stat(winrmtest.Runs + `\` + key + `\task`); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the task is still there: %v", err)
	}
	if _, err := c.RunDetached(within(t), "other", script, params, nil); err != nil || runs.Load() != 2 {
		t.Errorf("%d runs, error %v", runs.Load(), err)
	}
	for _, r := range s.Runs() {
		silent(t, "command line", r.CommandLine)
	}
	if _, err := c.RunDetached(within(t), `..\x`, script, params, nil); err == nil || !strings.Contains(err.Error(), "the key is") {
		t.Errorf("error %v", err)
	}
}

// TestRunDetachedIsAdopted: the caller's time is up; the next caller, another process, finds the work under way.
func TestRunDetachedIsAdopted(t *testing.T) {
	t.Parallel()
	running, finish := make(chan struct{}), make(chan struct{})
	var runs atomic.Int32
	s, cfg := start(t, simwinrm.Options{}, func(ctx context.Context, c *simwinrm.Call) error {
		runs.Add(1)
		if err := c.Progress("export", "ma 1", 1, 2); err != nil {
			return err
		}
		close(running)
		select {
		case <-finish:
		case <-ctx.Done():
			return ctx.Err()
		}
		return c.Result(map[string]any{"files": 2})
	})
	winrmtest.Emulate(s)
	c := connect(t, s, cfg)
	ctx, cancel := context.WithCancel(within(t))
	go func() {
		<-running
		cancel()
	}()
	if _, err := c.RunDetached(ctx, key, script, params, nil); !errors.Is(err, winrm.ErrStillRunning) || !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	s.Restart() // no shell survives, the work does
	next := connect(t, s, cfg)
	var events []winrm.Event
	result, err := next.RunDetached(within(t), key, script, params, func(e winrm.Event) {
		events = append(events, e)
		close(finish) // so the event came while the script was running
	})
	if err != nil || string(result) != copied || len(events) != 1 || events[0].Message != "ma 1" || runs.Load() != 1 {
		t.Errorf("result %s, events %v, %d runs, error %v", result, events, runs.Load(), err)
	}
}

func TestRunDetachedFails(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	s, cfg := start(t, simwinrm.Options{}, func(ctx context.Context, c *simwinrm.Call) error {
		if runs.Add(1) == 1 {
			return &simwinrm.ScriptError{Message: "The disk is full.", ID: "disk-full", Line: 3}
		}
		return copies(ctx, c)
	})
	winrmtest.Emulate(s)
	c := connect(t, s, cfg)
	_, err := c.RunDetached(within(t), key, script, params, nil)
	var thrown *winrm.ScriptError
	if !errors.As(err, &thrown) || thrown.ID != "disk-full" || thrown.Line != 3 {
		t.Fatalf("error %v", err)
	}
	if result, err := c.RunDetached(within(t), key, script, params, nil); err != nil || string(result) != copied {
		t.Errorf("the next call: result %s, error %v", result, err)
	}
}

// TestRunDetachedIsLost: Windows restarts in the middle. Who followed the work is told so; the next call starts anew.
func TestRunDetachedIsLost(t *testing.T) {
	t.Parallel()
	running := make(chan struct{}, 1)
	var runs atomic.Int32
	s, cfg := start(t, simwinrm.Options{}, func(ctx context.Context, c *simwinrm.Call) error {
		if runs.Add(1) > 1 {
			return copies(ctx, c)
		}
		if err := c.Progress("export", "", 1, 2); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	})
	emulated := winrmtest.Emulate(s)
	c := connect(t, s, cfg)
	_, err := c.RunDetached(within(t), key, script, params, func(winrm.Event) {
		running <- struct{}{}
		if !emulated.Kill(key) {
			t.Error("there is no such run")
		}
	})
	<-running
	if !errors.Is(err, winrm.ErrNoResult) {
		t.Fatalf("error %v", err)
	}
	if result, err := c.RunDetached(within(t), key, script, params, nil); err != nil || string(result) != copied || runs.Load() != 2 {
		t.Errorf("the next call: result %s, %d runs, error %v", result, runs.Load(), err)
	}
}

// TestRunDetachedAtOnce: two start the same work; it is done once, and both get the result.
func TestRunDetachedAtOnce(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	s, cfg := start(t, simwinrm.Options{}, func(ctx context.Context, c *simwinrm.Call) error {
		runs.Add(1)
		return copies(ctx, c)
	})
	winrmtest.Emulate(s)
	c := connect(t, s, cfg)
	errs := make(chan error)
	for range 4 {
		go func() {
			result, err := c.RunDetached(within(t), key, script, params, nil)
			if err == nil && string(result) != copied {
				err = fmt.Errorf("result %s", result)
			}
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if runs.Load() != 1 {
		t.Errorf("the script ran %d times", runs.Load())
	}
}

// TestRunDetachedThroughFaults loses a connection at each step of the way.
func TestRunDetachedThroughFaults(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	s, cfg := start(t, simwinrm.Options{}, func(ctx context.Context, c *simwinrm.Call) error {
		runs.Add(1)
		return copies(ctx, c)
	})
	winrmtest.Emulate(s)
	c := connect(t, s, cfg)
	s.Script(simwinrm.Fault{Action: "Receive", Request: 2, Times: 1, Kind: simwinrm.DropAfter})
	if result, err := c.RunDetached(within(t), key, script, params, nil); err != nil || string(result) != copied || runs.Load() != 1 {
		t.Errorf("result %s, %d runs, error %v", result, runs.Load(), err)
	}
}
