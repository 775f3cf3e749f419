//go:build unix

package localhost

import (
	"os"
	"os/exec"
	"syscall"
)

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }

// killAll ends the handler and what it started.
func killAll(p *os.Process) {
	syscall.Kill(-p.Pid, syscall.SIGKILL)
	p.Kill()
}

func adopt(*exec.Cmd) error { return nil }
