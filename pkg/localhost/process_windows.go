package localhost

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// bindToParent keeps Ctrl-C from the handler: it is for the host, which then lets running invocations finish.
func bindToParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

// adopt puts the handler into a job that Windows ends when the host's last handle to it closes, however the host ends.
func adopt(cmd *exec.Cmd) error {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return fmt.Errorf("create a job for the handler: %w", err)
	}
	limits := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE},
	}
	if _, err := windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&limits)), uint32(unsafe.Sizeof(limits))); err != nil {
		return errors.Join(fmt.Errorf("limit the handler's job: %w", err), windows.CloseHandle(job))
	}
	handle, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(cmd.Process.Pid))
	if err != nil {
		return errors.Join(fmt.Errorf("open the handler's process: %w", err), windows.CloseHandle(job))
	}
	defer windows.CloseHandle(handle)
	if err := windows.AssignProcessToJobObject(job, handle); err != nil {
		return errors.Join(fmt.Errorf("put the handler into its job: %w", err), windows.CloseHandle(job))
	}
	// The job's handle stays open on purpose: it closes with the host.
	return nil
}

func killAll(p *os.Process) { p.Kill() }

// terminate has no gentle form on Windows.
func terminate(*os.Process) error { return errors.ErrUnsupported }
