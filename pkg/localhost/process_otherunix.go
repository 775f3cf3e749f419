//go:build unix && !linux

package localhost

import (
	"os/exec"
	"syscall"
)

// bindToParent has nothing to bind with here: the handler notices by itself that its parent changed. The handler has a
// process group of its own: Ctrl-C is for the host, which then lets running invocations finish.
func bindToParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
