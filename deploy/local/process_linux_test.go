package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestKilled kills the run with -9, from which nobody can clean up, and looks for processes that outlive it.
func TestKilled(t *testing.T) {
	t.Parallel()
	binary := program(t)
	for name, pick := range map[string]func(launcher, worker int) int{
		"launcher": func(launcher, _ int) int { return launcher },
		"worker":   func(_, worker int) int { return worker },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := started(t, binary)
			left := descendants(t, cmd.Process.Pid)
			worker := 0
			for pid, name := range left {
				if name == "local" {
					worker = pid
				}
			}
			if len(left) < 3 || worker == 0 {
				t.Fatalf("below the run are %v: want the worker, the emulator and a handler", left)
			}
			if err := syscall.Kill(pick(cmd.Process.Pid, worker), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("a run that was killed reports success")
			}
			for pid, name := range left {
				await(t.Context(), t, fmt.Sprintf("%s (%d) to end", name, pid), func() bool { return !alive(pid) })
			}
		})
	}
}

// TestInterrupted presses Ctrl-C, which reaches the launcher's process group, and wants an orderly end.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	cmd := started(t, program(t))
	left := descendants(t, cmd.Process.Pid)
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the run ended with %v", err)
	}
	for pid, name := range left {
		if alive(pid) {
			t.Errorf("%s (%d) outlives the run", name, pid)
		}
	}
}

// program builds the command.
func program(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "local")
	if text, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return binary
}

// started runs the program as make does, in a process group of its own, until it stays up.
func started(t *testing.T, binary string) *exec.Cmd {
	t.Helper()
	o, out := testOptions(t)
	cmd := exec.CommandContext(t.Context(), binary, "-address", "127.0.0.1:0", "-biggest", "100000", "-build", o.build, "-dir", o.dir)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = o.root, o.environ, out, out
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t.Context(), t, "the run to be up", func() bool { return strings.Contains(out.String(), "until Ctrl-C") })
	return cmd
}

// descendants lists a process's children and theirs.
func descendants(t *testing.T, pid int) map[int]string {
	t.Helper()
	found := map[int]string{}
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		data, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(data)) {
			var child int
			if _, err := fmt.Sscan(field, &child); err != nil {
				t.Fatal(err)
			}
			name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", child))
			found[child] = strings.TrimSpace(string(name))
			for grandchild, name := range descendants(t, child) {
				found[grandchild] = name
			}
		}
	}
	return found
}

// alive reports whether a process runs; a zombie that nobody has waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}
