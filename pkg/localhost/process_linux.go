package localhost

import (
	"os/exec"
	"syscall"
)

// bindToParent has the kernel kill the handler when the host is gone, however it went.
func bindToParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
