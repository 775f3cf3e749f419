package localhost

import (
	"os/exec"
	"syscall"
)

// bindToParent has the kernel kill the handler when the host is gone, however it went. The handler has a process group of
// its own: Ctrl-C is for the host, which then lets running invocations finish.
func bindToParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
